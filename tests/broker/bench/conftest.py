"""The broker of the benchmarks."""

from collections.abc import Iterator

import pytest

from infra.bench.broker import bench_broker
from infra.local.broker.installation import ensure_installed
from infra.local.broker.node import Broker


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    ensure_installed()
    with bench_broker(tmp_path_factory.mktemp("bench")) as running:
        yield running
