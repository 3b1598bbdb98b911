"""``make screenshots``: take screenshots of every view of the web page, narrow and wide, light and dark.

The program starts a local stack and fills it with the connections of a showcase. It writes the screenshots to
``.measured/screenshots``, and those of the README to ``infra/screenshots``. ``--stack DIR`` uses a running stack
instead, which must not contain the showcase yet.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from infra.local.browser.chromium import ARGUMENTS, ChromiumMissing, ensure_installed, program
from infra.local.browser.console_views import Walk
from infra.local.demo import showcase
from infra.local.directory import STACK_FILE
from infra.local.errors import StackFailed
from infra.local.processes import Child
from infra.local.stack_ports import SPAN
from infra.local.tcp_ports import free_range
from infra.local.waiting import wait_until

WIDTHS = {375: 812, 1440: 900}
"""Widths of the window, each with its height."""
SCHEMES = ("light", "dark")
README = Path("infra/screenshots")
_README_SIZE = {"width": 1100, "height": 760}
_README_VIEWS = ("overview", "messages", "details", "flows-preview")
"""In the order of the walk. The small window keeps the files small."""
_PAGE_HEIGHT = "document.documentElement.scrollHeight"
_PATIENCE = 30_000
"""Milliseconds: the showcase's drains and the browser share the machine."""
_START_SECONDS = 180.0
_STOP_SECONDS = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local.browser.screenshots", description=__doc__)
    parser.add_argument("--stack", type=Path, help="the directory of a running stack")
    parser.add_argument("--to", type=Path, default=Path(".measured/screenshots"))
    arguments = parser.parse_args()
    try:
        ensure_installed()
        with stack_for(arguments.stack) as stack, sync_playwright() as playwright:
            ids = showcase.fill(stack)
            with playwright.chromium.launch(executable_path=program(), args=list(ARGUMENTS)) as browser:
                take_all(browser, stack, ids, arguments.to)
    except (StackFailed, ChromiumMissing) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def take_all(browser: Browser, stack: dict[str, Any], ids: dict[str, str], directory: Path) -> None:
    """Write ``<view>-<width>-<scheme>.png`` for every view, and the screenshots of the README."""
    shutil.rmtree(directory, ignore_errors=True)
    expect.set_options(timeout=_PATIENCE)
    _take_for_readme(browser, stack, ids)
    for width, height in WIDTHS.items():
        for scheme in SCHEMES:
            taken = _take(browser, stack, ids, directory, (width, height), scheme)
            print(f"{taken} views at {width} px, {scheme}", flush=True)


def _take(
    browser: Browser, stack: dict[str, Any], ids: dict[str, str], directory: Path, size: tuple[int, int], scheme: Any
) -> int:
    width, height = size
    taken = 0
    viewport = {"width": width, "height": height}
    with browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce") as context:  # type: ignore[arg-type]
        page = context.new_page()
        for name in Walk(page, stack, ids).views():
            taken += 1
            if page.evaluate("document.documentElement.scrollWidth") > width:
                print(f"{name} is wider than {width} px", flush=True)
            if not name.startswith("window-"):
                # The window gets the height of the page: otherwise sticky bars cover the middle of the screenshot.
                page.set_viewport_size({"width": width, "height": max(height, page.evaluate(_PAGE_HEIGHT))})
            page.screenshot(path=directory / f"{name}-{width}-{scheme}.png")
            page.set_viewport_size({"width": width, "height": height})
    return taken


def _take_for_readme(browser: Browser, stack: dict[str, Any], ids: dict[str, str]) -> None:
    README.mkdir(exist_ok=True)
    with browser.new_context(viewport=_README_SIZE, color_scheme="light", reduced_motion="reduce") as context:  # type: ignore[arg-type]
        page = context.new_page()
        for name in Walk(page, stack, ids).views():
            if name == "flows-preview":
                page.get_by_role("heading", name="Try a report").evaluate("title => title.scrollIntoView()")
            if name in _README_VIEWS:
                page.screenshot(path=README / f"{name}.png")
            if name == _README_VIEWS[-1]:
                break


@contextmanager
def stack_for(directory: Path | None, **settings: str) -> Iterator[dict[str, Any]]:
    """Yield the content of ``stack.json``: of the stack in the directory, or of a new stack with these settings."""
    if directory is not None:
        yield json.loads((directory / STACK_FILE).read_text(encoding="utf-8"))
        return
    with tempfile.TemporaryDirectory() as temporary:
        where = Path(temporary) / "stack"
        environment = {
            **os.environ, "LOCAL_DIR": str(where), "PORT_BASE": str(free_range(SPAN)), "DEMO": "0", "TIME_SCALE": "60",
            **settings,
        }  # fmt: skip
        child = Child("stack", [sys.executable, "-m", "infra.local.stack"], Path(temporary) / "stack.log", environment)
        try:
            file = where / STACK_FILE
            started = wait_until(lambda: file.exists() or child.exit_code() is not None, _START_SECONDS, step=0.2)
            if not started or not file.exists():
                raise StackFailed(f"The local stack did not start:\n{child.tail()}")
            yield json.loads(file.read_text(encoding="utf-8"))
        finally:
            child.stop(_STOP_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
