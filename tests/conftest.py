"""For all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

TOGETHER = {"e2e", "broker", "rules"}
"""Folders whose tests stay with one worker: they share a stack, or brokers, or take long one by one."""


@pytest.hookimpl(tryfirst=True)  # before xdist looks for the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = Path(item.path).parent.name
        if folder in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(folder))
    # The longest first, so that no worker is left waiting for it at the end.
    items.sort(key=lambda item: Path(item.path).parent.name != "e2e")
