"""Bearer tokens: JWTs of an OIDC issuer, verified with the keys that the issuer publishes."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalice.app import Request

from chalicelib.errors import Forbidden, Unauthorized, Unavailable
from chalicelib.http_api.bodies import check_unique_parameters
from chalicelib.http_api.issuer import Issuer

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHMS = {"RSA": ("RS256", "RS384", "RS512"), "EC": ("ES256", "ES384", "ES512")}
"""Allowed signature algorithms by key type. The token cannot choose HMAC, which would use a public key as a secret."""
_LEEWAY = 10
"""Allowed difference in seconds between the issuer's clock and this one."""
_MAX_TOKEN = 16384
_BEARER = re.compile(r"bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)", re.IGNORECASE)
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")

READ, WRITE, UPLINKS = "connections:read", "connections:write", "uplinks:write"
"""The scopes that a token may carry."""


@dataclass(frozen=True)
class Caller:
    """The tenant and the scopes of a verified token."""

    tenant: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Check that the token has a scope. Raises Forbidden."""
        if scope not in self.scopes:
            raise Forbidden(f"The token lacks the scope {scope}. Request a token with this scope.")


class TokenVerifier:
    """Verifies bearer tokens and returns their callers.

    ``audience``: the expected ``aud`` claim, or ``client_id`` in access tokens of Cognito, which have no ``aud``.
    ``tenant_claim``: the name of the claim that holds the tenant.
    """

    def __init__(self, issuer: Issuer, audience: str, tenant_claim: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._tenant_claim = tenant_claim

    def caller(self, request: Request, scope: str) -> Caller:
        """Return the caller of a request.

        Raises Unauthorized, Forbidden when the token lacks ``scope`` or a tenant, Unavailable when the issuer's keys
        cannot be fetched, and InvalidRequest when a query parameter is repeated.
        """
        claims = self._claims(request.headers.get("authorization", ""))
        tenant = claims.get(self._tenant_claim)
        if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
            raise Forbidden(
                f"The claim {self._tenant_claim} of the token must be a tenant's name: 1 to 64 letters, digits, _ or -."
            )
        caller = Caller(tenant, _scopes(claims))
        caller.require(scope)
        # Every route with a token comes here, so that none can forget the check.
        check_unique_parameters(request)
        return caller

    def _claims(self, header: str) -> dict[str, Any]:
        import jwt  # noqa: PLC0415  # imports cryptography, which the queue handlers do not need

        if not header.strip():
            raise Unauthorized("The request has no token. Send the header Authorization: Bearer <JWT>.")
        match = _BEARER.fullmatch(header.strip()) if len(header) <= _MAX_TOKEN else None
        if match is None:
            raise Unauthorized("The Authorization header is not a bearer token. Send Authorization: Bearer <JWT>.")
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
            raise Unauthorized("The token has expired. Request a new token.") from error
        except jwt.PyJWTError as error:
            raise Unauthorized("The token is not valid. Request a new token from the configured issuer.") from error
        if not self._has_our_audience(claims):
            raise Unauthorized("The token is issued for another audience. Request a token for this API.")
        return claims

    def _has_our_audience(self, claims: dict[str, Any]) -> bool:
        audience = claims.get("aud", claims.get("client_id"))
        return self._audience in (audience if isinstance(audience, list) else [audience])


def _algorithms(key: "PyJWK") -> list[str]:
    allowed = ALGORITHMS.get(str(key.key_type), ())
    stated = key._jwk_data.get("alg")  # noqa: SLF001  # algorithm_name guesses where the issuer states none
    return [name for name in allowed if stated in {None, name}]


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    scopes: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        # Cognito writes scopes as <resource server>/<scope>.
        scopes.update(str(word).rsplit("/", 1)[-1] for word in words)
    return frozenset(scopes)
