"""The overview and the list with 300 connections of which twelve are broken in four ways."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Request, expect

from infra.local.demo.fleet import healthy, write
from infra.local.tcp_ports import free_range
from tests.e2e.client import STACK_PORTS, Stack, running_stack
from tests.e2e.console import Console, console_in
from tests.e2e.overview.fleet import WAYS, break_some

FLEET = 300
OF_EACH = 3
BROKEN = OF_EACH * len(WAYS)
REMEDIES = {
    "Login refused": "AMQP Password",
    "Connection refused": "Hostname",
    "Host not found": "Hostname",
    "Virtual host refused": "Virtual Host",
}
"""The setting that ends each fault."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose minutes are not scaled: a schedule that reads all records each second would take its time."""
    with running_stack(tmp_path_factory.mktemp("fleet"), free_range(STACK_PORTS), DEMO="0") as (running, _):
        yield running


@pytest.fixture(scope="module")
def broken(stack: Stack) -> list[str]:
    write(stack.info, "demo", healthy("demo", range(FLEET - BROKEN)))
    return break_some(stack, OF_EACH)


@pytest.fixture
def console(browser: Browser, stack: Stack) -> Iterator[Console]:
    with console_in(browser, stack) as opened:
        yield opened


def _noting(calls: list[str]) -> Callable[[Request], None]:
    return lambda request: calls.append(request.url)


def groups(console: Console) -> Any:
    return console.page.get_by_role("region", name="Needs attention").get_by_role("listitem")


@pytest.mark.usefixtures("broken")
def test_every_fault_of_three_hundred_connections_is_there_with_its_remedy(console: Console) -> None:
    began = time.monotonic()
    console.open()
    expect(groups(console)).to_have_count(len(WAYS))
    print(f"the faults of {FLEET} connections are shown {time.monotonic() - began:.1f} s after opening the page")
    for name in WAYS:
        group = groups(console).filter(has_text=f"{OF_EACH} \u00d7 {name}")
        expect(group).to_contain_text("since")
        expect(group).to_contain_text("messages waiting")
        expect(group).to_contain_text("next attempt")
        expect(group).to_contain_text(re.compile("Check|Create|allow"))


@pytest.mark.usefixtures("broken")
def test_remedy_of_each_fault_is_two_clicks_from_signing_in(console: Console) -> None:
    console.open()
    for name, setting in REMEDIES.items():
        began = time.monotonic()
        # One click leads to the connections of the group, another one to the setting to correct.
        group = groups(console).filter(has_text=f"{OF_EACH} \u00d7 {name}")
        group.get_by_role("link", name="Open").click()
        expect(console.page.locator("td.name a")).to_have_count(OF_EACH)
        console.page.locator("td.name a").first.click()
        expect(console.button(f"Edit {setting}")).to_be_visible()
        print(f"{name}: {setting} is there {time.monotonic() - began:.1f} s after the first click")
        console.page.get_by_role("link", name="Overview").click()
        expect(groups(console)).to_have_count(len(WAYS))


def test_all_faulty_connections_are_restarted_with_one_click(console: Console, broken: list[str]) -> None:
    restarted: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/restart"):
            restarted.append(request.url.split("/")[-2])

    console.page.on("request", note)
    console.open()
    began = time.monotonic()
    console.button(f"Restart all {BROKEN}").click()
    console.expect_notification(f"{BROKEN} connections are being restarted.")
    print(f"{BROKEN} connections are restarted in {time.monotonic() - began:.1f} s")
    assert sorted(restarted) == sorted(broken)


