"""A small OIDC issuer: its documents, its key, and tokens for tests and the console.

``python -m infra.local.issuer --port N --directory DIR``. The key is made at the first start and kept in DIR, so that
other processes of the stack can make tokens without asking.
"""

import argparse
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.http_service import Reply, Request, run, service

AUDIENCE = "iot-flow-local"
ALL_SCOPES = ("connections:read", "connections:write", "uplinks:write")
_KEY_FILE = "issuer-key.pem"
_KEY_ID = "local-1"
_KEY_BITS = 2048


class Issuer:
    """``url`` is the issuer's name in the tokens and where its documents are."""

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
        """The public key, as JWKS."""
        public: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": _KEY_ID, "use": "sig", "alg": "RS256"}]}

    def configuration(self) -> dict[str, Any]:
        """The discovery document. There is no sign-in page: tokens come from ``make token``."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks.json",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": list(ALL_SCOPES),
        }

    def respond(self, request: Request) -> Reply:
        documents = {"/.well-known/openid-configuration": self.configuration, "/jwks.json": self.key_set}
        document = documents.get(request.path)
        if document is None or request.method != "GET":
            return Reply.of_json({"error": "not found"}, 404)
        return Reply.of_json(document())


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
        raise TypeError(f"{path} is not an RSA key")
    return loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    arguments = parser.parse_args()
    issuer = Issuer(arguments.directory, f"http://127.0.0.1:{arguments.port}")
    run(service(arguments.port, issuer.respond))


if __name__ == "__main__":
    main()
