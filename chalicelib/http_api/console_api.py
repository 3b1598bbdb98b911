"""Serve the web page: the files of ``chalicelib/console`` and the configuration of the sign-in."""

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
"""Text files only: API Gateway needs binary media types for other files, and those break text bodies."""
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
_REFERENCE = re.compile(r'"((?:\./|\.\./|console/)(?:[a-z_]+/)?[a-z_]+\.(?:js|css|svg))"')
"""A reference from one file of the page to another."""
_COMMENT = re.compile(r"/\*.*?\*/ ?|^[ \t]*//[^\n]*", re.DOTALL | re.MULTILINE)
_CSS_BLANK = re.compile(r"(?<=[:;,{}])\s+|;?\s+(?=[{}])")
_MARGIN = re.compile(r"[ \t]*(\n)\s*")
_ORIGIN = re.compile(r"https?://[\w.:\[\]-]+")


class ConsoleApi:
    """Serve the page to everyone: the page asks for a token, and the API that it calls checks that token."""

    def __init__(self, settings: Settings, issuer: Issuer) -> None:
        self._settings = settings
        self._issuer = issuer

    @answered
    def page(self, request: Request) -> Response:
        if str(request.context.get("path") or request.path).endswith("/"):
            # The page refers to its files by relative addresses, which are right without a trailing slash only.
            return Response(body="", status_code=308, headers={"Location": "../console"})
        return self._answer(request, _PAGE, self._texts[_PAGE], _REVALIDATE)

    @answered
    def asset(self, request: Request, name: str, folder: str = "") -> Response:
        """Serve one file of the page. Browsers may keep it forever if ``?v=`` is the current version.

        Raises NotFound.
        """
        name = unquote(name)
        path = f"{folder}/{name}" if folder else name
        if path == _CONFIG:
            return self._answer(request, path, self._configuration(), _REVALIDATE)
        if path == _PAGE or "/" in name or path not in self._texts:
            raise NotFound("the page has no such file")
        query = request.query_params
        current = query is not None and query.get("v") == self._version
        return self._answer(request, path, self._texts[path], _FOREVER if current else _REVALIDATE)

    @cached_property
    def _texts(self) -> dict[str, str]:
        """Text of each file by its path. Each reference to another file carries the version."""
        return {path: _REFERENCE.sub(rf'"\1?v={self._version}"', text) for path, text in _files().items()}

    @cached_property
    def _version(self) -> str:
        return _digest("".join(path + text for path, text in _files().items()))[:6]

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
        """Content security policy of the page: it connects to its own origin and to the configured issuer only."""
        if not self._with_oidc:
            return _POLICY
        addresses = [self._settings.oidc_issuer]
        # Cognito's token endpoint is on another host than its issuer. If the issuer does not answer, the request for
        # config.json reports it.
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


def _files() -> dict[str, str]:
    """Text of each file by its path below FILES, in a fixed order."""
    paths = sorted(path for path in FILES.rglob("*") if path.suffix in _TYPES)
    return {path.relative_to(FILES).as_posix(): _stripped(path) for path in paths}


def _stripped(path: Path) -> str:
    """Text of a file without comments, indentation and empty lines.

    No string of the page spans lines or contains the beginning of a comment.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix not in {".js", ".css"}:
        return text
    if path.suffix == ".css":
        return _CSS_BLANK.sub("", _COMMENT.sub("", text))
    return _MARGIN.sub(r"\1", _COMMENT.sub(" ", text)).lstrip()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
