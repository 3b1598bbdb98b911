"""Walks through the view that follows messages."""

import re
from collections.abc import Iterator

from playwright.sync_api import Page, expect

from infra.local.demo.showcase import DEVICE


def message_views(page: Page) -> Iterator[str]:
    """A device's messages at several connections, one that waits and one that failed."""
    page.get_by_role("link", name="Messages", exact=True).click()
    page.get_by_label("DevEUI").fill(DEVICE)
    page.get_by_role("button", name="Search", exact=True).click()
    rows = page.locator("details.message")
    expect(rows.filter(has_text="Delivered").first).to_be_visible()
    waiting = rows.filter(has_text="Lille").last
    # The events of the connection are between the steps of the message.
    with page.expect_response(re.compile(r"/events\?")):
        waiting.locator("summary").click()
    expect(waiting.get_by_role("list", name="History").get_by_role("listitem").last).to_be_visible()
    yield "messages"
    page.get_by_label("DevEUI").fill("")
    page.get_by_label("Status", exact=True).select_option(label="Failed")
    page.get_by_role("button", name="Search", exact=True).click()
    failed = rows.filter(has_text="UNROUTABLE").first
    failed.locator("summary").click()
    expect(failed.locator("pre").first).not_to_be_empty()
    yield "messages-failed"
