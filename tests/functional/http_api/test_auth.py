"""Verification of tokens, and the fetches of the issuer's keys."""

import hmac
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from chalice.app import Request
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chalicelib.errors import Forbidden, Unauthorized, Unavailable
from chalicelib.http_api.auth import Caller, TokenVerifier
from chalicelib.http_api.issuer import Issuer, fetch
from tests.functional.doubles import AUDIENCE, ISSUER, TestIssuer


def request(authorization: str | None) -> Request:
    headers = {} if authorization is None else {"authorization": authorization}
    context = {"httpMethod": "GET", "resourcePath": "/connections"}
    event: dict[str, Any] = {
        "multiValueQueryStringParameters": None,
        "headers": headers,
        "pathParameters": None,
        "requestContext": context,
        "body": None,
        "stageVariables": None,
    }
    return Request(event)


@pytest.fixture
def verifier(issuer: TestIssuer) -> TokenVerifier:
    return TokenVerifier(Issuer(ISSUER, issuer.fetch), AUDIENCE, "tenant")


def test_valid_token_gives_tenant_and_scopes(verifier: TokenVerifier, issuer: TestIssuer) -> None:
    caller = verifier.caller(request(f"Bearer {issuer.token()}"), "connections:read")
    assert caller == Caller("demo", frozenset({"connections:read", "connections:write"}))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["another-api", AUDIENCE]},
        {"aud": None, "client_id": AUDIENCE},
        {"scope": "https://api.test/connections:read x/connections:write"},
        {"scope": None, "scp": ["connections:read"]},
        {"scope": None, "scp": "connections:read"},
    ],
)
def test_audience_and_scope_claims_of_common_issuers_are_accepted(
    verifier: TokenVerifier, issuer: TestIssuer, claims: dict[str, Any]
) -> None:
    assert verifier.caller(request(f"bearer  {issuer.token(**claims)}"), "connections:read").tenant == "demo"


def test_clocks_may_differ_by_a_few_seconds(verifier: TokenVerifier, issuer: TestIssuer) -> None:
    token = issuer.token(exp=int(time.time()) - 3)
    assert verifier.caller(request(f"Bearer {token}"), "connections:read").tenant == "demo"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-api"},
        {"aud": None},
        {"aud": "another-api", "client_id": AUDIENCE},
        {"aud": 5},
        {"iss": "https://other.test"},
        {"iss": None},
        {"exp": 2**30},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": 2**33},
    ],
)
def test_token_with_wrong_audience_issuer_or_time_is_refused(
    verifier: TokenVerifier, issuer: TestIssuer, claims: dict[str, Any]
) -> None:
    with pytest.raises(Unauthorized):
        verifier.caller(request(f"Bearer {issuer.token(**claims)}"), "connections:read")


@pytest.mark.parametrize(
    "header", [None, "", "Basic eDp5", "Bearer", "Bearer a.b", "Bearer a.b.c", "Bearer " + "a" * 99999]
)
def test_malformed_authorization_header_is_refused(verifier: TokenVerifier, header: str | None) -> None:
    with pytest.raises(Unauthorized):
        verifier.caller(request(header), "connections:read")


@pytest.mark.parametrize("tenant", [None, "", "a/b", "a#b", "é", "x" * 65, 5, ["demo"], "demo\n"])
def test_malformed_tenant_is_forbidden(verifier: TokenVerifier, issuer: TestIssuer, tenant: Any) -> None:
    with pytest.raises(Forbidden):
        verifier.caller(request(f"Bearer {issuer.token(tenant)}"), "connections:read")


@pytest.mark.parametrize("scope", [None, "", "connections:reads", "openid"])
def test_missing_scope_is_forbidden(verifier: TokenVerifier, issuer: TestIssuer, scope: str | None) -> None:
    with pytest.raises(Forbidden):
        verifier.caller(request(f"Bearer {issuer.token(scope=scope)}"), "connections:read")


