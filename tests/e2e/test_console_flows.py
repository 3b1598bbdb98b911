"""Flows in a browser: create, preview, change and delete them, and what reaches a connection."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.e2e.client import Stack
from tests.e2e.console import Console, console_in
from tests.e2e.reports import uplink

XSS = "<img src=x onerror=alert(1)>"
DEVICE = "70B3D5E75E000042"


@pytest.fixture
def console(browser: Browser, stack: Stack) -> Iterator[Console]:
    with console_in(browser, stack) as opened:
        yield opened
    for each in flows(stack):
        stack.api("DELETE", f"/flows/{each['id']}")


@pytest.fixture(scope="module")
def two(stack: Stack) -> Iterator[list[dict[str, Any]]]:
    """Two open connections."""
    made = [
        stack.connect(f"Flow target {name}", stack.configuration(uplinkTopicPattern=f"flow.{name}.{{DevEUI}}"))
        for name in ("one", "two")
    ]
    for each in made:
        stack.wait_open(each["id"])
    yield made
    for each in made:
        stack.api("DELETE", f"/connections/{each['id']}?force=true")


def flows(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.api("GET", "/flows").json
    return found


def save(stack: Stack, name: str, connections: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """Create a flow over the API."""
    connectors = [{"connectionId": each["id"]} for each in connections]
    answer = stack.api("POST", "/flows", {"name": name, "connectors": connectors, **fields})
    assert answer.status == 201, answer.body
    created: dict[str, Any] = answer.json
    return created


def show(console: Console, flow: dict[str, Any] | None = None) -> None:
    """Open the flows, or one of them."""
    console.open()
    console.page.get_by_role("link", name="Flows").click()
    expect(console.heading("Flows")).to_be_visible()
    if flow:
        console.page.get_by_role("table").get_by_role("link", name=flow["name"]).click()
        expect(console.field("Flow Name")).to_have_value(flow["name"])


def row(console: Console, name: str) -> Locator:
    return console.page.get_by_role("row", name=re.compile(re.escape(name)))


def condition(console: Console, number: int) -> Locator:
    return console.page.get_by_role("group", name=f"Condition {number}", exact=True)


def tags(console: Console) -> Locator:
    return console.field("All of these tags")


def devices(console: Console) -> Locator:
    return console.field("One of these devices")


def result(console: Console) -> Locator:
    return console.page.locator(".reached[aria-live]")


def tab_to(console: Console, target: Locator) -> None:
    for _ in range(80):
        if target.evaluate("element => element === document.activeElement"):
            return
        console.page.keyboard.press("Tab")
    raise AssertionError(f"not reached with Tab: {target}")


# Walks of a user


def test_flow_is_created_previewed_and_chooses_the_reports_of_its_connection(
    console: Console, two: list[dict[str, Any]]
) -> None:
    stack, page = console.stack, console.page
    save(stack, "Known tags", [], matchers=[{"type": "thing", "tags": ["Hydrology"]}])
    show(console)
    console.button("Create").click()
    expect(console.field("Flow Name")).to_be_focused()
    console.fill({"Flow Name": "Temperature", "Description": "For the office"})
    console.button("Add tags").click()
    expect(tags(console)).to_be_focused()
    expect(console.button("+ Hydrology")).to_be_visible()
    tags(console).fill("site=Paris")
    page.keyboard.press("Enter")
    expect(condition(console, 1).get_by_role("listitem")).to_have_text(["site=ParisRemove site=Paris"])
    console.button("Add devices").click()
    devices(console).fill("70-b3-d5-e7-5e-00-00-42")
    page.keyboard.press("Enter")
    expect(condition(console, 2)).to_contain_text(DEVICE)
    console.field("Connection").select_option(label="Flow target one")
    console.page.get_by_role("button", name="Add", exact=True).click()
    expect(console.field("Uplink Validity")).to_be_focused()
    console.field("Uplink Validity").fill("72h")
    console.field("Driver").select_option(label="Automatic")
    console.button("Create").click()
    console.expect_notification("The flow “Temperature” has been created.")
    expect(console.heading("Temperature")).to_be_visible()

    created = flows(stack)[0]
    assert {name: created[name] for name in ("name", "description", "active", "matchers", "driver")} == {
        "name": "Temperature",
        "description": "For the office",
        "active": True,
        "matchers": [{"type": "thing", "tags": ["site=Paris"]}, {"type": "key", "key": f"lora:{DEVICE.lower()}"}],
        "driver": {"id": "actility:auto:1"},
    }
    (connector,) = created["connectors"]
    assert (connector["connectionId"], connector["uplinkTimeValidity"]) == (two[0]["id"], "72h")

    report = {"DevEUI_uplink": uplink(0x42, 1)["DevEUI_uplink"] | {"CustomerData": {}}}
    console.field("Report (JSON)").fill(json.dumps(report))
    console.button("Preview").click()
    first = result(console).get_by_role("listitem").filter(has_text="Flow target one")
    expect(first).to_contain_text(f"FlowTemperature {DEVICE}")
    expect(first).to_contain_text(f"Routing key flow.one.{DEVICE}")

    stack.bind("flow-walk", "flow.#")
    for device in (0x42, 0x43):
        changes = {} if device == 0x43 else {"CustomerData": {"tags": ["site=PARIS"]}}
        assert stack.lrc.post(uplink(device, 1, **{"CustomerData": {}, **changes})) == 200
    keys = sorted(method.routing_key for method, _, _ in stack.collect("flow-walk", 3))
    assert keys == [f"flow.one.{DEVICE}", f"flow.two.{DEVICE}", f"flow.two.{DEVICE[:-1]}3"]


def test_preview_shows_why_connections_do_not_receive_the_report(console: Console, two: list[dict[str, Any]]) -> None:
    save(console.stack, "Other devices", two[:1], matchers=[{"type": "key", "key": "lora:aaaaaa*"}])
    show(console)
    console.button("Preview").click()
    expect(result(console)).to_contain_text("Tags of the report:Paris:OfficeTemperatureService")
    others = result(console).locator("details")
    expect(others.locator("summary")).to_have_text("1 connection does not receive it")
    others.locator("summary").click()
    expect(others.get_by_role("listitem")).to_contain_text("No active flow for this connection matches the report.")
    console.field("Report (JSON)").fill('{"DevEUI_uplink": ')
    console.button("Preview").click()
    expect(console.page.get_by_role("alert").last).to_contain_text("This is not JSON")
    expect(console.field("Report (JSON)")).to_be_focused()
    console.allow("422")
    console.field("Report (JSON)").fill('{"Uplink": {}}')
    console.button("Preview").click()
    expect(console.page.get_by_role("alert").last).not_to_contain_text("This is not JSON")
    expect(console.field("Report (JSON)")).to_have_attribute("aria-invalid", "true")


def test_last_failed_uplink_is_previewed_and_its_tags_are_suggested(
    console: Console, two: list[dict[str, Any]]
) -> None:
    body = json.dumps(uplink(0x77, 9, CustomerData={"tags": ["Seen"]}))
    message = {"id": "1", "time": "2026-11-26T12:00:00.000Z", "direction": "uplink", "body": body}

    def answer(route: Any) -> None:
        route.fulfill(json=[message] if two[1]["id"] in route.request.url else [])

    console.page.route("**/messages?*", answer)
    show(console)
    console.button("Insert the last failed uplink").click()
    expect(console.field("Report (JSON)")).to_have_value(re.compile("70B3D5E75E000077"))
    console.button("Preview").click()
    expect(result(console)).to_contain_text("Tags of the report:Seen")
    console.button("Create").click()
    console.button("Add tags").click()
    console.button("+ Seen").click()
    expect(condition(console, 1)).to_contain_text("Remove Seen")
    expect(console.button("+ Seen")).to_have_count(0)


def test_flow_is_changed_and_deactivated(console: Console, two: list[dict[str, Any]]) -> None:
    stack = console.stack
    matchers = [{"type": "thing", "tags": ["A", "B"]}, {"type": "key", "keys": ["lora:AAAAAAAAAAAAAAA1"]}]
    flow = save(stack, "To change", two, matchers=matchers, description="Before")
    show(console, flow)
    console.page.get_by_role("button", name="Remove A", exact=True).click()
    expect(tags(console)).to_be_focused()
    console.button("Remove condition 2").click()
    expect(console.button("Add tags")).to_be_focused()
    console.button("Remove Flow target two").click()
    console.field("Description").fill("")
    console.field("Active").uncheck()
    console.button("Save").click()
    console.expect_notification("The flow “To change” has been saved.")
    changed = stack.api("GET", f"/flows/{flow['id']}").json
    assert changed["matchers"] == [{"type": "thing", "tags": ["B"]}]
    assert [each["connectionId"] for each in changed["connectors"]] == [two[0]["id"]]
    assert (changed["active"], "description" in changed, changed["version"]) == (False, False, 2)
    # The form has the new version: it can be saved again.
    console.field("Active").check()
    console.button("Save").click()
    console.page.get_by_role("link", name="Flows").first.click()
    expect(row(console, "To change")).not_to_contain_text("Inactive")


def test_outdated_flow_is_loaded_again(console: Console, two: list[dict[str, Any]]) -> None:
    console.allow("412")
    flow = save(console.stack, "Two editors", two)
    show(console, flow)
    console.field("Flow Name").fill("Mine")
    console.stack.api("PATCH", f"/flows/{flow['id']}", {"description": "Theirs"})
    console.button("Save").click()
    expect(console.page.get_by_text("This flow was changed in the meantime.")).to_be_visible()
    expect(console.field("Flow Name")).to_have_value("Mine")
    console.button("Load the current values").click()
    expect(console.field("Description")).to_have_value("Theirs")
    expect(console.field("Flow Name")).to_have_value("Two editors")


def test_flow_is_deleted_after_a_question(console: Console, two: list[dict[str, Any]]) -> None:
    flow = save(console.stack, "To delete", two)
    show(console, flow)
    console.button("Delete").click()
    dialog = console.page.get_by_role("dialog")
    expect(dialog).to_contain_text("receives every report again")
    dialog.get_by_role("button", name="Delete").click()
    console.expect_notification("The flow “To delete” has been deleted.")
    expect(console.page.get_by_text("No flows yet")).to_be_visible()
    assert flows(console.stack) == []


def test_connection_shows_the_flows_that_choose_its_reports(console: Console, two: list[dict[str, Any]]) -> None:
    stack = console.stack
    console.open()
    console.show(two[0]["id"])
    routing = console.page.locator(".routing")
    expect(routing).to_have_text("Receives every report: no flow names this connection.")
    first = save(stack, XSS, two)
    save(stack, "Second", two[:1], active=False)
    expect(routing).to_have_text(f"Receives the reports of {XSS}, Second Inactive.", timeout=30_000)
    stack.api("PATCH", f"/flows/{first['id']}", {"active": False})
    expect(routing).to_contain_text("Receives no reports, because these flows are inactive", timeout=30_000)
    routing.get_by_role("link", name="Second").click()
    expect(console.heading("Second")).to_be_visible()


def test_delete_of_a_used_connection_shows_its_flows(console: Console, two: list[dict[str, Any]]) -> None:
    console.allow("409")
    stack = console.stack
    used = stack.connect("Used by flows", stack.configuration(uplinkTopicPattern="used.{DevEUI}"))
    save(stack, "User one", [used, two[0]])
    save(stack, "User two", [used])
    console.open()
    console.show(used["id"])

    def delete() -> None:
        console.button("Delete").click()
        dialog.get_by_role("textbox").fill("Used by flows")
        dialog.get_by_role("button", name="Delete").click()
        expect(dialog.get_by_role("listitem")).to_have_text(["User one", "User two"])

    dialog = console.page.get_by_role("dialog")
    delete()
    dialog.get_by_role("button", name="Cancel").click()
    assert stack.api("GET", f"/connections/{used['id']}").status == 200
    delete()
    dialog.get_by_role("button", name="Delete and remove").click()
    console.expect_notification("The connection “Used by flows” has been deleted.")
    assert stack.api("GET", f"/connections/{used['id']}").status == 404
    named = {each["name"]: [one["connectionId"] for one in each["connectors"]] for each in flows(stack)}
    assert named == {"User one": [two[0]["id"]], "User two": []}


# Errors


def test_wrong_devices_stay_in_the_field_and_a_list_is_pasted(console: Console) -> None:
    page = console.page
    show(console)
    console.button("Create").click()
    console.button("Add devices").click()
    text = "0018b20000000b20\n0018B200*, lora:20635f01*;00-11\n0018B20000000B20"
    paste: Callable[..., Any] = devices(console).evaluate
    paste(
        """(input, text) => { const data = new DataTransfer(); data.setData("text", text);
        input.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, cancelable: true})) }""",
        text,
    )
    chips = condition(console, 1).get_by_role("listitem")
    expect(chips).to_have_text(
        ["0018B20000000B20Remove 0018B20000000B20", "0018B200*Remove 0018B200*", "20635F01*Remove 20635F01*"]
    )
    expect(devices(console)).to_have_value("0011")
    expect(condition(console, 1)).to_contain_text("A DevEUI has 16 hexadecimal digits.")
    console.button("Create").click()
    expect(console.field("Flow Name")).to_be_focused()
    expect(console.error_of("Flow Name")).to_contain_text("mandatory")
    expect(devices(console)).to_have_value("0011")
    devices(console).fill("")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    expect(chips).to_have_count(2)
    assert flows(console.stack) == []


def test_thousands_of_devices_are_kept(console: Console, two: list[dict[str, Any]]) -> None:
    keys = [f"lora:{number:016x}" for number in range(3000)]
    flow = save(console.stack, "Many devices", two[:1], matchers=[{"type": "key", "keys": keys}])
    show(console, flow)
    chips = condition(console, 1).get_by_role("listitem")
    expect(chips).to_have_count(101)
    devices(console).fill("ffffffffffffffff")
    console.button("Save").click()
    console.expect_notification("has been saved")
    assert console.stack.api("GET", f"/flows/{flow['id']}").json["matchers"][0]["keys"] == [*keys, f"lora:{'f' * 16}"]
    console.button("Show all 3,001").click()
    expect(chips).to_have_count(3001)


@pytest.mark.usefixtures("two")
def test_errors_of_the_api_are_shown_at_their_parts(console: Console) -> None:
    console.allow("422")
    show(console)
    console.button("Create").click()
    console.fill({"Flow Name": "Refused"})
    console.button("Add tags").click()
    tags(console).fill("one")
    console.field("Connection").select_option(label="Flow target two")
    console.page.get_by_role("button", name="Add", exact=True).click()
    errors = [
        {"pointer": "/name", "detail": "The name is refused."},
        {"pointer": "/matchers/0/tags/0", "detail": "The tag is refused."},
        {"pointer": "/connectors/0/connectionId", "detail": "The connection is refused."},
        {"pointer": "/driver/id", "detail": "The driver is refused."},
        {"pointer": "/elsewhere", "detail": "Something else is refused."},
    ]
    problem = {"title": "Invalid", "status": 422, "errors": errors}
    console.page.route(
        "**/flows",
        lambda route: route.fulfill(status=422, content_type="application/problem+json", body=json.dumps(problem)),
    )
    console.button("Create").click()
    expect(console.error_of("Flow Name")).to_have_text("The name is refused.")
    expect(condition(console, 1)).to_contain_text("The tag is refused.")
    expect(console.error_of("Uplink Validity")).to_have_text("The connection is refused.")
    expect(console.error_of("Driver")).to_have_text("The driver is refused.")
    expect(console.page.get_by_role("alert").filter(has_text="Something else is refused.")).to_be_visible()
    expect(console.field("Flow Name")).to_be_focused()


def test_flow_of_another_tenant_does_not_exist(console: Console, two: list[dict[str, Any]]) -> None:
    console.allow("404")
    flow = save(console.stack, "Not theirs", two)
    console.open(console.stack.info["otherTenantToken"])
    console.page.evaluate("id => { location.hash = `#/flows/${id}` }", flow["id"])
    expect(console.page.get_by_role("alert").first).to_have_text("This flow does not exist or has been deleted.")


def test_flow_is_created_with_the_keyboard_alone(console: Console, two: list[dict[str, Any]]) -> None:
    page = console.page
    console.open()
    tab_to(console, page.get_by_role("link", name="Flows"))
    page.keyboard.press("Enter")
    expect(console.heading("Flows")).to_be_visible()
    tab_to(console, console.button("Create"))
    page.keyboard.press("Enter")
    expect(console.field("Flow Name")).to_be_focused()
    page.keyboard.insert_text("By keyboard")
    tab_to(console, console.button("Add tags"))
    page.keyboard.press("Enter")
    expect(tags(console)).to_be_focused()
    for text in ("one", "two", "three"):
        page.keyboard.insert_text(text)
        page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    expect(console.button("Remove three")).to_be_focused()
    page.keyboard.press("Enter")
    expect(tags(console)).to_be_focused()
    tab_to(console, console.field("Connection"))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(console.field("Uplink Validity")).to_be_focused()
    tab_to(console, console.button("Create"))
    page.keyboard.press("Enter")
    console.expect_notification("has been created")
    (created,) = flows(console.stack)
    assert created["matchers"] == [{"type": "thing", "tags": ["one", "two"]}]
    assert created["connectors"][0]["connectionId"] in {each["id"] for each in two}
