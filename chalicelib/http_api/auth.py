"""Bearer tokens: JWTs of an OIDC issuer, verified with the keys it publishes."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalice.app import Request

from chalicelib.errors import Forbidden, Unauthorized, Unavailable
from chalicelib.http_api.issuer import Issuer

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHMS = {"RSA": ("RS256", "RS384", "RS512"), "EC": ("ES256", "ES384", "ES512")}
"""Algorithms by key type: the token does not choose, and no public key serves as an HMAC secret."""
_LEEWAY = 10
"""Seconds that the clocks may differ."""
_MAX_TOKEN = 16384
_BEARER = re.compile(r"bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)", re.IGNORECASE)
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")

READ, WRITE, UPLINKS = "connections:read", "connections:write", "uplinks:write"
"""The scopes of a token."""


@dataclass(frozen=True)
class Caller:
    """The tenant and scopes of a token."""

    tenant: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raises Forbidden."""
        if scope not in self.scopes:
            raise Forbidden(f"the token lacks the scope {scope}")


class TokenVerifier:
    """``audience``: the ``aud`` claim, or ``client_id`` in an access token of Cognito's, which has no ``aud``.
    ``tenant_claim``: the name of the claim with the tenant."""

    def __init__(self, issuer: Issuer, audience: str, tenant_claim: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._tenant_claim = tenant_claim

    def caller(self, request: Request, scope: str) -> Caller:
        """Return the caller of a request.

        Raises Unauthorized, Forbidden when the token lacks ``scope`` or a tenant, Unavailable when the issuer's keys
        are not available.
        """
        claims = self._claims(request.headers.get("authorization", ""))
        tenant = claims.get(self._tenant_claim)
        if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
            raise Forbidden(f"the token names no tenant in its claim {self._tenant_claim}")
        caller = Caller(tenant, _scopes(claims))
        caller.require(scope)
        return caller

    def _claims(self, header: str) -> dict[str, Any]:
        import jwt  # noqa: PLC0415  # late: it brings cryptography, and the queue handlers need neither

        if not header.strip():
            raise Unauthorized("send a token: Authorization: Bearer <JWT>")
        match = _BEARER.fullmatch(header.strip()) if len(header) <= _MAX_TOKEN else None
        if match is None:
            raise Unauthorized("the Authorization header holds no Bearer token")
        if not self._audience:
            raise Unavailable("OIDC_AUDIENCE is not set")
        try:
            unverified = jwt.get_unverified_header(match[1])
            key = self._issuer.key(str(unverified.get("kid", "")))
            claims = jwt.decode(
                match[1],
                key.key,
                algorithms=_algorithms(key),
                issuer=self._issuer.name,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss"], "verify_aud": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("the token is expired; get a new one") from error
        except jwt.PyJWTError as error:
            raise Unauthorized("the token is not valid") from error
        if not self._meant_for_us(claims):
            raise Unauthorized("the token is for another audience")
        return claims

    def _meant_for_us(self, claims: dict[str, Any]) -> bool:
        audience = claims.get("aud", claims.get("client_id"))
        return self._audience in (audience if isinstance(audience, list) else [audience])


def _algorithms(key: "PyJWK") -> list[str]:
    allowed = ALGORITHMS.get(str(key.key_type), ())
    stated = key._jwk_data.get("alg")  # noqa: SLF001  # algorithm_name has a guess where the issuer stated none
    return [name for name in allowed if stated in {None, name}]


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    scopes: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        # Cognito writes <resource server>/<scope>.
        scopes.update(str(word).rsplit("/", 1)[-1] for word in words)
    return frozenset(scopes)
