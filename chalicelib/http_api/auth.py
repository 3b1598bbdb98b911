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

    ``audience``: the expected ``aud`` claim. Cognito's access tokens have none: there, ``audience`` is the resource
    server's identifier, with which the token's scopes begin, or the token's ``client_id``.
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
        caller = Caller(tenant, self._scopes(claims))
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
        if _is_id_token(claims):
            raise Unauthorized("The token is an ID token. Send the access token that the issuer returns beside it.")
        if not self._is_for_us(claims):
            raise Unauthorized("The token is issued for another audience. Request a token for this API.")
        return claims

    def _is_for_us(self, claims: dict[str, Any]) -> bool:
        audience = claims.get("aud", claims.get("client_id"))
        listed = self._audience in (audience if isinstance(audience, list) else [audience])
        return listed or bool(self._own_scopes(claims))

    def _scopes(self, claims: dict[str, Any]) -> frozenset[str]:
        # The prefix of scopes is a resource server at Cognito, which binds them to one API as ``aud`` does elsewhere.
        return self._own_scopes(claims) or frozenset(word.rsplit("/", 1)[-1] for word in _words(claims))

    def _own_scopes(self, claims: dict[str, Any]) -> frozenset[str]:
        """Return the scopes of the resource server that is the audience; none for a token with ``aud``."""
        if "aud" in claims:
            return frozenset()
        own = f"{self._audience}/"
        return frozenset(word.removeprefix(own) for word in _words(claims) if word.startswith(own))


def _algorithms(key: "PyJWK") -> list[str]:
    allowed = ALGORITHMS.get(str(key.key_type), ())
    stated = key._jwk_data.get("alg")  # noqa: SLF001  # algorithm_name guesses where the issuer states none
    return [name for name in allowed if stated in {None, name}]


def _is_id_token(claims: dict[str, Any]) -> bool:
    """Recognise an ID token by a claim of Cognito (``token_use``), Keycloak (``typ``) or any issuer (``at_hash``)."""
    return claims.get("token_use", "access") != "access" or claims.get("typ") == "ID" or "at_hash" in claims


def _words(claims: dict[str, Any]) -> list[str]:
    """Return the scopes as the issuer writes them."""
    # Entra ID names the permissions of an application in ``roles``. Those of a user do not count: they say what the
    # user may do anywhere, not what the user let this client do, and ID tokens carry them, too.
    names = ("scope", "scp", "roles") if claims.get("idtyp") == "app" else ("scope", "scp")
    words: list[str] = []
    for name in names:
        value = claims.get(name)
        words += value.split() if isinstance(value, str) else map(str, value) if isinstance(value, list) else []
    return words
