"""Tokens with exactly the claims that Cognito, Keycloak, Auth0 and Entra ID issue, each with the guide's settings."""

import time
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.errors import Forbidden, Unauthorized
from chalicelib.http_api.auth import READ, UPLINKS, WRITE, Caller, TokenVerifier
from chalicelib.http_api.issuer import Issuer
from tests.functional.doubles import ISSUER, TestIssuer
from tests.functional.http_api.test_auth import request

NOW = int(time.time())
ENTRA_API, ENTRA_PAGE = "6e74172b-be56-4843-9ff4-e66a39bb12e3", "00001111-aaaa-2222-bbbb-3333cccc4444"
DIRECTORY = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
TIMES = {"iat": NOW, "exp": NOW + 3600}


@dataclass(frozen=True)
class Settings:
    """The settings OIDC_AUDIENCE and TENANT_CLAIM of a deployment."""

    audience: str
    tenant_claim: str


COGNITO = Settings("iot-flow", "tenant")
KEYCLOAK = Settings("iot-flow", "tenant")
AUTH0 = Settings("https://iot-flow.example/api", "https://iot-flow.example/tenant")
ENTRA = Settings(ENTRA_API, "tid")

COGNITO_USER: dict[str, Any] = TIMES | {
    "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "iss": ISSUER,
    "version": 2,
    "client_id": "1example23456789",
    "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "event_id": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "token_use": "access",
    "scope": "iot-flow/connections:write openid iot-flow/connections:read",
    "auth_time": NOW,
    "jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "username": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "tenant": "demo",
}
COGNITO_BRIDGE: dict[str, Any] = TIMES | {
    "sub": "2example23456789",
    "token_use": "access",
    "scope": "iot-flow/uplinks:write",
    "auth_time": NOW,
    "iss": ISSUER,
    "version": 2,
    "jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "client_id": "2example23456789",
    "tenant": "demo",
}
COGNITO_ID: dict[str, Any] = TIMES | {
    "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "at_hash": "x",
    "email_verified": True,
    "iss": ISSUER,
    "cognito:username": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "aud": "1example23456789",
    "token_use": "id",
    "auth_time": NOW,
    "custom:tenant": "demo",
}
KEYCLOAK_USER: dict[str, Any] = TIMES | {
    "auth_time": NOW,
    "jti": "onrtac:0a4a9c4c",
    "iss": ISSUER,
    "aud": ["iot-flow", "account"],
    "sub": "4fd6a5c4-7b9d-4c4e-a8a5-3f5a1f3f1a11",
    "typ": "Bearer",
    "azp": "iot-flow-console",
    "sid": "3b1f",
    "acr": "1",
    "allowed-origins": ["https://api.example"],
    "realm_access": {"roles": ["uplinks:write", "offline_access"]},
    "resource_access": {"account": {"roles": ["manage-account"]}},
    "scope": "openid connections:read connections:write",
    "tenant": "demo",
}
AUTH0_USER: dict[str, Any] = TIMES | {
    "https://iot-flow.example/tenant": "demo",
    "iss": ISSUER,
    "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
    "aud": ["https://iot-flow.example/api", "https://example.eu.auth0.com/userinfo"],
    "azp": "my_client_id",
    "scope": "openid connections:read connections:write",
    "permissions": ["uplinks:write"],
}
AUTH0_BRIDGE: dict[str, Any] = TIMES | {
    "https://iot-flow.example/tenant": "demo",
    "iss": ISSUER,
    "sub": "bridge@clients",
    "aud": "https://iot-flow.example/api",
    "scope": "uplinks:write",
    "gty": "client-credentials",
    "azp": "bridge",
}
ENTRA_USER: dict[str, Any] = TIMES | {
    "aud": ENTRA_API,
    "iss": ISSUER,
    "nbf": NOW,
    "azp": ENTRA_PAGE,
    "azpacr": "0",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "rh": "I",
    "roles": ["uplinks:write"],
    "scp": "connections:read connections:write",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": DIRECTORY,
    "uti": "x",
    "ver": "2.0",
}
ENTRA_BRIDGE: dict[str, Any] = TIMES | {
    "aud": ENTRA_API,
    "iss": ISSUER,
    "nbf": NOW,
    "azp": "5c0e5d6b-1111-4843-9ff4-e66a39bb12e3",
    "azpacr": "1",
    "idtyp": "app",
    "oid": "1b2c3d4e-ff1a-4d56-abd1-7e4f7d38e474",
    "roles": ["uplinks:write"],
    "sub": "1b2c3d4e-ff1a-4d56-abd1-7e4f7d38e474",
    "tid": DIRECTORY,
    "ver": "2.0",
}
ENTRA_ID: dict[str, Any] = TIMES | {
    "aud": ENTRA_API,
    "iss": ISSUER,
    "nbf": NOW,
    "nonce": "x",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "roles": ["connections:write", "connections:read"],
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": DIRECTORY,
    "ver": "2.0",
}


