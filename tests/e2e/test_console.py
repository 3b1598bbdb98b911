"""The web page in a browser against the local stack: the walks of a user, and the errors on the way."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from playwright.sync_api import Browser, expect

from infra.local.issuer import Issuer
from tests.e2e.client import Stack, eventually
from tests.e2e.console import Console, console_in, pem_files, tcp_form
from tests.e2e.reports import uplink

XSS = "<img src=x onerror=alert(1)>"


@pytest.fixture
def console(browser: Browser, stack: Stack) -> Iterator[Console]:
    with console_in(browser, stack) as opened:
        yield opened


@pytest.fixture
def saved(stack: Stack, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """A connection that exists before the page is opened."""
    created = stack.connect(request.node.name[:100], stack.configuration(uplinkTopicPattern="page.{DevEUI}"))
    stack.wait_open(created["id"])
    yield created
    stack.api("DELETE", f"/connections/{created['id']}")


def id_of(console: Console) -> str:
    console.page.wait_for_url(re.compile(r"#/connections/"))
    return console.page.url.rpartition("/")[2]


def expired_token(stack: Stack) -> str:
    issuer = json.loads((stack.directory / "issuer.json").read_text())["issuer"]
    return Issuer(stack.directory, issuer).token("demo", hours=-1)


# Walks of a user


def test_tcp_connection_is_tested_created_and_shows_its_traffic(console: Console) -> None:
    stack, page = console.stack, console.page
    console.open()
    console.begin_creating()
    console.fill(tcp_form(stack, "Walk over TCP"))
    console.field("Uplink Topic Pattern").fill("site.{CustomerData.name}.uplink")
    expect(page.locator(".preview .caution")).to_contain_text("{CustomerData.name} may contain dots")
    console.field("Uplink Topic Pattern").fill("amqp.things.{DevEUI}.uplink")
    expect(page.get_by_text("amqp.things.0018B20000000B20.uplink")).to_be_visible()
    expect(page.locator(".preview .caution")).to_be_empty()
    console.button("Test connection").click()
    expect(page.get_by_text("All checks passed.")).to_be_visible()
    assert page.locator(".steps li").count() >= 5
    console.button("Create").click()
    console.expect_notification("The application “Walk over TCP” has been created.")
    expect(console.heading("Walk over TCP")).to_be_visible()
    expect(page.locator(".state-line")).to_contain_text("OPENED")
    stack.bind("walk", "amqp.things.#")
    for counter in range(3):
        assert stack.lrc.post(uplink(0xA1, counter)) == 200
    expect(page.get_by_role("img", name="Uplinks: Delivered 3, Failed 0, Lost 0, Waiting 0")).to_be_visible(
        timeout=30_000
    )
    expect(page.locator(".big")).to_have_text("1")
    console.button("1 d").click()
    expect(page.get_by_role("img", name=re.compile("^Messages over time: 3 uplinks"))).to_be_visible()
    assert stack.api("DELETE", f"/connections/{id_of(console)}").status == 204


def test_ssl_connection_is_created_from_pasted_pem_and_files(console: Console) -> None:
    stack, page = console.stack, console.page
    console.open()
    console.begin_creating()
    expect(console.field("Certificate")).to_be_hidden()
    console.field("Protocol").select_option("SSL")
    files = pem_files(stack)
    host = f"localhost:{stack.info['amqp']['tlsPort']}"
    console.fill(tcp_form(stack, "Walk over SSL", Hostname=host))
    console.field("Certificate").fill(files["Certificate"].read_text())
    for name in ("Private Key", "Trusted CA"):
        part = page.locator(".field", has=console.field(name))
        with page.expect_file_chooser() as chooser:
            part.get_by_role("button", name="Choose a file").click()
        chooser.value.set_files(files[name])
        expect(console.field(name)).to_have_value(re.compile("BEGIN"))
    console.button("Test connection").click()
    expect(page.get_by_text("All checks passed.")).to_be_visible()
    console.button("Create").click()
    console.expect_notification("has been created")
    expect(page.locator(".state-line")).to_contain_text("OPENED")
    saved = stack.api("GET", f"/connections/{id_of(console)}").json["configuration"]
    assert (saved["protocol"], saved["privateKey"], saved["password"]) == ("SSL", "*****", "*****")
    assert "BEGIN" not in page.content()
    assert stack.api("DELETE", f"/connections/{id_of(console)}").status == 204


def test_setting_changes_after_confirmation_with_notification(console: Console, saved: dict[str, Any]) -> None:
    page = console.page
    console.open()
    console.show(saved["id"])
    console.button("Edit Description").click()
    expect(console.field("Description")).to_be_focused()
    console.field("Description").fill("For the office in Paris")
    console.button("Confirm").click()
    expect(page.get_by_role("dialog")).to_contain_text("For the office in Paris")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(console.button("Confirm")).to_be_focused()
    assert "description" not in console.stack.api("GET", f"/connections/{saved['id']}").json["configuration"]
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    console.expect_notification("Description has been updated.")
    expect(console.button("Edit Description")).to_be_focused()
    changed = console.stack.api("GET", f"/connections/{saved['id']}").json
    assert changed["configuration"]["description"] == "For the office in Paris"
    assert changed["version"] == saved["version"] + 1


def test_change_of_host_requires_the_password_again(console: Console, saved: dict[str, Any]) -> None:
    amqp = console.stack.info["amqp"]
    console.open()
    console.show(saved["id"])
    console.button("Edit Hostname").click()
    console.field("Hostname").fill(f"localhost:{amqp['port']}")
    console.button("Confirm").click()
    expect(console.error_of("AMQP Password")).to_contain_text("mandatory")
    console.field("AMQP Password").fill(amqp["password"])
    console.button("Confirm").click()
    console.page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    console.expect_notification("Hostname has been updated.")
    console.stack.wait_open(saved["id"])


def test_outdated_change_must_be_confirmed_again(console: Console, saved: dict[str, Any]) -> None:
    console.allow("412")
    console.open()
    console.show(saved["id"])
    console.button("Edit Application Name").click()
    console.field("Application Name").fill("Mine")
    console.button("Confirm").click()
    console.stack.api("PATCH", f"/connections/{saved['id']}", {"configuration": {"description": "Theirs"}})
    console.button("Confirm").click()
    expect(console.page.get_by_text("This connection was changed in the meantime.")).to_be_visible()
    expect(console.field("Application Name")).to_have_value("Mine")
    console.button("Confirm").click()
    console.button("Confirm").click()
    console.expect_notification("Application Name has been updated.")
    both = console.stack.api("GET", f"/connections/{saved['id']}").json
    assert (both["name"], both["configuration"]["description"]) == ("Mine", "Theirs")


def test_connection_is_deactivated_activated_and_restarted(console: Console, saved: dict[str, Any]) -> None:
    page = console.page
    console.open()
    console.show(saved["id"])
    switch = page.get_by_role("switch", name="Active")
    switch.click()
    page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    expect(page.locator(".state-line")).to_contain_text("DEACTIVATED")
    expect(console.button("Restart")).to_be_disabled()
    switch.click()
    expect(page.locator(".state-line")).to_contain_text("OPENED")
    console.button("Restart").click()
    console.expect_notification("restarted")
    console.button("Test connection").click()
    expect(page.get_by_text("All checks passed.")).to_be_visible()


def test_unreachable_broker_is_shown_with_reason_and_next_attempt(console: Console, saved: dict[str, Any]) -> None:
    console.stack.api(
        "PATCH", f"/connections/{saved['id']}", {"configuration": {"hostName": "127.0.0.1:9", "password": "x"}}
    )
    console.open()
    console.show(saved["id"])
    state = console.page.locator(".state-line")
    expect(state).to_contain_text(re.compile(r"UNREACHABLE.*127\.0\.0\.1:9.*Next attempt: \d\d:\d\d:\d\d\."))


def test_connection_is_deleted_after_its_name_is_typed(console: Console, saved: dict[str, Any]) -> None:
    console.open()
    console.show(saved["id"])
    console.button("Delete").click()
    dialog = console.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not the name")
    dialog.get_by_role("textbox").fill(saved["name"])
    dialog.get_by_role("button", name="Delete").click()
    console.expect_notification("has been deleted")
    expect(console.heading("Connections")).to_be_visible()
    assert console.stack.api("GET", f"/connections/{saved['id']}").status == 404


def test_failed_messages_are_read_replayed_and_purged(console: Console, saved: dict[str, Any]) -> None:
    stack, page = console.stack, console.page
    path = f"/connections/{saved['id']}/messages"
    report = {"BS_alarm": {"ID": 102, "LrrID": XSS, "CustomerID": "1"}}
    for number in range(2):
        assert stack.lrc.post({"BS_alarm": {**report["BS_alarm"], "ID": number}}) == 200
    eventually(lambda: len(stack.api("GET", path).json) == 2, "the failed messages")
    console.open()
    console.show(saved["id"])
    page.get_by_role("button", name="Open").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("PATTERN_UNRESOLVED")
    expect(dialog.locator("pre")).to_contain_text(XSS)
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("checkbox", name="Select the message").first.check()
    console.button("Replay").click()
    console.expect_notification("1 message was put back in the queue.")
    eventually(lambda: len(stack.api("GET", path).json) == 2, "the replayed message fails again")
    console.button("Purge").click()
    dialog.get_by_role("button", name="Purge").click()
    console.expect_notification("removed")
    expect(page.get_by_text("No failed messages.")).to_be_visible()
    assert stack.api("GET", path).json == []


def test_alarm_is_added_and_removed(console: Console, saved: dict[str, Any]) -> None:
    page = console.page
    console.open()
    console.show(saved["id"])
    console.button("Add an alarm").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Minimum uplinks per hour").fill("5")
    dialog.get_by_label("Time zone").fill("Europe/Nowhere")
    console.allow("422")
    dialog.get_by_role("button", name="Add").click()
    expect(dialog.get_by_role("alert")).to_contain_text("time zone")
    dialog.get_by_label("Time zone").fill("Europe/Paris")
    dialog.get_by_role("button", name="Add").click()
    expect(page.get_by_role("cell", name="Europe/Paris")).to_be_visible()
    (alarm,) = console.stack.api("GET", f"/connections/{saved['id']}").json["alarms"]
    assert (alarm["uplinkRateMinPerHour"], alarm["recurrence"][0]["frequency"]) == (5, "daily")
    console.button("Remove the alarm").click()
    dialog.get_by_role("button", name="Remove").click()
    console.expect_notification("The alarm has been removed.")


# Errors


def test_errors_are_shown_beside_their_fields_and_input_is_kept(console: Console) -> None:
    console.allow("422")
    console.open()
    console.begin_creating()
    console.button("Create").click()
    expect(console.field("Application Name")).to_be_focused()
    for name in ("Application Name", "Hostname", "Uplink Topic Pattern", "Downlink Topic Pattern"):
        expect(console.error_of(name)).to_contain_text("mandatory")
    console.fill(tcp_form(console.stack, "Wrong", **{"Uplink Topic Pattern": "up.{DevEUI[}", "Hostname": "10.0.0.1"}))
    console.button("Create").click()
    expect(console.error_of("Uplink Topic Pattern")).to_contain_text("at character")
    expect(console.error_of("Hostname")).to_contain_text("not public")
    expect(console.field("Hostname")).to_be_focused()
    expect(console.field("AMQP Password")).to_have_value(console.stack.info["amqp"]["password"])
    expect(console.page.get_by_text("2 fields need your attention.")).to_be_visible()
    console.fill({"Uplink Topic Pattern": "up.{DevEUI}"})
    expect(console.error_of("Uplink Topic Pattern")).to_have_count(0)
    expect(console.page.get_by_text("1 field needs your attention.")).to_be_visible()
    expect(console.error_of("Hostname")).to_contain_text("not public")
    console.fill({"Hostname": "amqp.example.com"})
    expect(console.page.get_by_text("your attention")).to_have_count(0)


def test_private_key_of_another_certificate_is_refused_beside_its_field(console: Console) -> None:
    console.allow("422")
    other = trustme.CA().issue_cert("other.test").private_key_pem.bytes().decode()
    console.open()
    console.begin_creating()
    console.field("Protocol").select_option("SSL")
    console.fill(tcp_form(console.stack, "Wrong key", Hostname="amqp.example.com:5671"))
    console.field("Certificate").fill(pem_files(console.stack)["Certificate"].read_text())
    console.field("Private Key").fill(other)
    console.button("Create").click()
    expect(console.error_of("Private Key")).to_be_visible()
    expect(console.field("Private Key")).to_be_focused()


def test_failed_connection_test_shows_the_failed_step(console: Console) -> None:
    console.open()
    console.begin_creating()
    console.fill(tcp_form(console.stack, "Wrong password", **{"AMQP Password": "wrong"}))
    console.button("Test connection").click()
    expect(console.page.get_by_text("The test stopped")).to_be_visible()
    expect(console.page.locator(".steps li.bad")).to_contain_text("Log in")


def test_expired_token_is_replaced_without_leaving_the_form(console: Console) -> None:
    console.allow("401")
    console.open()
    console.begin_creating()
    console.fill(tcp_form(console.stack, "After the night"))
    late = {"authorization": f"Bearer {expired_token(console.stack)}"}
    console.page.route("**/connections", lambda route: route.continue_(headers={**route.request.headers, **late}))
    console.button("Create").click()
    dialog = console.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Your session has expired")
    console.page.unroute("**/connections")
    console.page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Token").fill(console.stack.info["token"])
    dialog.get_by_role("button", name="Sign in").click()
    console.expect_notification("has been created")
    assert console.stack.api("DELETE", f"/connections/{id_of(console)}").status == 204


def test_change_with_a_read_only_token_shows_the_missing_scope(console: Console, saved: dict[str, Any]) -> None:
    console.allow("403")
    console.open(console.stack.info["readOnlyToken"])
    console.show(saved["id"])
    console.button("Edit Application Name").click()
    console.field("Application Name").fill("Not mine")
    console.button("Confirm").click()
    console.page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    expect(console.page.get_by_text("Your token does not permit this action. The token lacks")).to_be_visible()
    expect(console.field("Application Name")).to_have_value("Not mine")


def test_expired_token_is_refused_at_sign_in(console: Console) -> None:
    console.allow("401")
    console.page.goto(console.stack.info["consoleUrl"])
    console.sign_in(expired_token(console.stack))
    expect(console.page.get_by_role("alert")).to_contain_text("expired")
    expect(console.field("Token")).to_be_focused()


def test_form_is_kept_while_the_network_is_down(console: Console) -> None:
    console.allow("ERR_INTERNET_DISCONNECTED")
    console.open()
    console.begin_creating()
    console.fill(tcp_form(console.stack, "In the tunnel"))
    console.context.set_offline(True)
    console.button("Create").click()
    expect(console.page.get_by_role("alert").first).to_contain_text("cannot be reached")
    console.field("Uplink Topic Pattern").fill("amqp.tunnel.{DevEUI}.uplink")
    expect(console.page.locator(".preview")).to_contain_text("cannot be reached")
    console.context.set_offline(False)
    expect(console.field("Application Name")).to_have_value("In the tunnel")
    console.field("Description").fill("Out of the tunnel")
    expect(console.page.locator(".preview")).to_contain_text("amqp.tunnel.0018B20000000B20.uplink")
    console.button("Create").click()
    console.expect_notification("has been created")
    expect(console.page.locator(".offline")).to_be_hidden()
    assert console.stack.api("DELETE", f"/connections/{id_of(console)}").status == 204


def test_internal_server_error_is_shown_with_its_request_id(console: Console) -> None:
    console.allow("500", "503")
    console.open()
    console.begin_creating()
    console.fill(tcp_form(console.stack, "Bad day"))
    problem = {"title": "Internal Server Error", "status": 500, "requestId": "r-1"}
    console.page.route(
        "**/connections",
        lambda route: route.fulfill(status=500, content_type="application/problem+json", body=json.dumps(problem)),
    )
    console.button("Create").click()
    expect(console.page.get_by_text("The server reported an internal error.")).to_contain_text("r-1")
    expect(console.field("Application Name")).to_have_value("Bad day")


def test_details_work_on_a_server_without_statistics(console: Console, saved: dict[str, Any]) -> None:
    console.allow("403")
    console.page.route(
        "**/statistics?**", lambda route: route.fulfill(status=403, json={"message": "Missing Authentication Token"})
    )
    console.open()
    console.show(saved["id"])
    expect(console.page.get_by_text("Statistics are not available on this server.")).to_be_visible()
    expect(console.button("Edit Hostname")).to_be_visible()


def test_markup_in_a_name_is_shown_as_text(console: Console) -> None:
    created = console.stack.connect(XSS, console.stack.configuration(description=f"<script>alert(1)</script>{XSS}"))
    console.open()
    link = console.page.get_by_role("link", name=XSS)
    expect(link).to_have_text(XSS)
    link.click()
    expect(console.heading(XSS)).to_have_text(XSS)
    console.button("Delete").click()
    expect(console.page.get_by_role("dialog")).to_contain_text(XSS)
    assert console.page.locator("img[src=x]").count() == 0
    console.stack.api("DELETE", f"/connections/{created['id']}")


def test_connection_is_created_with_the_keyboard_alone(console: Console) -> None:
    page = console.page
    page.goto(console.stack.info["consoleUrl"])
    expect(console.field("Token")).to_be_focused()
    page.keyboard.insert_text(console.stack.info["token"])
    page.keyboard.press("Enter")
    expect(console.heading("Connections")).to_be_visible()
    expect(console.button("Create")).to_be_visible()

    def tab_to(target: Any) -> None:
        for _ in range(80):
            if target.evaluate("element => element === document.activeElement"):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"not reached with Tab: {target}")

    tab_to(console.button("Create"))
    page.keyboard.press("Enter")
    expect(console.button("AMQP")).to_be_focused()
    page.keyboard.press("Enter")
    expect(console.field("Application Name")).to_be_focused()
    for name, value in tcp_form(console.stack, "By keyboard").items():
        tab_to(console.field(name))
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(value)
    tab_to(console.button("Create"))
    page.keyboard.press("Enter")
    console.expect_notification("has been created")
    expect(console.heading("By keyboard")).to_be_focused()
    assert console.stack.api("DELETE", f"/connections/{id_of(console)}").status == 204
