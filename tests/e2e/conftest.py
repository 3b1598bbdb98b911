from collections.abc import Iterator

import pytest

from .client import Stack, running_stack

PORT_BASE = 18100


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests here, a minute in a second, without the demo."""
    directory = tmp_path_factory.mktemp("stack")
    with running_stack(directory, PORT_BASE, DEMO="0", TIME_SCALE="60") as (running, _):
        yield running
