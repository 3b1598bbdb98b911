"""Notifications in a browser and on the local stack: set up, tested, received with a signature, rotated, deleted."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Browser, Route, expect
from standardwebhooks import Webhook

from tests.e2e.client import Stack, eventually
from tests.e2e.console import Console, console_in
from tests.e2e.test_console_texts import NARROW

WIDE = {"width": 1440, "height": 900}


class Receiver:
    """A webhook on this machine that answers with ``status``."""

    def __init__(self) -> None:
        self.status = 204
        self.received: list[tuple[dict[str, str], str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # http.server's name
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def tests(self) -> list[tuple[dict[str, str], str]]:
        """Return the received tests. Connections of other tests may open or recover meanwhile."""
        return [each for each, kind in zip(self.received, self.kinds(), strict=False) if kind == "test"]

    def kinds(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.received]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def without_settings(stack: Stack) -> Iterator[None]:
    yield
    stack.api("DELETE", "/notifications")


def show(console: Console) -> None:
    console.open()
    console.page.get_by_role("link", name="Notifications").click()
    expect(console.heading("Deliveries")).to_be_visible()


def set_up(console: Console, receiver: Receiver) -> str:
    """Fill in the form for a receiver, save it and return the secret that the page shows."""
    expect(console.page.get_by_text("No notifications are set up yet")).to_be_visible()
    console.fill({"URL": receiver.url})
    console.button("Save").click()
    console.expect_notification("The notifications have been saved.")
    return console.page.get_by_label("Secret", exact=True).inner_text()


def test_notifications_are_set_up_tested_and_received(browser: Browser, stack: Stack, receiver: Receiver) -> None:
    with console_in(browser, stack) as console:
        console.allow("404")
        show(console)
        expect(console.page.get_by_text("No notification has been sent yet")).to_be_visible()
        secret = set_up(console, receiver)
        assert secret.startswith("whsec_")

        # A test arrives, and its signature verifies.
        console.button("Send a test").click()
        expect(console.page.get_by_text("The target accepted the test")).to_be_visible()
        [(headers, body)] = receiver.tests()
        assert Webhook(secret).verify(body, headers)["type"] == "test"
        row = console.page.get_by_role("row").filter(has_text="This is a test of the notifications.")
        expect(row).to_contain_text("delivered")
        expect(row).to_contain_text("HTTP 204")

        # A refused test says so.
        receiver.status = 500
        console.button("Send a test").click()
        expect(console.page.get_by_text("The webhook answered 500").first).to_be_visible()
        receiver.status = 204

        # After a reload, the secret is not shown again, and a new one is made on demand.
        console.page.get_by_role("link", name="Connections").click()
        console.page.get_by_role("link", name="Notifications").click()
        expect(console.field("URL")).to_have_value(receiver.url)
        expect(console.page.get_by_label("Secret", exact=True)).to_have_count(0)
        console.button("New secret").click()
        console.page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
        other = console.page.get_by_label("Secret", exact=True).inner_text()
        assert other != secret
        console.button("Send a test").click()
        eventually(lambda: len(receiver.tests()) == 3, "the third test has arrived")
        headers, body = receiver.tests()[-1]
        for each in (secret, other):
            Webhook(each).verify(body, headers)

        # Deleting asks first.
        console.button("Delete").click()
        console.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        console.expect_notification("The notifications have been deleted.")
        expect(console.page.get_by_text("No notifications are set up yet")).to_be_visible()


def test_late_answer_does_not_hide_newer_deliveries(browser: Browser, stack: Stack, receiver: Receiver) -> None:
    with console_in(browser, stack) as console:
        # Given: the answer to the list of before the test is on its way until after the test
        console.allow("404")
        page, address = console.page, "**/notifications/deliveries"
        with page.expect_response(address):
            show(console)
        late: list[tuple[Route, APIResponse]] = []

        def hold_first(route: Route) -> None:
            if late:
                route.continue_()
            else:
                late.append((route, route.fetch()))

        page.route(address, hold_first)
        sent = sum(each["kind"] == "test" for each in stack.api("GET", "/notifications/deliveries").json)
        set_up(console, receiver)
        console.button("Send a test").click()
        tests = page.get_by_role("row").filter(has_text="This is a test of the notifications.")
        expect(tests).to_have_count(sent + 1)
        # When
        [(route, answer)] = late
        with page.expect_response(address):
            route.fulfill(response=answer)
        page.evaluate("() => new Promise((done) => setTimeout(done))")
        # Then
        expect(tests).to_have_count(sent + 1)
        page.unroute(address)


def test_errors_are_shown_at_their_fields(browser: Browser, stack: Stack) -> None:
    with console_in(browser, stack) as console:
        console.allow("404", "422")
        show(console)
        console.button("Save").click()
        expect(console.error_of("URL")).to_contain_text("mandatory")
        expect(console.field("URL")).to_be_focused()
        console.fill({"URL": "https://10.0.0.1/hook", "Faulty after (minutes)": "0"})
        console.button("Save").click()
        expect(console.error_of("Faulty after (minutes)")).to_contain_text("1 to 1440")
        console.fill({"Faulty after (minutes)": "10"})
        console.button("Save").click()
        expect(console.error_of("URL")).to_contain_text("not public")
        console.field("Quiet hours").check()
        console.fill({"From": "25:00"})
        console.button("Save").click()
        expect(console.error_of("From")).to_contain_text("22:00")
        console.field("Target").select_option(label="SNS topic of the operator")
        console.fill({"From": "22:00", "Topic ARN": "arn:aws:sns:eu-west-1:123456789012:other"})
        console.button("Save").click()
        expect(console.error_of("Topic ARN")).to_contain_text("does not offer this topic")


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
def test_view_is_accessible_and_fits_its_window(
    browser: Browser, stack: Stack, receiver: Receiver, size: dict[str, int], scheme: str
) -> None:
    options: dict[str, Any] = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    with console_in(browser, stack, **options) as console:
        console.allow("404")
        show(console)
        assert console.accessibility_faults() == []
        set_up(console, receiver)
        console.field("Quiet hours").check()
        receiver.status = 500
        console.button("Send a test").click()
        expect(console.page.get_by_text("The webhook answered 500").first).to_be_visible()
        assert console.accessibility_faults() == []
        assert console.page.evaluate("document.documentElement.scrollWidth") == size["width"]


def test_webhook_learns_of_an_opened_connection(stack: Stack, receiver: Receiver) -> None:
    answer = stack.api("PUT", "/notifications", {"url": receiver.url, "faultyAfter": 1})
    assert answer.status == 200
    connection = stack.connect("Notified", stack.configuration())
    eventually(lambda: "connection.opened" in receiver.kinds(), "the notification", 150)
    headers, body = receiver.received[receiver.kinds().index("connection.opened")]
    assert Webhook(answer.json["secret"]).verify(body, headers)["data"]["connectionId"] == connection["id"]
    stack.api("DELETE", f"/connections/{connection['id']}")
