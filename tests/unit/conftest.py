"""Fixtures of several unit tests."""

from collections.abc import Iterator

import pytest

from tests.unit.flow import Flow


@pytest.fixture
def flow() -> Iterator[Flow]:
    """One connection of one tenant, on ports in memory."""
    made = Flow()
    made.connect()
    yield made
    made.executor.shutdown()
