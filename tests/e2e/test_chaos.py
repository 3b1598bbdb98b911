"""A small chaos run with a fixed seed. ``make chaos`` runs a large one."""

from pathlib import Path

from infra.chaos.plan import Kind, Size
from infra.chaos.run import run
from infra.local.tcp_ports import free_range
from tests.e2e.client import STACK_PORTS

SMALL = Size(
    reports=300,
    devices=20,
    connections=3,
    nodes=1,
    broker_kills=1,
    worker_kills=2,
    downlinks=60,
    consumer_kills=1,
    network_server_kills=1,
    seed=1,
    flows=True,
    codec_kills=1,
)


def test_each_connection_gets_its_messages_in_order_while_brokers_and_workers_are_killed(
    tmp_path: Path,
) -> None:
    outcome = run(tmp_path, SMALL, free_range(STACK_PORTS))
    made = [fault.kind for fault in outcome.disturbances]
    assert (made.count(Kind.BROKER_KILL), made.count(Kind.WORKER_KILL)) == (1, 3)
    assert made.count(Kind.NETWORK_SERVER_KILL) == made.count(Kind.CODEC_KILL) == 1
    first, second, without_flows = outcome.results
    assert without_flows.delivered >= without_flows.acknowledged > 200
    assert min(first.by_flow["Tags"], second.by_flow["Keys"], first.decoded, second.decoded) > 0
    assert min(first.not_chosen, second.not_chosen) > 0
    assert outcome.downlinks.confirmed == 60
    assert outcome.faults() == [], (tmp_path / "report.md").read_text()
    assert (tmp_path / "backlog.svg").read_text().startswith("<svg")
