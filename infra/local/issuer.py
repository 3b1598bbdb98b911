"""A small OIDC issuer with tokens for tests and a sign-in for the console that needs no password.

``python -m infra.local.issuer --port N --directory DIR``. The first start creates the key in DIR, where other processes
of the stack read it to create tokens.
"""

import argparse
import base64
import hashlib
import os
import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.http_service import Reply, Request, run, service

AUDIENCE = "iot-flow-local"
ALL_SCOPES = ("connections:read", "connections:write", "uplinks:write")
_KEY_FILE = "issuer-key.pem"
_KEY_ID = "local-1"
_KEY_BITS = 2048
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


class Issuer:
    """``url`` is the issuer's name in its tokens and the base of its documents."""

    def __init__(self, directory: Path, url: str) -> None:
        self.url = url
        self._key = _load_or_make_key(directory / _KEY_FILE)

    def token(self, tenant: str, scopes: Sequence[str] = ALL_SCOPES, hours: float = 24) -> str:
        """A signed access token."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": f"local|{tenant}",
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + int(hours * 3600),
            "jti": str(uuid.uuid4()),
            "scope": " ".join(scopes),
            "tenant": tenant,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": _KEY_ID})

    def key_set(self) -> dict[str, Any]:
        """The public key as JWKS."""
        public: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": _KEY_ID, "use": "sig", "alg": "RS256"}]}

    def configuration(self) -> dict[str, Any]:
        """The discovery document."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks.json",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", *ALL_SCOPES],
        }


class IssuerService:
    """The issuer over HTTP. It serves this machine only, so it signs every user in as tenant ``demo``."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._challenges: dict[str, str] = {}

    def respond(self, request: Request) -> Reply:
        match request.method, request.path:
            case "GET", "/.well-known/openid-configuration":
                reply = Reply.of_json(self._issuer.configuration())
            case "GET", "/jwks.json":
                reply = Reply.of_json(self._issuer.key_set())
            case "GET", "/authorize":
                reply = self._authorize(dict(parse_qsl(request.query)))
            case "POST", "/token":
                reply = self._exchange(dict(parse_qsl(request.body.decode())))
            case "OPTIONS", _:
                reply = Reply(204, b"")
            case _:
                reply = Reply.of_json({"error": "not found"}, 404)
        # The console has another port, therefore another origin.
        return replace(reply, headers={**reply.headers, "Access-Control-Allow-Origin": "*"})

    def _authorize(self, parameters: dict[str, str]) -> Reply:
        """Answers with an authorization code (PKCE). Redirects to this machine only."""
        target, challenge = parameters.get("redirect_uri", ""), parameters.get("code_challenge", "")
        if urlsplit(target).hostname not in _THIS_MACHINE or parameters.get("code_challenge_method") != "S256":
            return Reply.of_json({"error": "invalid_request"}, 400)
        code = secrets.token_urlsafe(24)
        self._challenges[code] = challenge
        answer = {"code": code} | ({"state": parameters["state"]} if "state" in parameters else {})
        separator = "&" if urlsplit(target).query else "?"
        return Reply(302, b"", headers={"Location": f"{target}{separator}{urlencode(answer)}"})

    def _exchange(self, form: dict[str, str]) -> Reply:
        challenge = self._challenges.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if challenge is None or base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != challenge:
            return Reply.of_json({"error": "invalid_grant"}, 400)
        token = self._issuer.token("demo")
        seconds = 24 * 3600
        return Reply.of_json({"access_token": token, "id_token": token, "token_type": "Bearer", "expires_in": seconds})


def _load_or_make_key(path: Path) -> rsa.RSAPrivateKey:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(encoded)
    loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise TypeError(f"{path} is not an RSA key.")
    return loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    arguments = parser.parse_args()
    issuer = Issuer(arguments.directory, f"http://127.0.0.1:{arguments.port}")
    run(service(arguments.port, IssuerService(issuer).respond))


if __name__ == "__main__":
    main()