def test_token_cannot_choose_its_algorithm(verifier: TokenVerifier, issuer: TestIssuer) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    public = issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": issuer.kid}).rsplit(".", 1)[0]
    confused = f"{head}.{urlsafe_b64encode(hmac.digest(public, head.encode(), 'sha256')).rstrip(b'=').decode()}"
    for forged in (
        jwt.encode(claims, "", algorithm="none", headers={"kid": issuer.kid}),
        confused,
        jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": issuer.kid}),
        jwt.encode(claims, issuer.key, algorithm="ES256"),
    ):
        with pytest.raises(Unauthorized):
            verifier.caller(request(f"Bearer {forged}"), "connections:read")


def test_rsa_keys_are_accepted_and_unsupported_keys_are_skipped(issuer: TestIssuer) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    published = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "rsa"}
    double = TestIssuer()
    double.extra_keys = [
        published,
        {"kty": "oct", "k": urlsafe_b64encode(b"s" * 32).decode(), "kid": "hmac"},
        {"kty": "new"},
        {},
        published | {"kid": "encryption", "use": "enc"},
    ]
    verifier = TokenVerifier(Issuer(ISSUER, double.fetch), AUDIENCE, "tenant")
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    for algorithm in ("RS256", "RS512"):
        token = jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "rsa"})
        assert verifier.caller(request(f"Bearer {token}"), "connections:read").tenant == "demo"
    for forged in (
        jwt.encode(claims, "s" * 32, algorithm="HS256", headers={"kid": "hmac"}),
        jwt.encode(claims, key, algorithm="PS256", headers={"kid": "rsa"}),
        jwt.encode(claims, key, algorithm="RS256", headers={"kid": "encryption"}),
    ):
        with pytest.raises(Unauthorized):
            verifier.caller(request(f"Bearer {forged}"), "connections:read")


def test_new_key_is_fetched_but_unknown_keys_do_not_cause_a_fetch_each() -> None:
    now = 1000.0
    double = TestIssuer()
    issuer = Issuer(ISSUER, double.fetch, lambda: now)
    assert issuer.key("one")
    asked = len(double.fetched)
    for _ in range(50):
        with pytest.raises(Unauthorized):
            issuer.key("unknown")
    assert len(double.fetched) == asked
    double.kid = "two"
    now += 31
    assert issuer.key("two")
    with pytest.raises(Unauthorized):
        issuer.key("one")


def test_stale_keys_stay_valid_while_the_issuer_is_down() -> None:
    now, down = 1000.0, False
    double = TestIssuer()

    def fetched(url: str) -> bytes:
        if down:
            raise Unavailable("down")
        return double.fetch(url)

    issuer = Issuer(ISSUER, fetched, lambda: now)
    assert issuer.key("one")
    down = True
    now += 3601
    assert issuer.key("one")
    with pytest.raises(Unavailable):
        issuer.key("two")
    down, double.kid = False, "two"
    now += 6
    assert issuer.key("two")


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"issuer": "https://other.test", "jwks_uri": "https://other.test/jwks"}']
)
def test_issuer_with_an_invalid_document_is_unavailable(document: bytes) -> None:
    with pytest.raises(Unavailable):
        Issuer(ISSUER, lambda _: document).key("one")


def test_missing_issuer_or_audience_setting_is_unavailable(issuer: TestIssuer) -> None:
    with pytest.raises(Unavailable):
        TokenVerifier(Issuer("", issuer.fetch), AUDIENCE, "tenant").caller(request(f"Bearer {issuer.token()}"), "x")
    with pytest.raises(Unavailable):
        TokenVerifier(Issuer(ISSUER, issuer.fetch), "", "tenant").caller(
            request(f"Bearer {issuer.token(aud='')}"), "connections:read"
        )


@pytest.mark.parametrize(
    "url", ["http://issuer.test/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://127.0.0.1:9/x"]
)
def test_fetch_refuses_plain_http_other_schemes_and_closed_ports(url: str) -> None:
    with pytest.raises(Unavailable):
        fetch(url)