def caller(issuer: TestIssuer, settings: Settings, claims: dict[str, Any], scope: str = READ) -> Caller:
    unset = {"aud": None, **claims}
    token = issuer.token(**({"tenant": None, "scope": None} | unset))
    verifier = TokenVerifier(Issuer(ISSUER, issuer.fetch), settings.audience, settings.tenant_claim)
    return verifier.caller(request(f"Bearer {token}"), scope)


@pytest.mark.parametrize(
    ("settings", "claims", "tenant"),
    [
        (COGNITO, COGNITO_USER, "demo"),
        (KEYCLOAK, KEYCLOAK_USER, "demo"),
        (AUTH0, AUTH0_USER, "demo"),
        (ENTRA, ENTRA_USER, DIRECTORY),
        (Settings("api://iot-flow", "tid"), ENTRA_USER | {"aud": "api://iot-flow", "ver": "1.0"}, DIRECTORY),
    ],
)
def test_access_token_of_a_user_lets_read_and_write_connections(
    issuer: TestIssuer, settings: Settings, claims: dict[str, Any], tenant: str
) -> None:
    found = caller(issuer, settings, claims)
    assert found.tenant == tenant
    assert found.scopes & {READ, WRITE, UPLINKS} == {READ, WRITE}


@pytest.mark.parametrize(
    ("settings", "claims"),
    [
        (COGNITO, COGNITO_BRIDGE),
        (KEYCLOAK, KEYCLOAK_USER | {"scope": "uplinks:write", "azp": "bridge"}),
        (AUTH0, AUTH0_BRIDGE),
        (ENTRA, ENTRA_BRIDGE),
    ],
)
def test_access_token_of_a_bridge_lets_send_uplinks_only(
    issuer: TestIssuer, settings: Settings, claims: dict[str, Any]
) -> None:
    assert caller(issuer, settings, claims, UPLINKS).scopes == {UPLINKS}
    with pytest.raises(Forbidden, match="lacks the scope connections:read"):
        caller(issuer, settings, claims, READ)


@pytest.mark.parametrize(
    ("settings", "claims"),
    [
        (COGNITO, COGNITO_ID),
        (Settings("1example23456789", "custom:tenant"), COGNITO_ID),
        (Settings("1example23456789", "custom:tenant"), COGNITO_ID | {"scope": "connections:read", "at_hash": None}),
        (KEYCLOAK, KEYCLOAK_USER | {"typ": "ID", "aud": "iot-flow"}),
        (AUTH0, AUTH0_USER | {"at_hash": "x"}),
    ],
)
def test_id_token_is_refused_whatever_it_carries(
    issuer: TestIssuer, settings: Settings, claims: dict[str, Any]
) -> None:
    with pytest.raises(Unauthorized, match="is an ID token"):
        caller(issuer, settings, claims)


def test_roles_of_a_user_in_an_id_token_of_entra_are_no_scopes(issuer: TestIssuer) -> None:
    with pytest.raises(Forbidden, match="lacks the scope connections:read"):
        caller(issuer, ENTRA, ENTRA_ID)


def test_scopes_of_another_resource_server_of_the_user_pool_do_not_count(issuer: TestIssuer) -> None:
    mixed = COGNITO_USER | {"scope": "iot-flow/connections:read other/connections:write"}
    assert caller(issuer, COGNITO, mixed).scopes == {READ}
    for foreign in ("other/connections:read", "connections:read", "iot-flow-2/connections:read", "iot-flow/", ""):
        with pytest.raises((Unauthorized, Forbidden)):
            caller(issuer, COGNITO, COGNITO_USER | {"scope": foreign})


def test_scopes_do_not_replace_the_audience_of_a_token_that_names_one(issuer: TestIssuer) -> None:
    with pytest.raises(Unauthorized, match="another audience"):
        caller(issuer, COGNITO, COGNITO_USER | {"aud": "https://other.example"})


def test_client_id_of_cognito_may_be_the_audience(issuer: TestIssuer) -> None:
    """The settings of the first release."""
    assert caller(issuer, Settings("1example23456789", "tenant"), COGNITO_USER).scopes >= {READ, WRITE}
    with pytest.raises(Unauthorized, match="another audience"):
        caller(issuer, Settings("1example23456789", "tenant"), COGNITO_BRIDGE, UPLINKS)
