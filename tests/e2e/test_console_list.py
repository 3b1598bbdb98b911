"""The list of connections in a browser: search, order, filter, CSV; and details that test_console.py does not cover."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.client import Stack
from tests.e2e.console import Console, console_in, pem_files

NAMES = ("Sorted B", "Sorted C", "Sorted A")


@pytest.fixture
def console(browser: Browser, stack: Stack) -> Iterator[Console]:
    with console_in(browser, stack) as opened:
        opened.open()
        yield opened


@pytest.fixture(scope="module")
def three(stack: Stack) -> Iterator[list[dict[str, Any]]]:
    """Three connections; the second one is deactivated."""
    made = [stack.connect(name, stack.configuration(uplinkTopicPattern="list.{DevEUI}")) for name in NAMES]
    for each in made:
        stack.wait_open(each["id"])
    assert stack.api("PATCH", f"/connections/{made[1]['id']}", {"active": False}).status == 200
    yield made
    for each in made:
        stack.api("DELETE", f"/connections/{each['id']}")


@pytest.mark.usefixtures("three")
def test_list_is_searched_and_sorted(console: Console) -> None:
    console.field("Search").fill("sorted")
    header = console.page.get_by_role("columnheader", name="Name")
    names = console.page.locator("td.name a")
    # The deactivated connection is last unless the user sorts the list: the worst are first.
    expect(names).to_have_text(["Sorted A", "Sorted B", "Sorted C"])
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    expect(names).to_have_text(["Sorted A", "Sorted B", "Sorted C"])
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(names).to_have_text(["Sorted C", "Sorted B", "Sorted A"])
    assert console.page.url.endswith("#/?q=sorted&descending=true&sort=name")
    console.page.reload()
    console.sign_in(console.stack.info["token"])
    expect(names).to_have_text(["Sorted C", "Sorted B", "Sorted A"])


@pytest.mark.usefixtures("three")
def test_list_is_filtered_by_state_and_saved_as_csv(console: Console) -> None:
    console.field("Search").fill("sorted")
    console.field("State").select_option("DEACTIVATED")
    expect(console.page.locator("td.name a")).to_have_text(["Sorted C"])
    with console.page.expect_download() as download:
        console.button("CSV").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("id,name,state,")
    assert [line.split(",")[1:3] for line in lines[1:]] == [["Sorted C", "DEACTIVATED"]]


@pytest.mark.usefixtures("three")
def test_several_states_are_chosen_over_the_list(console: Console) -> None:
    console.field("Search").fill("sorted")
    names, choice = console.page.locator("td.name a"), console.page.get_by_role("group", name="State")
    console.field("State").select_option(label="Several …")
    choice.get_by_text("Opened", exact=True).click()
    choice.get_by_text("Deactivated", exact=True).click()
    expect(names).to_have_text(["Sorted A", "Sorted B", "Sorted C"])
    # The other filters did not move, and the choice is open until it loses the focus.
    search, state = console.field("Search").bounding_box(), console.field("State").bounding_box()
    assert search
    assert state
    assert search["y"] == state["y"]
    choice.get_by_text("Opened", exact=True).click()
    expect(names).to_have_text(["Sorted C"])
    expect(choice).to_be_visible()
    console.page.keyboard.press("Escape")
    expect(choice).to_be_hidden()
    expect(console.field("State")).to_be_focused()
    console.field("State").select_option(label="Several …")
    console.page.get_by_role("heading", level=1).click()
    expect(choice).to_be_hidden()
    assert console.page.url.endswith("state=DEACTIVATED")


def test_events_are_filtered_by_level_and_refreshed(console: Console, three: list[dict[str, Any]]) -> None:
    console.show(three[0]["id"])
    events = console.page.get_by_role("list", name="Events")
    expect(events).to_contain_text("CREATED")
    console.field("Level").select_option(label="Error")
    expect(events.get_by_role("listitem")).to_have_count(0)
    console.field("Level").select_option(label="Info")
    expect(events).to_contain_text("CREATED")
    assert console.stack.api("POST", f"/connections/{three[0]['id']}/restart").status == 202
    expect(events).to_contain_text("RESTARTED")


def test_event_of_many_messages_shows_their_number_as_it_grows(console: Console, three: list[dict[str, Any]]) -> None:
    event = {"id": "01A", "time": "2026-11-26T12:00:00.000Z", "level": "warning", "type": "DOWNLINK_MALFORMED"}
    numbers = itertools.count(1)

    def answer(route: Any) -> None:
        route.fulfill(json=[event | {"message": "not JSON", "details": {"count": next(numbers)}}])

    console.page.route("**/events?*", answer)
    console.show(three[0]["id"])
    rows = console.page.get_by_role("list", name="Events").get_by_role("listitem")
    expect(rows).to_contain_text("not JSON")
    expect(rows).to_contain_text("not JSON (first of 2 within a minute)")
    expect(rows).to_have_count(1)
    console.page.unroute("**/events?*")


def test_pem_file_is_dropped_and_password_is_shown_on_demand(console: Console) -> None:
    page, files = console.page, pem_files(console.stack)
    console.begin_creating()
    console.field("Protocol").select_option("SSL")
    text = files["Certificate"].read_text()
    dropped = page.evaluate_handle(
        """text => { const data = new DataTransfer(); data.items.add(new File([text], "client.pem")); return data }""",
        text,
    )
    console.field("Certificate").dispatch_event("drop", {"dataTransfer": dropped})
    expect(console.field("Certificate")).to_have_value(text.strip())
    password = console.field("AMQP Password")
    password.fill("a secret")
    expect(password).to_have_attribute("type", "password")
    console.button("Show AMQP Password").click()
    expect(password).to_have_attribute("type", "text")


def test_protocol_changes_from_tcp_to_ssl(console: Console, three: list[dict[str, Any]]) -> None:
    amqp, connection_id = console.stack.info["amqp"], three[2]["id"]
    console.show(connection_id)
    console.button("Edit Protocol").click()
    console.field("Protocol").select_option("SSL")
    console.fill({"Hostname": f"localhost:{amqp['tlsPort']}", "AMQP Password": amqp["password"]})
    console.fill({name: path.read_text() for name, path in pem_files(console.stack).items()})
    console.button("Confirm").click()
    console.page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    console.expect_notification("Protocol has been updated.")
    console.stack.wait_open(connection_id)
    expect(console.page.locator(".state-line")).to_contain_text(re.compile("Opened", re.IGNORECASE))
    read = console.stack.api("GET", f"/connections/{connection_id}").json["configuration"]
    assert (read["protocol"], read["privateKey"]) == ("SSL", "*****")


@pytest.mark.usefixtures("three")
def test_rows_of_earlier_filters_are_marked_until_the_answer_arrives(console: Console) -> None:
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    console.page.route(re.compile(r"[?&]q=sorted\+a(&|$)"), hold)
    console.field("Search").fill("sorted")
    names = console.page.locator("td.name a")
    part = console.page.locator(".list")
    expect(names).to_have_count(3)
    expect(part).not_to_have_attribute("aria-busy", "true")
    with console.page.expect_request(re.compile("q=sorted.a")):
        console.field("Search").fill("sorted a")
    expect(part).to_have_attribute("aria-busy", "true")
    expect(console.page.locator(".count")).to_have_css("opacity", "0.5")
    # The answer of a filter that was replaced changes nothing, whenever it arrives.
    console.field("Search").fill("sorted b")
    expect(names).to_have_text(["Sorted B"])
    expect(part).not_to_have_attribute("aria-busy", "true")
    [late] = held
    with console.page.expect_response(re.compile("q=sorted")):
        late.continue_()
    console.page.evaluate("() => new Promise((done) => setTimeout(done))")
    expect(names).to_have_text(["Sorted B"])


@pytest.mark.usefixtures("three")
def test_failed_search_is_no_longer_marked_as_waiting(console: Console) -> None:
    console.allow("500")
    console.page.route(re.compile("q=sorted"), lambda route: route.fulfill(status=500, json={}))
    console.field("Search").fill("sorted")
    expect(console.page.get_by_role("button", name="Try again")).to_be_visible()
    expect(console.page.locator(".list")).not_to_have_attribute("aria-busy", "true")
