"""For all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

TOGETHER = {"e2e", "broker", "rules"}
"""Folders whose tests stay with one process: they share a stack, or brokers, or take long one by one."""


def pytest_itemcollected(item: pytest.Item) -> None:
    # Not later: xdist looks for the marks before anybody else may change what was collected.
    folder = Path(item.path).parent.name
    if folder in TOGETHER:
        item.add_marker(pytest.mark.xdist_group(folder))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest first, so that no process is left waiting for it at the end.
    items.sort(key=lambda item: Path(item.path).parent.name != "e2e")