@pytest.mark.usefixtures("broken")
def test_state_counts_lead_to_their_connections(console: Console) -> None:
    console.open()
    counts = console.page.get_by_role("list", name="Connections by state")
    expect(counts.get_by_role("link", name="All")).to_contain_text(str(FLEET))
    counts.get_by_role("link", name="Opened").click()
    expect(console.page.get_by_text(f"{FLEET - BROKEN} connections match")).to_be_visible()
    assert console.page.url.endswith("#/connections?state=OPENED")
    expect(console.field("State")).to_have_value("OPENED")
    console.page.get_by_role("button", name="Next page").click()
    expect(console.page.get_by_text(f"51\u2013100 of {FLEET - BROKEN}")).to_be_visible()
    assert console.page.url.endswith("#/connections?state=OPENED&page=2")


def test_selected_connections_are_deleted_after_their_number_is_typed(console: Console, stack: Stack) -> None:
    names = [f"Doomed {number}" for number in range(3)]
    for name in names:
        stack.connect(name, stack.configuration(downlinkEnabled=False))
    console.open()
    console.field("Search").fill("doomed")
    expect(console.page.locator("td.name a")).to_have_text(names)
    bar = console.page.get_by_role("group", name="Selected connections")
    expect(bar).to_be_hidden()
    console.page.get_by_role("checkbox", name="Select all").check()
    expect(bar).to_contain_text("3 selected")
    bar.get_by_role("button", name="Deactivate").click()
    console.page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    console.expect_notification("3 connections have been deactivated.")
    expect(console.page.get_by_text("Deactivated", exact=False).locator("visible=true").first).to_be_visible()
    bar.get_by_role("button", name="Test").click()
    console.expect_notification("3 connections have passed all checks.")
    bar.get_by_role("button", name="Activate", exact=True).click()
    console.expect_notification("3 connections have been activated.")
    bar.get_by_role("button", name="Delete").click()
    dialog = console.page.get_by_role("dialog")
    dialog.get_by_label("Number of connections").fill("2")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not the number")
    dialog.get_by_label("Number of connections").fill("3")
    dialog.get_by_role("button", name="Delete").click()
    console.expect_notification("3 connections have been deleted.")
    expect(console.page.get_by_text("No connection matches")).to_be_visible()
    expect(bar).to_be_hidden()


def test_failures_of_several_connections_are_listed_by_name(console: Console, stack: Stack) -> None:
    console.allow("409")
    made = [stack.connect(f"Idle {n}", stack.configuration(downlinkEnabled=False)) for n in range(2)]
    assert stack.api("PATCH", f"/connections/{made[0]['id']}", {"active": False}).status == 200
    console.open()
    console.field("Search").fill("idle")
    expect(console.page.locator("td.name a")).to_have_count(2)
    console.page.get_by_role("checkbox", name="Select all").check()
    console.page.get_by_role("group", name="Selected connections").get_by_role("button", name="Restart").click()
    dialog = console.page.get_by_role("dialog")
    expect(dialog.get_by_role("list", name="Failed")).to_contain_text("Idle 0 The connection is inactive")
    expect(dialog).to_contain_text("1 of 2 done, 1 failed")
    dialog.get_by_role("button", name="Close").click()
    console.expect_notification("1 connection is being restarted.")
    for each in made:
        stack.api("DELETE", f"/connections/{each['id']}")


