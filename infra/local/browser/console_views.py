"""Walks through every view of the web page; the screenshots and the tests use them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from infra.local.browser.message_views import message_views
from infra.local.browser.overview_views import list_views, overview_views
from infra.local.demo.showcase import DRIVER, MAIN, METERS

Stack = dict[str, Any]
"""The content of stack.json."""
PROVOKED = ("401", "404", "409", "422", "500", "ERR_FAILED")
"""Failed requests that the walk causes. The browser logs each as an error."""
_EXAMPLES = [
    {
        "type": "uplink",
        "description": "Half full",
        "input": {"bytes": [0, 39, 21, 96], "fPort": 1},
        "output": {"data": {"level": 39, "temperature": 21, "battery": 96}, "warnings": []},
    },
    {
        "type": "uplink",
        "description": "Frost",
        "input": {"bytes": [0, 40, 254, 15], "fPort": 1},
        "output": {"data": {"level": 40, "temperature": -2.5, "battery": 15, "ice": True}, "warnings": []},
    },
    {"type": "downlink-encode", "input": {"data": {"interval": 60}}, "output": {"bytes": [1, 60], "fPort": 10}},
]
_REFUSING = "Bordeaux · parking"


class Walk:
    """Open one view after the other and yield the name of each.

    ``showcase.fill`` must have filled the stack; it returns ``ids``. The page shows a view until the generator resumes.
    """

    def __init__(self, page: Page, stack: Stack, ids: dict[str, str]) -> None:
        self._page = page
        self._stack = stack
        self._ids = ids

    def views(self) -> Iterator[str]:
        yield from self._signing_in()
        yield from overview_views(self._page)
        yield from list_views(self._page, self._window)
        yield from message_views(self._page)
        yield from self._creating()
        yield from self._details()
        yield from self._windows()
        yield from self._changes()
        yield from self._flows()
        yield from self._drivers()
        yield from self._notifications()
        yield from self._troubles()

    def _signing_in(self) -> Iterator[str]:
        page = self._page
        page.goto(self._stack["consoleUrl"])
        expect(page.get_by_label("Token")).to_be_focused()
        yield "sign-in"
        self._sign_in("not a token")
        expect(page.get_by_role("alert")).to_be_visible()
        yield "sign-in-refused"
        self._sign_in(self._stack["otherTenantToken"])
        expect(page.get_by_text("No connections yet")).to_be_visible()
        yield "list-empty"
        page.get_by_role("link", name="Flows").click()
        expect(page.get_by_text("No flows yet")).to_be_visible()
        yield "flows-empty"
        page.get_by_role("link", name="Drivers").click()
        expect(page.get_by_text("No drivers yet")).to_be_visible()
        yield "drivers-empty"
        page.get_by_role("link", name="Connections").click()
        self._button("Sign out").click()
        self._sign_in(self._stack["token"])
        expect(page.get_by_role("link", name=MAIN)).to_be_visible()

    def _creating(self) -> Iterator[str]:
        page = self._page
        page.get_by_role("link", name="Connections", exact=True).first.click()
        self._button("Create").click()
        expect(self._button("AMQP")).to_be_focused()
        yield "create-choose"
        self._button("AMQP").click()
        expect(page.get_by_label("Application Name", exact=True)).to_be_focused()
        yield "create-empty"
        self._button("Create").click()
        expect(page.get_by_text("is mandatory").first).to_be_visible()
        yield "create-errors"
        self._fill(tcp_fields(self._stack))
        page.get_by_role("button", name=re.compile("^Help")).first.click()
        expect(page.locator(".preview code")).not_to_be_empty()
        yield "create-tcp"
        page.get_by_label("Protocol", exact=True).select_option("SSL")
        self._fill(ssl_fields(self._stack))
        expect(page.locator(".preview code")).not_to_be_empty()
        yield "create-ssl"
        page.get_by_text("More settings").click()
        expect(page.get_by_label("Virtual Host", exact=True)).to_be_visible()
        yield "create-more"
        page.get_by_text("More settings").click()
        self._button("Test connection").click()
        expect(page.get_by_text("All checks passed.")).to_be_visible()
        yield "test-passed"
        self._fill({"AMQP Password": "wrong"})
        self._button("Test connection").click()
        expect(page.get_by_text("The test stopped")).to_be_visible()
        yield "test-failed"
        # The page cannot check this value; the error of the API is shown beside its field.
        self._fill({"Hostname": "10.0.0.1"})
        self._button("Test connection").click()
        expect(page.get_by_text("not public").first).to_be_visible()
        yield "create-refused"
        self._button("Cancel").click()

    def _details(self) -> Iterator[str]:
        page = self._page
        self._open(MAIN)
        expect(page.locator(".chart .line").first).to_be_visible()
        expect(page.locator("table.messages tbody tr").first).to_be_visible()
        expect(page.locator(".events li").first).to_be_visible()
        yield "details"
        hour = page.locator(".ring-number").first.text_content() or ""
        self._button("1 d").click()
        expect(page.locator(".ring-number").first).not_to_have_text(hour)
        page.get_by_text("Show as a table").click()
        expect(page.locator(".as-table tbody tr").nth(5)).to_be_attached()
        yield "details-day-table"
        page.get_by_text("Show as a table").click()
        page.locator(".events summary").first.click()
        page.get_by_role("checkbox", name="Select the message").first.check()
        expect(page.get_by_text("applies to 1 selected")).to_be_visible()
        yield "details-event-and-selection"
        self._open(_REFUSING)
        expect(page.get_by_text("messages are queued for the broker")).to_be_visible()
        yield "details-refused"
        self._button("Test connection").click()
        expect(page.get_by_text("The test stopped")).to_be_visible()
        yield "details-test"
        self._open("Nantes · test bench")
        expect(page.get_by_text("No messages in this period.")).to_be_visible()
        expect(page.get_by_text("No failed messages.")).to_be_visible()
        yield "details-deactivated"

    def _windows(self) -> Iterator[str]:
        page = self._page
        self._open(MAIN)
        page.get_by_role("button", name="Open").first.click()
        yield from self._window("message", "Close")
        self._button("Purge").click()
        yield from self._window("purge")
        self._button("Add an alarm").click()
        yield from self._window("add-alarm")
        self._button("Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
        yield from self._window("delete")

    def _window(self, name: str, way_out: str = "Cancel") -> Iterator[str]:
        dialog = self._page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        yield f"window-{name}"
        dialog.get_by_role("button", name=way_out).click()
        expect(dialog).to_have_count(0)

    def _changes(self) -> Iterator[str]:
        page = self._page
        self._button("Edit Uplink Topic Pattern").click()
        expect(page.locator(".preview code")).not_to_be_empty()
        yield "edit"
        page.get_by_label("Uplink Topic Pattern", exact=True).fill("paris.{DevEUI}.up")
        self._button("Confirm").click()
        yield from self._window("confirm-change")
        self._button("Cancel").click()
        self._button("Edit Hostname").click()
        page.get_by_label("Hostname", exact=True).fill("amqp.paris.example.com:5671")
        expect(page.get_by_label("Private Key", exact=True)).to_be_visible()
        yield "edit-host"
        self._button("Cancel").click()
        self._open("Lyon · cold chain")
        self._button("Restart").click()
        expect(page.get_by_role("status")).to_contain_text("restarted")
        yield "notification"

    def _flows(self) -> Iterator[str]:
        page = self._page
        # The notification of the view before would cover the page.
        page.locator(".notification").evaluate_all("all => all.forEach((each) => each.remove())")
        page.get_by_role("link", name="Flows").click()
        expect(page.get_by_role("link", name=METERS, exact=True)).to_be_visible()
        yield "flows"
        self._button("Preview").click()
        page.locator(".reached summary").click()
        expect(page.get_by_text("No active flow for this connection").first).to_be_visible()
        expect(page.get_by_text("Decoded by Level sensor").first).to_be_visible()
        yield "flows-preview"
        self._button("Create").click()
        expect(page.get_by_label("Flow Name")).to_be_focused()
        yield "flow-new"
        self._button("Add tags").click()
        self._button("Add devices").click()
        page.get_by_label("One of these devices").fill("0018")
        self._button("Create").click()
        expect(page.get_by_text("is mandatory")).to_be_visible()
        yield "flow-errors"
        page.get_by_role("link", name="Flows").first.click()
        page.get_by_role("link", name=METERS, exact=True).click()
        expect(page.get_by_label("Flow Name")).to_have_value(METERS)
        self._button("Add tags").click()
        page.get_by_role("button", name="+ Paris:Office").click()
        self._button("Preview").click()
        expect(page.locator(".reached li").first).to_be_visible()
        yield "flow"
        self._button("Delete").click()
        yield from self._window("delete-flow")
        yield from self._used_connection()

    def _used_connection(self) -> Iterator[str]:
        page = self._page
        self._open(MAIN)
        expect(page.locator(".routing a").first).to_be_visible()
        expect(page.locator(".chart .line").first).to_be_visible()
        yield "details-flows"
        self._button("Delete").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox").fill(MAIN)
        dialog.get_by_role("button", name="Delete").click()
        expect(dialog.get_by_text("Flows name this connection")).to_be_visible()
        yield from self._window("used-connection")

    def _drivers(self) -> Iterator[str]:
        page = self._page
        page.get_by_role("link", name="Drivers").click()
        expect(page.get_by_role("link", name="Level sensor")).to_be_visible()
        yield "drivers"
        page.get_by_role("link", name="Level sensor").click()
        expect(page.get_by_label("Driver ID")).to_have_value(DRIVER)
        page.get_by_label("Payload (hex)").fill("0027150f")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_text("The battery is low.").last).to_be_visible()
        page.get_by_label("Examples (JSON)").fill(json.dumps(_EXAMPLES, indent=2))
        self._button("Run all examples").click()
        expect(page.get_by_text("2 of 3 examples passed.")).to_be_visible()
        page.get_by_label("Examples (JSON)").evaluate("field => { field.scrollTop = 0 }")
        yield "driver"
        page.get_by_label("Function").select_option(label="Encode downlink")
        page.get_by_label("Data (JSON)").fill('{"interval": 60}')
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(".test .reached pre")).to_be_visible()
        yield "driver-encode"
        page.evaluate("location.hash = '#/drivers/create'")
        expect(page.get_by_label("Driver ID")).to_be_focused()
        page.get_by_label("Driver ID").fill("mycompany:probe:1")
        page.get_by_label("Code (JavaScript)").fill("function decodeUplink(input) {\n  return { data: };\n}\n")
        self._button("Create").click()
        expect(self._button("Go to line 2")).to_be_visible()
        yield "driver-syntax-error"
        self._open("Lyon · cold chain")
        expect(page.locator(".chart .line").first).to_be_visible()

    def _notifications(self) -> Iterator[str]:
        page = self._page
        page.get_by_role("link", name="Notifications").click()
        expect(page.get_by_text("No notifications are set up yet")).to_be_visible()
        self._fill({"URL": "https://hooks.invalid/iot"})
        page.get_by_label("Quiet hours", exact=True).check()
        self._button("Save").click()
        expect(page.get_by_label("Secret")).to_be_visible()
        yield "notifications-secret"
        self._button("Send a test").click()
        expect(page.get_by_text("cannot be resolved").first).to_be_visible()
        yield "notifications"
        self._button("Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()

    def _troubles(self) -> Iterator[str]:
        page = self._page
        problem = {"title": "Internal Server Error", "status": 500, "detail": "Try again later.", "requestId": "r-1"}
        self._open("Lyon · cold chain")
        page.route("**/restart", lambda route: route.fulfill(status=500, json=problem))
        self._button("Restart").click()
        expect(page.locator(".notification.bad")).to_be_visible()
        yield "notification-bad"
        page.evaluate("document.querySelectorAll('.notification button').forEach((each) => each.click())")
        page.evaluate("location.hash = '#/connections/01ARZ3NDEKTSV4RRFFQ69G5FAV'")
        expect(page.get_by_role("heading", level=1)).to_contain_text("does not exist")
        yield "details-gone"
        page.evaluate("location.hash = '#/create/amqp'")
        self._fill(tcp_fields(self._stack))
        page.route(re.compile("/connections"), lambda route: route.abort())
        self._button("Create").click()
        expect(page.locator(".offline")).to_be_visible()
        yield "offline"
        page.unroute(re.compile("/connections"))
        page.route("**/connections", _expired)
        self._button("Create").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        yield "window-signed-out"

    def _open(self, name: str) -> None:
        self._page.evaluate("id => { location.hash = `#/connections/${id}` }", self._ids[name])
        expect(self._page.get_by_role("heading", name=name, exact=True)).to_be_visible()

    def _sign_in(self, token: str) -> None:
        self._page.get_by_label("Token").fill(token)
        self._button("Sign in").click()

    def _button(self, name: str) -> Locator:
        return self._page.get_by_role("button", name=name).first

    def _fill(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            self._page.get_by_label(name, exact=True).fill(value)


def tcp_fields(stack: Stack) -> dict[str, str]:
    amqp = stack["amqp"]
    return {
        "Application Name": "Marseille · harbour",
        "Hostname": f"localhost:{amqp['port']}",
        "Uplink Topic Pattern": "harbour.{CustomerData.name|DevEUI}.uplink",
        "Downlink Topic Pattern": "harbour.{DevEUI}.downlink",
        "AMQP Username": amqp["username"],
        "AMQP Password": amqp["password"],
        "Exchange Name": "amq.topic",
        "Description": "Berths 1 to 12",
    }


def ssl_fields(stack: Stack) -> dict[str, str]:
    amqp = stack["amqp"]
    files = {"Certificate": "clientCertificateFile", "Private Key": "clientKeyFile", "Trusted CA": "caFile"}
    pem = {label: Path(amqp[name]).read_text(encoding="ascii") for label, name in files.items()}
    return {"Hostname": f"localhost:{amqp['tlsPort']}", **pem}


def _expired(route: Any) -> None:
    problem = {"title": "Unauthorized", "status": 401, "detail": "The token has expired."}
    route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(problem))
