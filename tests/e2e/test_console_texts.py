"""Hostile texts as names and settings, on a narrow screen: the page shows them unchanged.

``Console`` fails if the page executes a script, violates its CSP or requests another origin.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.client import Stack
from tests.e2e.console import Console, console_in

NARROW = {"width": 375, "height": 812}
WEIGHT = 190_000
"""Bytes of the files that the first view loads. The local stack does not compress them; API Gateway does."""
TOTAL_WEIGHT = 240_000
"""Bytes of all files of the page."""
FIRST_LIST = 25
"""Connections in the first request: as many as fit a window, so that the list appears soon."""
NAUGHTY = [
    # Markup and scripts
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea></title><b>bold</b>",
    "<!-- no comment",
    '<iframe src="https://example.com"></iframe>',
    '<base href="https://example.com/">',
    "<style>*{display:none}</style>",
    "<a href=javascript:alert(1)>click</a>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "]]><![CDATA[x",
    "&lt;b&gt; &amp;amp; &#60; &nbsp;",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    # Templates and formats
    "{{7*7}} ${7*7} #{7*7} <%= 7*7 %>",
    "{DevEUI} {} {{}}",
    "${jndi:ldap://localhost/x}",
    "%s %d %n %x {0} {name!r}",
    "$& $1 $` \\1",
    "__proto__",
    "constructor",
    # Quotes, slashes, queries
    'it\'s "quoted" `so` \\ and /',
    "'; DROP TABLE connections; --",
    "=1+1",
    "../../etc/passwd?a=b&c=d#e",
    "null",
    "undefined",
    "[object Object]",
    "NaN -0 1e309",
    # Scripts of the world
    "שלום עולם abc مرحبا",
    "zero\u200bwidth\u200djoin\ufeffmark",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 👍🏽",
    "Z̸̡̛͖̦a̷̢̤l̶̨̛g̵̡̛o̴̧",
    "田中さん 社會科學院 찦차",
    "ⅷ ﷽ Ω≈ç√ ﬁ ß İ",
    "no\u00a0break soft\u00adhyphen",
    # Words that no line has room for
    "W" * 128,
    "\U0001d54e" * 60,
    "a-b_c." * 21,
]
REFUSED = ["\u202eright to left override\u202c end", "a\u2066isolate\u2069b"]
"""Texts that no name may have, but that a user may type."""


@pytest.fixture(scope="module")
def named(stack: Stack) -> Iterator[dict[str, str]]:
    """One connection for each text, which is its name, description, user name and exchange. Ids by text."""
    quiet = {"connectorId": "actility-amqp-0.9.1-iot", "active": False}
    ids = {}
    for text in NAUGHTY:
        configuration = stack.configuration(description=text, username=text, exchangeName=text[:60])
        answer = stack.api("POST", "/connections", {**quiet, "name": text, "configuration": configuration})
        assert answer.status == 201, (text, answer.body)
        ids[answer.json["id"]] = text
    yield {text: identifier for identifier, text in ids.items()}
    for identifier in ids:
        stack.api("DELETE", f"/connections/{identifier}")


@pytest.fixture(scope="module")
def narrow(browser: Browser, stack: Stack) -> Iterator[Console]:
    """One page for all texts, so that damage by one text is found with the next."""
    with console_in(browser, stack, viewport=NARROW) as console:
        console.open()
        yield console


def width_of(console: Console) -> Any:
    return console.page.evaluate("document.documentElement.scrollWidth")


@pytest.mark.usefixtures("named")
def test_list_shows_each_name_as_text(narrow: Console) -> None:
    narrow.page.evaluate("location.hash = '#/connections'")
    links = narrow.page.locator("td.name a")
    expect(links).to_have_count(len(NAUGHTY))
    assert sorted(links.evaluate_all("all => all.map((each) => each.textContent)")) == sorted(NAUGHTY)
    assert width_of(narrow) == NARROW["width"]


@pytest.mark.parametrize("text", NAUGHTY)
def test_details_show_the_text_unchanged(narrow: Console, named: dict[str, str], text: str) -> None:
    faults = len(narrow.faults)
    narrow.show(named[text])
    heading = narrow.page.get_by_role("heading", level=1)
    expect(heading).not_to_be_empty()
    assert heading.text_content() == text
    assert narrow.page.locator("main").evaluate("main => main.textContent").count(text) >= 3
    narrow.button("Delete").click()
    dialog = narrow.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert text in str(dialog.text_content())
    assert width_of(narrow) == NARROW["width"]
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert narrow.faults[faults:] == []


def test_search_for_a_text_finds_its_connection(narrow: Console, named: dict[str, str]) -> None:
    page = narrow.page
    page.evaluate("location.hash = '#/connections'")
    for text in NAUGHTY:
        page.get_by_label("Search").fill(text)
        expect(page.locator(f"tr[data-id='{named[text]}']")).to_be_visible()
    page.get_by_label("Search", exact=True).fill("")


def test_page_is_small_and_requests_a_window_of_rows_first(
    browser: Browser, stack: Stack, named: dict[str, str]
) -> None:
    with console_in(browser, stack) as console:
        with console.page.expect_response(re.compile(r"/connections\?")) as first:
            console.open()
        print(
            f"the page weighs {console.weight} bytes, its first list {first.value.request.sizes()['responseBodySize']}"
        )
        assert 10_000 < console.weight < WEIGHT
        assert len(first.value.json()) == FIRST_LIST
        expect(console.page.locator("td.name a")).to_have_count(FIRST_LIST)
        # The other views are loaded when the user opens them.
        assert not [url for url in console.loaded if "/console/flows/" in url or "/console/drivers/" in url]
        for view in ("#/flows", "#/flows/create", "#/drivers", "#/drivers/create", "#/create", "#/create/amqp"):
            console.page.evaluate("view => { location.hash = view }", view)
            expect(console.page.get_by_role("heading", level=1)).to_be_visible()
            console.page.wait_for_load_state("networkidle")
        console.show(next(iter(named.values())))
        console.page.wait_for_load_state("networkidle")
        print(f"all views weigh {console.weight} bytes")
        assert WEIGHT / 2 < console.weight < TOTAL_WEIGHT
