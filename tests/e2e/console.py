"""The web page in a browser. ``Console`` records everything that must never happen in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from tests.e2e.client import Stack

TIMEOUT = 60_000
"""Milliseconds until a failing test gives up. On a busy machine, the first answers of a stack take more than 15 s."""
expect.set_options(timeout=TIMEOUT)
_LOG_VIOLATIONS = """addEventListener("securitypolicyviolation",
    (event) => console.error("CSP", event.violatedDirective, event.blockedURI))"""
_VIOLATIONS = """axe.run(document, {resultTypes: ["violations"]}).then(({violations}) =>
    violations.map(({id, nodes}) => id + ": " + nodes.map(({html}) => html.slice(0, 120)).join(" | ")))"""


class Console:
    def __init__(self, context: BrowserContext, stack: Stack) -> None:
        self.stack = stack
        self.context = context
        self.faults: list[str] = []
        self._loaded: list[Request] = []
        self._allowed: list[str] = []
        self._own = stack.info["apiUrl"] + "/"
        self._origins = [self._own, "blob:"]
        context.set_default_timeout(TIMEOUT)
        context.add_init_script(_LOG_VIOLATIONS)
        context.on("request", self._requested)
        self.page: Page = context.new_page()
        self.page.on("console", self._logged)
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        self.page.on("dialog", lambda dialog: self.faults.append(f"alert: {dialog.message}"))
        self.page.on("requestfinished", self._finished)

    def allow(self, *texts: str) -> None:
        """Ignore console errors with these texts: the browser logs every failed request, and the test expects some."""
        self._allowed += texts

    def trust(self, origin: str) -> None:
        """Allow requests to another origin."""
        self._origins.append(origin + "/")

    def _logged(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(text in message.text for text in self._allowed):
            self.faults.append(f"console: {message.text}")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith(tuple(self._origins)):
            self.faults.append(f"another origin: {request.url}")

    def _finished(self, request: Request) -> None:
        self._loaded.append(request)

    @property
    def loaded(self) -> list[str]:
        """Addresses of everything that the page loaded."""
        return [request.url for request in self._loaded]

    @property
    def weight(self) -> int:
        """Transferred bytes of the page's files."""
        own = [request for request in self._loaded if request.url.startswith(self._own + "console")]
        return sum(request.sizes()["responseBodySize"] for request in own)

    def open(self, token: str | None = None) -> None:
        """Open the page and sign in with a token."""
        self.page.goto(self.stack.info["consoleUrl"])
        self.sign_in(token or self.stack.info["token"])
        expect(self.heading("Connections")).to_be_visible()

    def sign_in(self, token: str) -> None:
        self.page.get_by_label("Token").fill(token)
        self.button("Sign in").click()

    def show(self, connection_id: str) -> None:
        """Open the details of a connection."""
        self.page.evaluate("id => { location.hash = `#/connections/${id}` }", connection_id)
        expect(self.page.get_by_text(connection_id)).to_be_visible()

    def heading(self, name: str) -> Locator:
        return self.page.get_by_role("heading", name=name, exact=True)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def field(self, name: str) -> Locator:
        return self.page.get_by_label(name, exact=True)

    def fill(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            self.field(name).fill(value)

    def expect_notification(self, text: str) -> None:
        """Expect a notification with this text at the upper right."""
        status = self.page.get_by_role("status")
        expect(status).to_contain_text(text)
        box = status.bounding_box()
        size = self.page.viewport_size
        assert box
        assert size
        assert box["y"] < size["height"] / 4
        assert box["x"] + box["width"] > size["width"] * 0.9

    def begin_creating(self) -> None:
        self.button("Create").click()
        self.button("AMQP").click()
        expect(self.heading("New AMQP connection")).to_be_visible()

    def error_of(self, field: str) -> Locator:
        """Locate the error of a field. The locator waits, because an answer of the API may still be missing."""
        identifier = self.field(field).get_attribute("id")
        return self.page.locator(f"[id='{identifier}-error']:not([hidden])")

    def accessibility_faults(self) -> list[str]:
        """Run axe-core in the current view."""
        self.page.evaluate(AXE_SCRIPT)
        found: list[str] = self.page.evaluate(_VIOLATIONS)
        return found


def tcp_form(stack: Stack, name: str, **changes: str) -> dict[str, str]:
    """Values of the form for the stack's broker."""
    amqp = stack.info["amqp"]
    return {
        "Application Name": name,
        "Hostname": f"{amqp['host']}:{amqp['port']}",
        "Uplink Topic Pattern": "amqp.things.{DevEUI}.uplink",
        "Downlink Topic Pattern": "amqp.things.{DevEUI}.downlink",
        "AMQP Username": amqp["username"],
        "AMQP Password": amqp["password"],
        "Exchange Name": "amq.topic",
        "Description": "Made in a browser",
    } | changes


def pem_files(stack: Stack) -> dict[str, Path]:
    amqp = stack.info["amqp"]
    return {
        "Certificate": Path(amqp["clientCertificateFile"]),
        "Private Key": Path(amqp["clientKeyFile"]),
        "Trusted CA": Path(amqp["caFile"]),
    }


@contextmanager
def console_in(browser: Browser, stack: Stack, **options: Any) -> Iterator[Console]:
    """Open the page in a new browser context. Fails at the end if the page did anything that it must not do."""
    with browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options}) as context:
        console = Console(context, stack)
        yield console
        assert console.faults == [], console.faults
