"""Walks through the overview and the list of connections."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from playwright.sync_api import Page, expect

from infra.local.demo.showcase import CONNECTOR


def overview_views(page: Page) -> Iterator[str]:
    """The first view of the showcase's tenant."""
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_text("Login refused").first).to_be_visible()
    expect(page.locator(".day .line").first).to_be_visible()
    _show_numbers(page)
    yield "overview"


def list_views(page: Page, window: Callable[..., Iterator[str]]) -> Iterator[str]:
    """The list, empty, filtered and with selected rows. ``window`` waits for a window and closes it."""
    page.get_by_role("link", name="Connections", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Connections")).to_be_visible()
    expect(page.locator("tr[data-id]").first).to_be_visible()
    _show_numbers(page)
    page.mouse.move(0, 0)
    yield "list"
    page.get_by_label("Search", exact=True).fill("nowhere")
    expect(page.get_by_text("No connection matches")).to_be_visible()
    yield "list-no-match"
    page.get_by_role("button", name="Clear the filter").click()
    page.get_by_label("State", exact=True).select_option(label="Several …")
    for state in ("Unreachable", "Opened"):
        page.get_by_role("group", name="State").get_by_label(state, exact=True).check()
    expect(page.locator("tr[data-id]")).to_have_count(4)
    yield "list-states"
    page.keyboard.press("Escape")
    page.get_by_role("checkbox", name="Select all").check()
    yield "list-selection"
    page.get_by_role("group", name="Selected connections").get_by_role("button", name="Delete").click()
    yield from window("delete-several")
    page.get_by_role("button", name="Clear the selection").click()
    page.keyboard.press("?")
    yield from window("keys", "Close")
    yield from _transfer(page)


def _transfer(page: Page) -> Iterator[str]:
    page.get_by_role("link", name="Export or import").click()
    wanted: dict[str, Any] = {
        "format": "iot-flow-configuration",
        "release": 1,
        "connections": [
            {
                "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
                "name": "Grenoble · lifts",
                "connectorId": CONNECTOR,
                "active": True,
                "alarms": [],
                "configuration": {"hostName": "amqp.grenoble.example.com", "protocol": "TCP", "username": "lifts"},
                "secrets": ["password"],
            }
        ],
        "flows": [],
        "drivers": [],
    }
    page.get_by_label("Configuration (JSON)").fill(json.dumps(wanted, indent=2))
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("1 to create")).to_be_visible()
    yield "import"


def _show_numbers(page: Page) -> None:
    """Show the numbers of all rows, which the page reads when a row becomes visible, then scroll back."""
    page.locator("td.uplinks").last.scroll_into_view_if_needed()
    expect(page.locator("td.uplinks svg")).to_have_count(page.locator("tr[data-id]").count())
    page.evaluate("window.scrollTo(0, 0)")
