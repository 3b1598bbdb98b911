"""Drivers in a browser: write, try, test, change and delete them, and see what they decode in a flow."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.e2e.client import Stack
from tests.e2e.console import Console, console_in

CODE = """// Written for this test.
function decodeUplink(input) {
  console.log("port", input.fPort);
  if (input.bytes.length < 2) return { errors: ["too short"] };
  const data = { temperature: ((input.bytes[0] << 8) | input.bytes[1]) / 100 };
  return data.temperature > 50 ? { data, warnings: ["hot"] } : { data };
}
function encodeDownlink(input) {
  return { bytes: [input.data.interval], fPort: 10 };
}
"""
EXAMPLES = [
    {
        "type": "uplink",
        "description": "Warm",
        "input": {"bytes": [8, 252], "fPort": 1},
        "output": {"data": {"temperature": 23}},
    },
    {
        "type": "uplink",
        "description": "Wrong <b>",
        "input": {"bytes": [8, 252], "fPort": 1},
        "output": {"data": {"temperature": 24, "humidity": 3}},
    },
    {"type": "downlink-encode", "input": {"data": {"interval": 60}}, "output": {"bytes": [60], "fPort": 10}},
]


@pytest.fixture
def console(browser: Browser, stack: Stack) -> Iterator[Console]:
    with console_in(browser, stack) as opened:
        yield opened
    for path in ("flows", "drivers"):
        for each in stack.api("GET", f"/{path}").json:
            stack.api("DELETE", f"/{path}/{each['id']}")


def save(stack: Stack, driver_id: str, **fields: Any) -> dict[str, Any]:
    """Create a driver over the API."""
    answer = stack.api("POST", "/drivers", {"id": driver_id, "code": CODE, **fields})
    assert answer.status == 201, answer.body
    created: dict[str, Any] = answer.json
    return created


def show(console: Console, driver: dict[str, Any] | None = None) -> None:
    """Open the drivers, or one of them."""
    console.open()
    console.page.get_by_role("link", name="Drivers").click()
    expect(console.heading("Drivers")).to_be_visible()
    if driver:
        console.page.get_by_role("link", name=driver["name"]).click()
        expect(console.field("Driver ID")).to_have_value(driver["id"])


def code(console: Console) -> Locator:
    return console.field("Code (JavaScript)")


def run(console: Console) -> None:
    console.page.get_by_role("button", name="Run", exact=True).click()


def panel(console: Console, heading: str) -> Locator:
    return console.page.locator("section.panel", has=console.heading(heading))


# Walks of a user


def test_driver_is_written_tried_and_created(console: Console) -> None:
    page = console.page
    show(console)
    expect(page.get_by_text("No drivers yet")).to_be_visible()
    console.button("Create").click()
    expect(console.field("Driver ID")).to_be_focused()
    console.fill({"Driver ID": "mycompany:probe:1", "Driver Name": "Probe", "Models": "mycompany:probe-s:2"})
    code(console).fill(CODE)
    expect(page.locator(".numbers").first).to_have_text("\n".join(str(n) for n in range(1, CODE.count("\n") + 2)))
    console.fill({"Payload (hex)": "17 70", "FPort": "3"})
    run(console)
    tried = panel(console, "Try a payload")
    expect(tried.locator("pre").first).to_have_text(re.compile(r'"temperature": 60'))
    expect(tried).to_contain_text("Warningshot")
    expect(tried).to_contain_text("Consoleport 3")
    console.field("Function").select_option(label="Encode downlink")
    expect(console.field("Payload (hex)")).to_be_hidden()
    console.fill({"Data (JSON)": '{"interval": 60}'})
    run(console)
    expect(tried.locator("pre").first).to_have_text(re.compile(r'"bytes": "3C",\s+"fPort": 10'))
    console.button("Create").click()
    console.expect_notification("The driver “Probe” has been created.")
    expect(console.heading("Probe")).to_be_visible()
    created = console.stack.api("GET", "/drivers/mycompany:probe:1").json
    assert created["code"] == CODE
    assert (created["signature"], created["models"]) == (
        "lora-alliance",
        [{"producerId": "mycompany", "moduleId": "probe-s", "version": "2"}],
    )
    page.get_by_role("link", name="Drivers").first.click()
    expect(page.get_by_role("row", name=re.compile("Probe"))).to_contain_text("mycompany:probe-s:2")


def test_examples_run_at_once_and_show_their_differences(console: Console, tmp_path: Path) -> None:
    show(console, save(console.stack, "mycompany:examples:1", name="With examples"))
    file = tmp_path / "examples.json"
    file.write_text(json.dumps(EXAMPLES))
    examples = panel(console, "Examples")
    with console.page.expect_file_chooser() as chooser:
        examples.get_by_role("button", name="Choose a file").click()
    chooser.value.set_files(file)
    # A chosen file runs without a click.
    expect(examples).to_contain_text("2 of 3 examples passed.")
    rows = examples.locator("ol > li")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text(re.compile("Warm.*uplink, passed"))
    expect(rows.nth(1)).to_contain_text(re.compile("Wrong <b>.*uplink, failed"))
    expect(rows.nth(2)).to_contain_text(re.compile("Example 3.*downlink-encode, passed"))
    cells = rows.nth(1).locator("tbody tr")
    expect(cells.nth(0)).to_have_text("/data/temperature2423")
    expect(cells.nth(1)).to_have_text("/data/humidity3absent")
    # The code in the editor is tested, not the saved one; the examples are kept while the user is elsewhere.
    code(console).fill(CODE.replace("/ 100", "/ 100 + 1"))
    console.button("Run all examples").click()
    expect(examples).to_contain_text("1 of 3 examples passed.")
    console.page.get_by_role("link", name="Flows").click()
    console.page.go_back()
    expect(console.field("Examples (JSON)")).to_have_value(json.dumps(EXAMPLES))


def test_driver_is_loaded_from_a_file_and_changed(console: Console, tmp_path: Path) -> None:
    driver = save(console.stack, "mycompany:file:1", name="From a file")
    show(console, driver)
    file = tmp_path / "driver.js"
    file.write_text("function Decoder(bytes, port) { return { first: bytes[0], port: port }; }\n")
    with console.page.expect_file_chooser() as chooser:
        panel(console, "Try a payload").locator("..").get_by_role("button", name="Choose a file").first.click()
    chooser.value.set_files(file)
    expect(code(console)).to_have_value(file.read_text().strip())
    console.field("Signature").select_option(value="ttn")
    console.fill({"Payload (hex)": "ff", "FPort": "7"})
    run(console)
    expect(panel(console, "Try a payload").locator("pre")).to_have_text(re.compile(r'"first": 255,\s+"port": 7'))
    assert console.field("Driver ID").get_attribute("readonly") is not None
    console.button("Save").click()
    console.expect_notification("The driver “From a file” has been saved.")
    saved = console.stack.api("GET", f"/drivers/{driver['id']}").json
    assert (saved["signature"], saved["version"]) == ("ttn", 2)
    assert saved["code"].startswith("function Decoder")


def test_preview_of_a_report_shows_the_decoded_payload(console: Console) -> None:
    stack = console.stack
    save(stack, "mycompany:level-sensor:1", name="Fits the example")
    exact = save(
        stack, "mycompany:other:1", name="Named by a flow", code="function decodeUplink() { throw Error('no') }"
    )
    made = [
        stack.connect(f"Decoded {name}", stack.configuration(uplinkTopicPattern=f"decoded.{name}"))
        for name in ("one", "two")
    ]
    for connection, driver in zip(made, ("actility:auto:1", exact["id"]), strict=True):
        flow = {"name": driver, "driver": {"id": driver}, "connectors": [{"connectionId": connection["id"]}]}
        assert stack.api("POST", "/flows", flow).status == 201
    console.open()
    console.page.get_by_role("link", name="Flows").click()
    console.button("Preview").click()
    rows = console.page.locator(".reached[aria-live] li")
    one, two = rows.filter(has_text="Decoded one"), rows.filter(has_text="Decoded two")
    expect(one).to_contain_text("Decoded by Fits the example")
    expect(one.locator("pre")).to_have_text(re.compile(r'"temperature": 0.39'))
    expect(two).to_contain_text("Decoded by Named by a flow")
    expect(two.locator(".error")).to_contain_text("no")
    console.page.get_by_role("table").get_by_role("link", name=exact["id"]).last.click()
    expect(console.field("Flow Name").or_(console.field("Driver Name"))).to_have_value(
        re.compile("Named by a flow|mycompany:other:1")
    )
    for connection in made:
        stack.api("DELETE", f"/connections/{connection['id']}?force=true")


def test_driver_is_chosen_in_a_flow_and_its_deletion_shows_the_flow(console: Console) -> None:
    console.allow("409")
    stack = console.stack
    driver = save(stack, "mycompany:used:1", name="In use")
    console.open()
    console.page.get_by_role("link", name="Flows").click()
    console.button("Create").click()
    console.fill({"Flow Name": "With a driver"})
    console.field("Driver").select_option(label="In use (mycompany:used:1)")
    console.button("Create").click()
    console.expect_notification("has been created")
    (flow,) = stack.api("GET", "/flows").json
    assert flow["driver"] == {"id": driver["id"]}
    console.page.evaluate("id => { location.hash = `#/drivers/${encodeURIComponent(id)}` }", driver["id"])
    expect(console.heading("In use")).to_be_visible()
    dialog = console.page.get_by_role("dialog")

    def delete() -> None:
        console.button("Delete").click()
        dialog.get_by_role("button", name="Delete").click()

    delete()
    expect(dialog).to_contain_text("Flows name this driver")
    dialog.get_by_role("link", name="With a driver").click()
    expect(console.field("Flow Name")).to_have_value("With a driver")
    console.field("Driver").select_option(label="None")
    console.button("Save").click()
    console.expect_notification("has been saved")
    console.page.go_back()
    expect(console.heading("In use")).to_be_visible()
    delete()
    console.expect_notification("The driver “In use” has been deleted.")
    expect(console.page.get_by_text("No drivers yet")).to_be_visible()


# Errors


def test_syntax_error_is_shown_at_its_line(console: Console) -> None:
    console.allow("422")
    show(console)
    console.button("Create").click()
    console.fill({"Driver ID": "mycompany:broken:1"})
    code(console).fill("\n" * 59 + "function decodeUplink(input) {\n  return { data: };\n}\n" + "\n" * 60)
    console.button("Create").click()
    error = console.error_of("Code (JavaScript)")
    expect(error).to_contain_text(re.compile(r"line 61, column 1\d"))
    expect(code(console)).to_be_focused()
    expect(code(console)).to_have_class(re.compile("marked"))
    place = "input => input.value.slice(0, input.selectionStart).split('\\n').map((line) => line.length)"
    lines = code(console).evaluate(place)
    assert len(lines) == 61
    assert lines[-1] >= 10
    console.page.keyboard.press("Control+Home")
    console.button("Go to line 61").click()
    assert code(console).evaluate(place) == lines
    box, mark = code(console).evaluate("input => [input.clientHeight, 61 * 20 - input.scrollTop]")
    assert 0 < mark < box
    # The trials compile the code, too.
    code(console).fill("function decodeUplink(input) { return {{")
    expect(error).to_have_count(0)
    run(console)
    expect(error).to_contain_text("line 1")
    assert console.stack.api("GET", "/drivers").json == []


def test_errors_of_the_driver_and_of_the_input_are_shown(console: Console) -> None:
    console.allow("422")
    show(console, save(console.stack, "mycompany:errors:1", name="Errors"))
    tried = panel(console, "Try a payload")
    console.fill({"Payload (hex)": "01"})
    run(console)
    expect(tried.locator(".reached .error")).to_have_text("too short")
    console.fill({"Payload (hex)": "0"})
    run(console)
    expect(tried.get_by_role("alert")).to_contain_text("Enter pairs of hexadecimal digits.")
    console.fill({"Examples (JSON)": '[{"type": "sideways", "input": {}}]'})
    console.button("Run all examples").click()
    expect(console.error_of("Examples (JSON)")).to_contain_text("/examples/0/type")
    console.fill({"Examples (JSON)": "[,]"})
    console.button("Run all examples").click()
    expect(console.error_of("Examples (JSON)")).to_contain_text("JSON")


def test_errors_of_fields_are_shown_beside_them(console: Console) -> None:
    console.allow("422", "409")
    save(console.stack, "mycompany:taken:1", name="Taken")
    show(console)
    console.button("Create").click()
    console.fill({"Driver ID": "no id"})
    console.button("Create").click()
    expect(console.error_of("Driver ID")).to_contain_text("producerId:moduleId:version")
    console.fill({"Driver ID": "mycompany:auto:1", "Models": "not-a-model"})
    console.button("Create").click()
    expect(console.error_of("Models")).to_contain_text("producerId:moduleId:version")
    console.fill({"Models": ""})
    console.button("Create").click()
    expect(console.error_of("Driver ID")).to_contain_text("auto")
    console.fill({"Driver ID": "mycompany:taken:1"})
    console.button("Create").click()
    expect(console.page.locator("form > .error")).to_be_visible()


def test_outdated_driver_is_loaded_again(console: Console) -> None:
    console.allow("412")
    driver = save(console.stack, "mycompany:editors:1", name="Two editors")
    show(console, driver)
    changed = {"code": CODE, "name": "Theirs"}
    assert console.stack.api("PUT", f"/drivers/{driver['id']}", changed).status == 200
    console.fill({"Driver Name": "Mine"})
    console.button("Save").click()
    expect(console.page.get_by_text("This driver was changed in the meantime.")).to_be_visible()
    console.button("Load the current values").click()
    expect(console.field("Driver Name")).to_have_value("Theirs")


def test_tab_leaves_the_editor(console: Console) -> None:
    show(console)
    console.button("Create").click()
    code(console).focus()
    console.page.keyboard.press("Tab")
    expect(console.page.get_by_role("button", name="Choose a file").first).to_be_focused()
    console.page.keyboard.press("Shift+Tab")
    expect(code(console)).to_be_focused()