def test_configuration_is_exported_and_imported_again(console: Console, stack: Stack) -> None:
    secret = stack.info["amqp"]["password"]
    made = stack.connect("Exported", stack.configuration(description="first", downlinkEnabled=False))
    flow = {"name": "Exported flow", "connectors": [{"id": made["connectorId"], "connectionId": made["id"]}]}
    flow_id = stack.api("POST", "/flows", flow).json["id"]
    console.open()
    console.field("Search").fill("exported")
    expect(console.page.locator("td.name a")).to_have_count(1)
    console.page.get_by_role("checkbox", name="Select Exported").check()
    with console.page.expect_download() as download:
        console.page.get_by_role("group", name="Selected connections").get_by_role("button", name="Export").click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert '"secrets": [\n        "password"\n      ]' in text
    assert secret not in text
    assert "*****" not in text

    # Unchanged: nothing to do.
    console.page.get_by_role("link", name="Export or import").click()
    console.field("Configuration (JSON)").fill(text)
    console.button("Compare").click()
    expect(console.page.get_by_text("0 to create, 0 to change, 2 without a change.")).to_be_visible()
    expect(console.page.get_by_role("button", name="Import", exact=True)).to_be_disabled()

    # A changed description needs no secret.
    console.field("Configuration (JSON)").fill(text.replace('"first"', '"second"'))
    console.button("Compare").click()
    expect(console.page.get_by_text("0 to create, 1 to change, 1 without a change.")).to_be_visible()
    expect(console.page.locator(".plan .changed")).to_contain_text("Description")
    console.page.get_by_role("button", name="Import", exact=True).click()
    console.expect_notification("1 change has been imported.")
    assert stack.api("GET", f"/connections/{made['id']}").json["configuration"]["description"] == "second"

    # Another tenant's or a deleted connection is created again, with the secrets that the user enters.
    assert stack.api("DELETE", f"/flows/{flow_id}").status == 204
    assert stack.api("DELETE", f"/connections/{made['id']}").status == 204
    console.button("Compare").click()
    expect(console.page.get_by_text("2 to create, 0 to change, 0 without a change.")).to_be_visible()
    console.page.get_by_role("button", name="Import", exact=True).click()
    expect(console.page.get_by_role("alert")).to_contain_text("Enter all missing secrets.")
    console.field("AMQP Password, Exported").fill(secret)
    console.page.get_by_role("button", name="Import", exact=True).click()
    console.expect_notification("2 changes have been imported.")
    [again] = stack.api("GET", "/connections?name=Exported").json
    stack.wait_open(again["id"])
    [flow_again] = stack.api("GET", f"/flows?connectionId={again['id']}").json
    assert flow_again["name"] == "Exported flow"
    assert stack.api("DELETE", f"/flows/{flow_again['id']}").status == 204
    assert stack.api("DELETE", f"/connections/{again['id']}").status == 204


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "This is not JSON"),
        ("{}", "The member format must be"),
        ('{"format": "iot-flow-configuration"}', "release is undefined"),
    ],
)
def test_unusable_configuration_is_refused_with_the_reason(console: Console, text: str, complaint: str) -> None:
    console.open()
    console.page.evaluate("location.hash = '#/configuration'")
    console.field("Configuration (JSON)").fill(text)
    console.button("Compare").click()
    expect(console.page.get_by_role("alert")).to_contain_text(complaint)


@pytest.mark.usefixtures("broken")
def test_keyboard_shortcuts_open_views_and_a_list_of_them(console: Console) -> None:
    # The tenant has no settings of notifications yet.
    console.allow("404")
    console.open()
    console.page.keyboard.press("?")
    expect(console.page.get_by_role("dialog")).to_contain_text("Search the list of connections")
    console.page.keyboard.press("Escape")
    console.page.keyboard.press("g")
    console.page.keyboard.press("f")
    expect(console.heading("Flows")).to_be_visible()
    for key, heading in (("m", "Messages"), ("n", "Notifications")):
        console.page.keyboard.press("g")
        console.page.keyboard.press(key)
        expect(console.page.get_by_role("heading", level=1, name=heading)).to_be_visible()
    console.page.keyboard.press("g")
    console.page.keyboard.press("c")
    expect(console.field("Search")).to_be_visible()
    console.page.keyboard.press("/")
    expect(console.field("Search")).to_be_focused()
    # Letters in a field are text.
    console.page.keyboard.type("g o")
    expect(console.field("Search")).to_have_value("g o")
    assert "#/connections" in console.page.url


def test_overview_refreshes_without_replacing_what_has_not_changed(console: Console) -> None:
    console.open()
    row = console.page.locator("tr[data-id]").first
    row.evaluate("row => { row.dataset.mark = 'same' }")
    before = console.page.locator(".updated").text_content()
    expect(console.page.locator(".updated")).not_to_have_text(before or "")
    assert row.get_attribute("data-mark") == "same"
