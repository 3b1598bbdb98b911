"""The clients that ``make bench`` compares deliver what they are asked to, so that no figure hides a lost message."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from infra.bench.broker import bench_connection, control_channel
from infra.bench.peers.installation import find_node, install_node_packages, install_python_packages
from infra.bench.peers.job import QUEUE, Job, write_messages
from infra.bench.peers.measure import job_at
from infra.bench.peers.processes import contender
from infra.bench.peers.reports import bench_messages
from infra.bench.peers.scenes import CONTENDERS, DEVICES, HANDLER, SHOVEL, Place
from infra.local.broker.node import Broker

BATCH, BATCHES, WARM_UPS = 7, 2, 1


@pytest.fixture(scope="module", autouse=True)
def clients() -> None:
    install_python_packages()
    install_node_packages(cast("Path", find_node()))


@pytest.fixture
def job(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Job]:
    place: Place = request.param
    write_messages(tmp_path / "messages.json", bench_messages(bench_connection(broker.config.port), DEVICES))
    with job_at(broker, tmp_path / "messages.json", place) as made:
        yield made


@pytest.mark.parametrize("job", ["near", "TLS"], indirect=True)
@pytest.mark.parametrize("name", CONTENDERS)
def test_contender_delivers_every_message(broker: Broker, job: Job, name: str) -> None:
    config = broker.config
    with control_channel(config.port, config.password) as control, contender(name, find_node()) as process:
        control.queue_purge(QUEUE)
        process.begin(job)
        sample = process.measure(BATCH, BATCHES, WARM_UPS)
        received = []
        while (delivery := control.basic_get(QUEUE, auto_ack=True))[0] is not None:
            received.append((delivery[0].routing_key, delivery[2], delivery[1]))
    expected = [(message.routing_key, message.body) for message in bench_messages(bench_connection(1), BATCH)]
    # The shovel moves a batch beforehand, whose acks hold the next one back.
    assert len(received) == BATCH * (BATCHES + WARM_UPS + (name == SHOVEL))
    if name == HANDLER:
        # Each batch has new reports, because ingress drops a report that it has stored already.
        assert {key for key, _, _ in received} == {key for key, _ in expected}
        assert len({body for _, body, _ in received}) == len(received)
    else:
        assert {(key, body) for key, body, _ in received} == set(expected)
    assert all(
        properties.delivery_mode == 2 and "connectionId" in (properties.headers or {}) for *_, properties in received
    )
    assert sample.rate > 0
    assert process.version
