"""The web page: the files of ``chalicelib/console`` by their names, and what the page must know of its server."""

import hashlib
import json
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from chalice.app import Request, Response

from chalicelib.config import Settings
from chalicelib.errors import NotFound, Unavailable
from chalicelib.http_api.issuer import Issuer
from chalicelib.http_api.problems import answered

FILES = Path(__file__).parents[1] / "console"
"""Text only: API Gateway would need binary types for anything else, and those break text bodies."""
_PAGE = "index.html"
_CONFIG = "config.json"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
_FOREVER = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"
_REFERENCE = re.compile(r'"(\./|console/)([a-z_]+\.(?:js|css|svg))"')
_ORIGIN = re.compile(r"https?://[\w.:\[\]-]+")


class ConsoleApi:
    """Nothing here needs a token: the page asks for one, and the API that it calls checks it."""

    def __init__(self, settings: Settings, issuer: Issuer) -> None:
        self._settings = settings
        self._issuer = issuer

    @answered
    def page(self, request: Request) -> Response:
        if str(request.context.get("path") or request.path).endswith("/"):
            # The page's addresses are relative, so that it needs not know its stage: one spelling of its own it needs.
            return Response(body="", status_code=308, headers={"Location": "../console"})
        return self._answer(request, _PAGE, self._texts[_PAGE], _REVALIDATE)

    @answered
    def asset(self, request: Request, name: str) -> Response:
        """``?v=`` of the version that is served makes the answer one to keep for ever. Raises NotFound."""
        name = unquote(name)
        if name == _CONFIG:
            return self._answer(request, name, self._configuration(), _REVALIDATE)
        if name == _PAGE or name not in self._texts:
            raise NotFound("the page has no such file")
        query = request.query_params
        current = query is not None and query.get("v") == self._version
        return self._answer(request, name, self._texts[name], _FOREVER if current else _REVALIDATE)

    @cached_property
    def _texts(self) -> dict[str, str]:
        """By name, with the version in every reference of theirs to one another."""
        texts = {path.name: path.read_text(encoding="utf-8") for path in _files()}
        return {name: _REFERENCE.sub(rf'"\1\2?v={self._version}"', text) for name, text in texts.items()}

    @cached_property
    def _version(self) -> str:
        return _digest("".join(path.name + path.read_text(encoding="utf-8") for path in _files()))

    def _configuration(self) -> str:
        oidc = None
        if self._with_oidc:
            endpoints = self._issuer.endpoints()
            oidc = {
                "clientId": self._settings.oidc_client_id,
                "scope": self._settings.oidc_scope,
                "authorizationEndpoint": endpoints.authorization,
                "tokenEndpoint": endpoints.token,
            }
        return json.dumps({"tenantClaim": self._settings.tenant_claim, "oidc": oidc})

    @property
    def _with_oidc(self) -> bool:
        return bool(self._settings.oidc_issuer and self._settings.oidc_client_id)

    def _policy(self) -> str:
        """The page talks to its own origin, and to the issuer where one is configured for it."""
        if not self._with_oidc:
            return _POLICY
        addresses = [self._settings.oidc_issuer]
        # Cognito exchanges codes on another host than its issuer's. That an issuer does not answer is told where the
        # page asks for its configuration.
        with suppress(Unavailable):
            addresses.append(self._issuer.endpoints().token)
        origins = dict.fromkeys(_origin(address) for address in addresses)
        return f"{_POLICY}; connect-src 'self' {' '.join(filter(_ORIGIN.fullmatch, origins))}"

    def _answer(self, request: Request, name: str, text: str, caching: str) -> Response:
        etag = f'"{_digest(text)}"'
        headers: dict[str, str | list[str]] = {
            "ETag": etag,
            "Cache-Control": caching,
            "Content-Security-Policy": self._policy() if name == _PAGE else _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Content-Type": _TYPES[Path(name).suffix],
        }
        known = request.headers.get("if-none-match", "")
        if known.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(body="", status_code=304, headers=headers)
        return Response(body=text, status_code=200, headers=headers)


def _files() -> list[Path]:
    return sorted(path for path in FILES.iterdir() if path.suffix in _TYPES)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
