"""Sign-in at an issuer with an authorization code and PKCE, against the issuer of the local stack."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Browser, Route, expect

from infra.local.issuer import Issuer
from infra.local.processes import Child
from infra.local.stack_config import StackConfig
from infra.local.tcp_ports import free_ports
from tests.e2e.client import Stack, eventually, http
from tests.e2e.console import Console, console_in, tcp_form

SSO = "Continue with single sign-on"


class StackWithClient(Stack):
    """The local stack with a second API, whose page is a client of the issuer."""

    def __init__(self, directory: Path, url: str) -> None:
        super().__init__(directory)
        self.url = url

    @property
    def info(self) -> dict[str, Any]:
        return super().info | {"apiUrl": self.url, "consoleUrl": f"{self.url}/console"}

    @property
    def issuer(self) -> str:
        return str(json.loads((self.directory / "issuer.json").read_text())["issuer"])


@pytest.fixture(scope="module")
def with_client(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackWithClient]:
    base = str(urlsplit(stack.info["apiUrl"]).port)
    config = StackConfig.from_environment({"LOCAL_DIR": str(stack.directory), "PORT_BASE": base, "TIME_SCALE": "60"})
    (port,) = free_ports(1)
    chalice = str(Path(sys.executable).with_name("chalice"))
    child = Child(
        "api", [chalice, "local", "--stage", "local", "--port", str(port), "--no-autoreload"],
        tmp_path_factory.mktemp("api") / "api.log", {**config.environment(), "OIDC_CLIENT_ID": "page"},
    )  # fmt: skip
    try:
        found = StackWithClient(stack.directory, f"http://127.0.0.1:{port}")

        def healthy() -> bool:
            assert child.exit_code() is None, child.tail()
            try:
                return http("GET", f"{found.url}/health").status == 200
            except OSError:
                return False

        eventually(healthy, "the API answers")
        yield found
    finally:
        child.stop(5)


@pytest.fixture
def console(browser: Browser, with_client: StackWithClient) -> Iterator[Console]:
    with console_in(browser, with_client) as opened:
        opened.trust(with_client.issuer)
        opened.page.goto(with_client.info["consoleUrl"])
        yield opened


def stored(console: Console) -> Any:
    """Session storage, local storage and cookies of the page."""
    return console.page.evaluate("[Object.keys(sessionStorage), Object.keys(localStorage), document.cookie]")


def test_sign_in_at_the_issuer_stores_nothing_in_the_browser(console: Console) -> None:
    page = console.page
    expect(console.field("Token")).to_be_visible()
    with page.expect_request("**/authorize?*") as asked, page.expect_request("**/token") as got:
        console.button(SSO).click()
    expect(console.heading("Connections")).to_be_visible()
    expect(page.get_by_text("Tenant demo")).to_be_visible()
    query = dict(parse_qsl(urlsplit(asked.value.url).query))
    assert (query["response_type"], query["code_challenge_method"], query["client_id"]) == ("code", "S256", "page")
    assert {"openid", "connections:read", "connections:write"} == set(query["scope"].split())
    form = dict(parse_qsl(got.value.post_data or ""))
    assert form["grant_type"] == "authorization_code"
    assert len(form["code_verifier"]) >= 43
    assert form["code_verifier"] not in asked.value.url
    assert urlsplit(page.url).query == ""
    assert stored(console) == [[], [], ""]


def test_sign_in_survives_a_reload_where_the_issuer_allows_it(console: Console) -> None:
    page = console.page
    console.button(SSO).click()
    expect(console.heading("Connections")).to_be_visible()
    page.evaluate("location.hash = '#/connections?state=OPENED'")
    with page.expect_request("**/authorize?*") as asked:
        page.reload()
    assert dict(parse_qsl(urlsplit(asked.value.url).query))["prompt"] == "none"
    expect(console.field("State")).to_have_value("OPENED")
    assert urlsplit(page.url).fragment == "/connections?state=OPENED"
    assert urlsplit(page.url).query == ""
    assert stored(console) == [[], [], ""]


def test_reload_says_why_the_issuer_does_not_sign_in_again(console: Console) -> None:
    page = console.page
    console.button(SSO).click()
    expect(console.heading("Connections")).to_be_visible()

    def refuse(route: Route) -> None:
        query = dict(parse_qsl(urlsplit(route.request.url).query))
        target = f"{query['redirect_uri']}?error=login_required&state={query['state']}"
        route.fulfill(status=302, headers={"Location": target})

    page.route("**/authorize?**", refuse)
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("Single sign-on failed: your sign-in there has ended")
    expect(console.field("Token")).to_be_focused()
    assert stored(console) == [[], [], ""]


def test_refusal_of_the_issuer_is_shown(console: Console) -> None:
    page = console.page

    def refuse(route: Route) -> None:
        query = dict(parse_qsl(urlsplit(route.request.url).query))
        target = f"{query['redirect_uri']}?error=access_denied&error_description=Not+today&state={query['state']}"
        route.fulfill(status=302, headers={"Location": target})

    page.route("**/authorize?**", refuse)
    console.button(SSO).click()
    expect(page.get_by_role("alert")).to_contain_text("Single sign-on failed: Not today")
    expect(console.field("Token")).to_be_focused()
    assert stored(console) == [[], [], ""]


def test_forged_response_of_the_issuer_is_not_exchanged(console: Console) -> None:
    page = console.page
    exchanged: list[str] = []
    page.on("request", lambda request: exchanged.append(request.url) if request.method == "POST" else None)
    page.goto(console.stack.info["consoleUrl"] + "?code=stolen&state=forged")
    expect(page.get_by_role("alert")).to_contain_text("does not belong to this window")
    assert exchanged == []
    assert urlsplit(page.url).query == ""


def test_expired_token_is_renewed_at_the_issuer_in_another_window(
    console: Console, with_client: StackWithClient
) -> None:
    console.allow("401")
    page = console.page
    console.button(SSO).click()
    expect(console.heading("Connections")).to_be_visible()
    console.begin_creating()
    console.fill(tcp_form(with_client, "After the break"))
    late = {"authorization": f"Bearer {Issuer(with_client.directory, with_client.issuer).token('demo', hours=-1)}"}
    page.route("**/connections", lambda route: route.continue_(headers={**route.request.headers, **late}))
    console.button("Create").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Your session has expired")
    page.unroute("**/connections")
    with console.context.expect_page() as beside:
        dialog.get_by_role("button", name=SSO).click()
    console.expect_notification("has been created")
    expect(dialog).to_have_count(0)
    eventually(beside.value.is_closed, "the issuer's window is closed")
    assert stored(console) == [[], [], ""]
    page.wait_for_url("**/console#/connections/*")
    assert with_client.api("DELETE", f"/connections/{page.url.rpartition('/')[2]}").status == 204
