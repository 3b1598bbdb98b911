from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from infra.local.browser.chromium import ARGUMENTS, ensure_installed, program
from infra.local.tcp_ports import free_range
from tests.e2e.client import STACK_PORTS, Stack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack without demo for all tests of this folder. A minute takes a second."""
    directory = tmp_path_factory.mktemp("stack")
    with running_stack(directory, free_range(STACK_PORTS), DEMO="0", TIME_SCALE="60") as (running, _):
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    ensure_installed()
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program(), args=list(ARGUMENTS))
