"""``python -m infra.bench.page``: time until the web page is usable for a tenant with 1,000 connections.

It starts a local stack unless ``--stack DIRECTORY`` names a running one. It creates inactive connections of the tenant
``other`` over the API, and does not delete them.
"""

import argparse
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from infra.local.browser.chromium import ARGUMENTS, ChromiumMissing, ensure_installed, program
from infra.local.browser.screenshots import stack_for
from infra.local.demo.api_client import ApiClient
from infra.local.errors import StackFailed

CONNECTIONS = 1000
GOAL = 1.0
"""Seconds from the click on *Sign in* to a usable list."""
_ROUNDS = 5
_AT_ONCE = 4
_PATIENCE = 120_000
_CONFIGURATION = {
    "hostName": "amqp.example.com",
    "protocol": "TCP",
    "uplinkTopicPattern": "sites.{DevEUI}.uplink",
    "downlinkTopicPattern": "sites.{DevEUI}.downlink",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.bench.page", description=__doc__)
    parser.add_argument("--stack", type=Path, help="the directory of a running stack")
    try:
        run(parser.parse_args().stack)
    except (StackFailed, ChromiumMissing) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def run(directory: Path | None = None) -> None:
    """Measure at the stack in a directory, or at a new one. Raises StackFailed or ChromiumMissing."""
    ensure_installed()
    with stack_for(directory) as stack, sync_playwright() as playwright:
        _fill(stack)
        with playwright.chromium.launch(executable_path=program(), args=list(ARGUMENTS)) as browser:
            measure(browser, stack)


def measure(browser: Browser, stack: dict[str, Any]) -> float:
    """Prints and returns the median of the seconds until the first view is usable."""
    rounds = [_visit(browser, stack) for _ in range(_ROUNDS)]
    usable = statistics.median(each[0] for each in rounds)
    complete = statistics.median(each[1] for each in rounds)
    weight = rounds[0][2]
    print(f"first view with {CONNECTIONS} connections: usable after {usable:.2f} s (goal {GOAL:.0f} s), ", end="")
    print(f"all rows after {complete:.1f} s; size of the page {weight / 1000:.0f} KB")
    return usable


def _visit(browser: Browser, stack: dict[str, Any]) -> tuple[float, float, int]:
    """Seconds until the first rows and *Create* are usable, seconds until all rows are loaded, bytes of the page."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        page.set_default_timeout(_PATIENCE)
        sizes: list[int] = []
        page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
        page.goto(stack["consoleUrl"])
        page.get_by_label("Token", exact=True).fill(stack["otherTenantToken"])
        weight = sum(sizes)
        began = time.perf_counter()
        page.get_by_role("button", name="Sign in").click()
        page.locator("tr[data-id]").first.wait_for()
        page.get_by_role("button", name="Create").click(trial=True)
        usable = time.perf_counter() - began
        page.wait_for_function(
            "count => document.querySelector('.count').textContent === `${count.toLocaleString('en')} connections`",
            arg=CONNECTIONS,
        )
        return usable, time.perf_counter() - began, weight


def _fill(stack: dict[str, Any]) -> None:
    api = ApiClient(stack["apiUrl"], stack["otherTenantToken"])

    def create(number: int) -> None:
        document = {
            "connectorId": "actility-amqp-0.9.1-iot",
            "name": f"Site {number:04}",
            "active": False,
            "configuration": _CONFIGURATION,
        }
        api.call("POST", "/connections", document)

    print(f"Creating {CONNECTIONS} connections ...", flush=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(create, range(CONNECTIONS)))


if __name__ == "__main__":
    sys.exit(main())
