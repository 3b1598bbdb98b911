"""``python -m infra.bench.page``: time until the web page is usable for a tenant with 10,000 connections.

It starts a local stack unless ``--stack DIRECTORY`` names a running one. It writes records of the tenant ``other`` into
the stack's DynamoDB, and does not delete them. Few of them are active: ``make scale`` measures the reconciler.
"""

import argparse
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, sync_playwright

from infra.local.browser.chromium import ARGUMENTS, ChromiumMissing, ensure_installed, program
from infra.local.browser.screenshots import stack_for
from infra.local.demo.fleet import healthy, write
from infra.local.errors import StackFailed

CONNECTIONS = 10_000
GOAL = 1.0
"""Seconds until a view is usable."""
_ACTIVE = 300
_ROUNDS = 5
_PATIENCE = 120_000
_QUIET = 300
"""Milliseconds."""
_TENANT = "other"
_NAMES = "[...document.querySelectorAll('td.name a')].map((each) => each.textContent)"
_COUNTED = """(number) => document.querySelector(".state-counts a")?.textContent.includes(number)
    && document.querySelector("tr[data-id]")"""
"""The overview has counted all connections and shows the first of them."""
_FIRST_ROWS = f"(number) => {_NAMES}.length === number"
_ONLY_ROW = f"(name) => {_NAMES}.join() === name"
_LAST_ROW = f"(name) => {_NAMES}.at(-1) === name"
_IDS = re.compile(r"ids=[^&]*")


@dataclass
class Visit:
    """Seconds of each step, the calls of each step with their bytes, and the bytes of the page's files."""

    seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    weight: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.bench.page", description=__doc__)
    parser.add_argument("--stack", type=Path, help="the directory of a running stack")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    arguments = parser.parse_args()
    try:
        run(arguments.stack, arguments.connections)
    except (StackFailed, ChromiumMissing) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def run(directory: Path | None = None, connections: int = CONNECTIONS) -> None:
    """Measure at the stack in a directory, or at a new one. Raises StackFailed or ChromiumMissing."""
    ensure_installed()
    with stack_for(directory, TIME_SCALE="1") as stack, sync_playwright() as playwright:
        print(f"Writing {connections:,} connections ...", flush=True)
        active = min(_ACTIVE, connections)
        write(stack, _TENANT, healthy(_TENANT, range(active)))
        write(stack, _TENANT, healthy(_TENANT, range(active, connections), active=False))
        with playwright.chromium.launch(executable_path=program(), args=list(ARGUMENTS)) as browser:
            visits = [visit(browser, stack, connections) for _ in range(_ROUNDS)]
    print("\n".join(report(visits, connections)))


def visit(browser: Browser, stack: Mapping[str, Any], connections: int) -> Visit:
    """Sign in, open the list and search, each in the page of a new browser context."""
    made = Visit()
    wanted = f"Site {connections // 2:05}"
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        page.set_default_timeout(_PATIENCE)
        finished: list[Request] = []
        begun: list[Request] = []
        page.on("request", lambda request: begun.extend((request,)))
        page.on("requestfinished", lambda request: finished.extend((request,)))

        def step(name: str, act: Callable[[], object], usable: Callable[[], object]) -> None:
            begun.clear()
            finished.clear()
            began = time.perf_counter()
            act()
            usable()
            made.seconds[name] = time.perf_counter() - began
            _settle(page, begun, finished)
            calls = [each for each in finished if not each.url.startswith(stack["consoleUrl"])]
            made.calls[name] = [(_path(each, stack), each.sizes()["responseBodySize"]) for each in calls]
            made.weight += sum(each.sizes()["responseBodySize"] for each in finished if each not in calls)

        sign_in = page.get_by_role("button", name="Sign in")
        step("open the page", lambda: page.goto(stack["consoleUrl"]), sign_in.wait_for)
        page.get_by_label("Token", exact=True).fill(stack["otherTenantToken"])
        step("sign in: overview", sign_in.click, lambda: _shown(page, _COUNTED, f"{connections:,}"))
        step(
            "open the list",
            page.get_by_role("link", name="Connections", exact=True).click,
            lambda: _shown(page, _FIRST_ROWS, 50),
        )
        search = page.get_by_label("Search", exact=True)
        step("search", lambda: search.fill(wanted.lower()), lambda: _shown(page, _ONLY_ROW, wanted))
        step("sort by name", lambda: _sort_all(page), lambda: _shown(page, _LAST_ROW, "Site 00049"))
    return made


def _shown(page: Page, condition: str, argument: object) -> None:
    """Wait for a condition, which is checked with each frame; a locator would check it twice a second."""
    page.wait_for_function(condition, arg=argument, polling="raf")


def _settle(page: Page, begun: Sequence[Request], finished: Sequence[Request]) -> None:
    """Wait until all calls have ended and no other one has begun for a while."""
    number = -1
    while number < len(begun) or len(finished) < len(begun):
        number = len(begun)
        page.wait_for_timeout(_QUIET)


def _sort_all(page: Page) -> None:
    page.get_by_label("Search", exact=True).fill("")
    page.get_by_role("columnheader", name="Name").get_by_role("button").click()


def _path(request: Request, stack: Mapping[str, Any]) -> str:
    return _IDS.sub("ids=...", f"{request.method} {request.url.removeprefix(stack['apiUrl'])}")


def report(visits: Sequence[Visit], connections: int) -> list[str]:
    """Return the lines of two tables: seconds of each step, and the calls of a visit. The first visit is a cold one."""
    lines = [f"The page with {connections:,} connections, {len(visits)} visits (goal {GOAL:.0f} s)"]
    lines += ["", f"{'step':24}{'first':>9}{'median':>9}{'slowest':>9}"]
    for name in visits[0].seconds:
        seconds = [each.seconds[name] for each in visits]
        lines.append(f"{name:24}{seconds[0]:8.2f}s{statistics.median(seconds):8.2f}s{max(seconds):8.2f}s")
    lines += ["", f"{'call':76}{'times':>6}{'bytes':>9}"]
    for name, calls in visits[-1].calls.items():
        sizes: defaultdict[str, list[int]] = defaultdict(list)
        for path, size in calls:
            sizes[path].append(size)
        lines += [f"{name}:", *(f"  {path:74}{len(own):6}{sum(own):9,}" for path, own in sizes.items())]
    return [*lines, "", f"files of the page: {visits[0].weight:,} bytes"]


if __name__ == "__main__":
    sys.exit(main())
