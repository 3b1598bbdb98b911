"""Messages in a browser: follow a device's uplink through an outage, read a failed one, replay one and many."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.e2e.client import Stack, eventually
from tests.e2e.console import Console, console_in
from tests.e2e.reports import uplink

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 375, "height": 812}
FAILURES = 60
_NUMBERS = itertools.count(1)


def device(number: int) -> str:
    return f"70B3D5E75E{number:06X}"


def messages(stack: Stack, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.api("GET", f"/messages?{query}").json
    return found


@pytest.fixture(scope="module")
def followed(stack: Stack) -> Iterator[dict[str, Any]]:
    """A connection whose device 901 sent before, during and after an outage of the broker."""
    stack.bind("followed", "followed.#")
    # Without a consumer, only an uplink finds the outage.
    configuration = stack.configuration(uplinkTopicPattern="followed.{DevEUI}", downlinkEnabled=False)
    made = stack.connect("Followed", configuration)
    stack.wait_open(made["id"])
    query = f"devEUI={device(901)}&status="
    assert stack.lrc.post(uplink(901, 1)) == 200
    eventually(lambda: len(messages(stack, query + "delivered")) == 1, "the first uplink is delivered")
    stack.broker("stop")
    try:
        assert stack.lrc.post(uplink(901, 2)) == 200
        eventually(lambda: messages(stack, query + "waiting"), "the attempt is in the log")
        eventually(lambda: stack.state(made["id"]) == "UNREACHABLE", "the connection is UNREACHABLE")
        assert stack.lrc.post(uplink(901, 3)) == 200
        eventually(lambda: len(messages(stack, query + "waiting")) == 2, "the wait is in the log")
    finally:
        stack.broker("start")
    eventually(lambda: len(messages(stack, query + "delivered")) == 3, "all uplinks are delivered")
    yield made
    stack.api("DELETE", f"/connections/{made['id']}")


@pytest.fixture
def failing(stack: Stack) -> Iterator[dict[str, Any]]:
    """A connection with failed uplinks of device 902, whose queue exists now."""
    name = f"failing{next(_NUMBERS)}"
    made = stack.connect("Failing", stack.configuration(uplinkTopicPattern=f"{name}.{{DevEUI}}"))
    stack.wait_open(made["id"])
    for counter in range(FAILURES):
        assert stack.lrc.post(uplink(902, counter)) == 200
    query = f"connectionId={made['id']}&status=failed&limit=100"
    eventually(lambda: len(messages(stack, query)) == FAILURES, "the uplinks have failed")
    stack.bind(name, f"{name}.#")
    yield {**made, "queue": name}
    stack.api("DELETE", f"/connections/{made['id']}")


def show(console: Console, **filters: str) -> None:
    """Open the view, and search with the given fields."""
    console.open()
    console.page.get_by_role("navigation").get_by_role("link", name="Messages", exact=True).click()
    expect(console.heading("Messages")).to_be_visible()
    for name, value in filters.items():
        field = console.field(name)
        if name == "DevEUI":
            field.fill(value)
        else:
            field.select_option(label=value)
    console.button("Search").click()


def row(console: Console, text: str) -> Locator:
    return console.page.locator("details.message").filter(has_text=re.compile(text))


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
def test_uplink_is_followed_through_an_outage(
    browser: Browser, stack: Stack, followed: dict[str, Any], size: dict[str, int], scheme: str
) -> None:
    options: dict[str, Any] = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    with console_in(browser, stack, **options) as console:
        show(console, DevEUI=device(901).lower(), Connection=followed["name"])
        expect(console.page.locator("details.message")).to_have_count(3)
        assert f"devEUI={device(901)}" in console.page.url

        tried = row(console, "FCntUp 2 ")
        tried.locator("summary").click()
        steps = tried.get_by_role("list", name="History").get_by_role("listitem")
        expect(steps.filter(has_text="Attempt failed")).to_contain_text("CONNECTION_REFUSED")
        expect(steps.filter(has_text=re.compile("connection refused"))).not_to_have_count(0)
        expect(steps.first).to_contain_text("Accepted")
        expect(steps.filter(has_text="Delivered")).to_contain_text(f"followed.{device(901)}")
        # The connection's own attempts are between them.
        expect(steps.filter(has_text="OPENED")).not_to_have_count(0)
        waited = row(console, "FCntUp 3 ")
        waited.locator("summary").click()
        expect(waited.get_by_role("listitem").filter(has_text="Waiting")).to_contain_text("refused")

        assert console.accessibility_faults() == []
        assert console.page.evaluate("document.documentElement.scrollWidth") == size["width"]


def test_failed_uplink_shows_body_and_headers_and_is_replayed(
    browser: Browser, stack: Stack, failing: dict[str, Any]
) -> None:
    with console_in(browser, stack) as console:
        show(console, DevEUI=device(902), Connection=failing["name"], Status="Failed")
        last = row(console, f"FCntUp {FAILURES - 1} ")
        last.locator("summary").click()
        expect(last).to_contain_text("UNROUTABLE")
        expect(last.locator("pre")).to_contain_text(f'"FCntUp": {FAILURES - 1}')
        expect(last.locator("dl")).to_contain_text(failing["id"])
        assert console.accessibility_faults() == []
        last.get_by_role("button", name="Replay").click()
        console.expect_notification("The message was put back in the queue.")
        query = f"connectionId={failing['id']}&status=delivered"
        (delivered,) = eventually(lambda: messages(stack, query), "the replayed uplink is delivered")
        assert [step["step"] for step in delivered["steps"]] == ["accepted", "failed", "replayed", "delivered"]


def test_all_that_failed_since_are_replayed_with_progress(
    browser: Browser, stack: Stack, failing: dict[str, Any]
) -> None:
    with console_in(browser, stack) as console:
        show(console, Connection=failing["name"])
        console.button("Replay all").click()
        expect(console.page.get_by_text(f"{FAILURES} of {FAILURES} messages put back in the queues")).to_be_visible()
        bar = console.page.get_by_role("progressbar", name="Progress of the replay")
        expect(bar).to_have_attribute("max", str(FAILURES))
        assert bar.evaluate("bar => bar.value") == FAILURES
        assert console.accessibility_faults() == []
    assert len(stack.collect(failing["queue"], FAILURES)) == FAILURES
    assert stack.api("GET", f"/connections/{failing['id']}/messages").json == []


def test_wrong_device_is_explained_and_nothing_is_asked(browser: Browser, stack: Stack) -> None:
    with console_in(browser, stack) as console:
        show(console)
        expect(console.page.get_by_text("Reading the message log")).to_be_hidden()
        asked = []
        console.page.on("request", lambda request: asked.append(request.url))
        console.field("DevEUI").fill("<img src=x>")
        console.button("Search").click()
        expect(console.page.get_by_text("A DevEUI has 16 hexadecimal digits.")).to_be_visible()
        assert [url for url in asked if "img" in url] == []
        assert console.accessibility_faults() == []
