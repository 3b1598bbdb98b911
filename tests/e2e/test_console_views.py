"""Every view of the page is accessible, fits its window and causes no errors in the browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from infra.local.browser.console_views import PROVOKED, Walk
from infra.local.demo import showcase
from tests.e2e.client import Stack
from tests.e2e.console import Console, console_in, pem_files, tcp_form
from tests.e2e.test_console_texts import NARROW, NAUGHTY, REFUSED

WIDE = {"width": 1440, "height": 900}
VIEWS = 56


@pytest.fixture(scope="module")
def shown(stack: Stack) -> Iterator[dict[str, str]]:
    """Ids of the showcase's connections by name."""
    ids = showcase.fill(stack.info)
    yield ids
    for flow in stack.api("GET", "/flows").json:
        stack.api("DELETE", f"/flows/{flow['id']}")
    for driver in stack.api("GET", "/drivers").json:
        stack.api("DELETE", f"/drivers/{driver['id']}")
    for identifier in ids.values():
        stack.api("DELETE", f"/connections/{identifier}")


def width_of(console: Console) -> int:
    return int(console.page.evaluate("document.documentElement.scrollWidth"))


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide light", "narrow dark"])
def test_every_view_is_accessible_and_fits_its_window(
    browser: Browser, stack: Stack, shown: dict[str, str], size: dict[str, int], scheme: str
) -> None:
    options: dict[str, Any] = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    with console_in(browser, stack, **options) as console:
        console.allow(*PROVOKED)
        found: dict[str, Any] = {}
        seen = 0
        for name in Walk(console.page, stack.info, shown).views():
            seen += 1
            faults = console.accessibility_faults()
            width = width_of(console)
            if faults or width != size["width"]:
                found[name] = (width, faults)
        assert found == {}
        assert seen == VIEWS


def test_details_are_accessible_before_their_numbers_arrive(browser: Browser, stack: Stack) -> None:
    connection = stack.connect("Slow statistics", stack.configuration())
    with console_in(browser, stack, viewport=WIDE) as console:
        console.open()
        held: list[Route] = []
        console.page.route("**/statistics?*", lambda route: held.append(route))  # noqa: PLW0108  # no built-in
        console.show(connection["id"])
        expect(console.page.locator("svg.ring").first).to_be_visible()
        assert console.accessibility_faults() == []
        assert len(held) > 0
        for route in held:
            route.continue_()
        expect(console.page.locator("svg.ring .track").first).to_be_attached()
        console.page.unroute("**/statistics?*")
    stack.api("DELETE", f"/connections/{connection['id']}")


def test_checks_find_faults(browser: Browser, stack: Stack) -> None:
    with console_in(browser, stack, viewport=NARROW) as console:
        console.open()
        add = (
            "([html]) => document.querySelector('main').append(new DOMParser().parseFromString(html, 'text/html').body)"
        )
        console.page.evaluate(add, ["<input><p id=faint>Hardly to be read</p><div id=wide>.</div>"])
        change = (
            "() => { faint.style.color = '#eee'; wide.style.width = '900px'; new Image().src = 'http://127.0.0.1:9/x' }"
        )
        console.page.evaluate(change)
        found = " ".join(console.accessibility_faults())
        assert "label" in found
        assert "color-contrast" in found
        assert width_of(console) > NARROW["width"]
        assert any("CSP" in fault for fault in console.faults)
        console.faults.clear()


def test_hostile_texts_in_form_fields_stay_text(browser: Browser, stack: Stack) -> None:
    with console_in(browser, stack, viewport=NARROW) as console:
        console.allow("422")
        console.open()
        console.begin_creating()
        console.field("Protocol").select_option("SSL")
        console.page.get_by_text("More settings").click()
        lines = console.page.locator("form.create input:not([type=checkbox], [type=file])")
        areas = console.page.locator("form.create textarea")
        assert (lines.count(), areas.count()) == (15, 4)
        for text in (*NAUGHTY, *REFUSED):
            for kind in (lines, areas):
                kind.evaluate_all(
                    "(all, text) => all.forEach((each) => {"
                    " each.value = text; each.dispatchEvent(new Event('input', {bubbles: true})) })",
                    text,
                )
            console.button("Create").click()
            expect(console.page.get_by_text("your attention.")).to_be_visible()
            kept = lines.evaluate_all("all => all.map((each) => each.value)")
            assert set(kept) == {text}
            assert width_of(console) == NARROW["width"]
        # The error of a field may contain the hostile text.
        console.fill(tcp_form(stack, NAUGHTY[0], Hostname="amqp.example.com:5671"))
        for label, file in pem_files(stack).items():
            console.field(label).fill(file.read_text())
        for label in (
            "Virtual Host",
            "Uplink Validity",
            "Connection Timeout (ms)",
            "Action Timeout (ms)",
            "Max Connections",
        ):
            console.field(label).fill("")
        for label in ("Application Server ID", "Application Server Key", "Downlink Port"):
            console.field(label).fill("")
        console.field("Uplink Topic Pattern").fill(f"up.{{{NAUGHTY[0]}}}")
        console.button("Create").click()
        expect(console.error_of("Uplink Topic Pattern")).to_be_visible()
        assert width_of(console) == NARROW["width"]
