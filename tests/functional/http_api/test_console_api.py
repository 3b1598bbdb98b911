"""The page as it is served: by name only, with what a browser must be told about it."""

import json
import re
from typing import Any

import pytest

from chalicelib.config import Settings
from chalicelib.entry.services import Services
from chalicelib.http_api.console_api import FILES, ConsoleApi
from chalicelib.http_api.issuer import Issuer
from tests.functional.doubles import ISSUER, Api

POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
OIDC = Settings(oidc_issuer=ISSUER, oidc_client_id="page", tenant_claim="tenant")
DISCOVERED = {
    "issuer": ISSUER,
    "jwks_uri": f"{ISSUER}/jwks",
    "authorization_endpoint": "https://login.test/authorize",
    "token_endpoint": "https://login.test/token",
}


@pytest.fixture
def console(api: Api) -> Api:
    return api.as_token(None)


def with_issuer(services: Services, document: Any) -> None:
    issuer = Issuer(ISSUER, lambda _: json.dumps(document).encode())
    services.console_api = ConsoleApi(OIDC, issuer)


def test_the_page_needs_no_token_and_states_its_policy(console: Api) -> None:
    answer = console.call("GET", "/console")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


def test_an_unchanged_file_is_answered_with_304(console: Api) -> None:
    for path in ("/console", "/console/main.js", "/console/config.json"):
        etag = console.call("GET", path).headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            answer = console.call("GET", path, If_None_Match=known)
            assert (answer.status, answer.body) == (304, b""), known
            assert answer.headers["etag"] == etag
        assert console.call("GET", path, If_None_Match='"other"').status == 200


def test_every_file_is_found_where_the_others_name_it_and_kept_for_ever(console: Api) -> None:
    page = console.call("GET", "/console").body.decode()
    named = set(re.findall(r'"console/([a-z_]+\.\w+\?v=\w+)"', page))
    for name in sorted(named):
        answer = console.call("GET", f"/console/{name}")
        assert answer.status == 200, name
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        imported = re.findall(r'from "\./([^"]+)"', answer.body.decode())
        assert set(imported) <= named, f"{name} imports what index.html does not preload"
    assert {name.partition("?")[0] for name in named} == {p.name for p in FILES.iterdir()} - {"index.html"}


def test_a_file_of_another_version_is_not_kept(console: Api) -> None:
    assert console.call("GET", "/console/main.js?v=old").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "index.html", "..", "%2e%2e", "..%2fconfig.py", "..%2f..%2fapp.py", "%2fetc%2fpasswd", "a%00", ""],
)  # fmt: skip
def test_only_assets_are_served(console: Api, name: str) -> None:
    answer = console.call("GET", f"/console/{name}")
    assert answer.status in ((404, 308) if not name else (404,))


def test_a_trailing_slash_leads_to_the_page_under_any_stage(services: Services) -> None:
    class Request:
        context = {"path": "/api/console/"}  # noqa: RUF012
        path = "/console"
        headers: dict[str, str] = {}  # noqa: RUF012

    answer = services.console_api.page(Request())  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["Location"]) == (308, "../console")


def test_without_a_client_at_the_issuer_the_page_takes_tokens_only(console: Api) -> None:
    assert console.call("GET", "/console/config.json").json == {"tenantClaim": "tenant", "oidc": None}


def test_with_a_client_the_page_learns_where_to_sign_in_and_may_talk_to_there(console: Api, services: Services) -> None:
    with_issuer(services, DISCOVERED)
    assert console.call("GET", "/console/config.json").json["oidc"] == {
        "clientId": "page",
        "scope": "openid connections:read connections:write",
        "authorizationEndpoint": "https://login.test/authorize",
        "tokenEndpoint": "https://login.test/token",
    }
    policy = console.call("GET", "/console").headers["content-security-policy"]
    assert policy == f"{POLICY}; connect-src 'self' {ISSUER} https://login.test"


@pytest.mark.parametrize("change", [{"token_endpoint": 7}, {"issuer": "https://other.test"}])
def test_an_issuer_that_cannot_be_used_is_503_and_the_page_is_there(
    console: Api, services: Services, change: dict[str, Any]
) -> None:
    with_issuer(services, DISCOVERED | change)
    assert console.call("GET", "/console/config.json").status == 503
    answer = console.call("GET", "/console")
    assert (answer.status, answer.headers["content-security-policy"]) == (200, f"{POLICY}; connect-src 'self' {ISSUER}")


def test_an_issuer_cannot_add_to_the_policy(console: Api, services: Services) -> None:
    with_issuer(services, DISCOVERED | {"token_endpoint": "https://x.test; script-src *"})
    assert "script-src" not in console.call("GET", "/console").headers["content-security-policy"]


def test_the_page_says_nothing_in_html_or_code_that_asks_for_trouble() -> None:
    for path in FILES.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage", text), (
            path.name
        )
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), path.name
        assert len(text.splitlines()) <= 350, path.name
