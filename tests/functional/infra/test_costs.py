"""AWS calls on the path of a report, which decide its price, and the table of costs in infra/README.md."""

import math
from collections.abc import Iterator, Sequence

import pytest

from chalicelib.config import Settings
from chalicelib.entry import services as wiring
from infra.costs import idle, tables
from infra.costs.polls import IdlePolls, Minute
from infra.costs.prices import Unit
from infra.costs.uplinks import UplinkPath, Usage
from infra.local.processes import ROOT
from tests.functional.emulated_aws import emulated_aws
from tests.unit.flow import ScriptedBroker

CONFIGURATION = {
    "hostName": "broker.example",
    "protocol": "TCP",
    "uplinkTopicPattern": "things.{DevEUI}.uplink",
    "downlinkEnabled": False,
    "username": "user",
    "password": "secret",
}
ACCEPTED = {
    "dynamodb.Query": 1,
    "dynamodb.GetItem": 1,
    "sqs.SendMessage (FIFO)": 1,
    "sqs.SendMessageBatch": 1,
}
DRAINED = {
    "sqs.ReceiveMessage": 1,
    "sqs.DeleteMessageBatch": 1,
    "dynamodb.GetItem": 1,
    "sqs.ReceiveMessage (FIFO)": 1,
    "sqs.DeleteMessageBatch (FIFO)": 1,
    "dynamodb.UpdateItem": 1,
}
"""A drain of one report, with the two calls of the event source mapping."""
Used = Sequence[tuple[int, Usage, Usage]]


@pytest.fixture(scope="module")
def used() -> Iterator[Used]:
    with pytest.MonkeyPatch.context() as patch, emulated_aws():
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        before = wiring.services()
        path = UplinkPath(Settings(resource_prefix="iot-flow-test"), CONFIGURATION, ScriptedBroker())
        yield [(reports, path.accept(reports), path.drain(reports)) for reports in (1, 10)]
        wiring.use(before)


def test_report_alone_costs_four_calls_and_four_more(used: Used) -> None:
    (_, accepted, drained), _ = used
    assert accepted.calls == ACCEPTED
    assert drained.calls == DRAINED


def test_ten_reports_share_the_calls_of_a_drain(used: Used) -> None:
    _, (_, accepted, drained) = used
    # The keys of an application server are read once in five seconds.
    assert accepted.calls == {name: 10 * number for name, number in ACCEPTED.items()} | {"dynamodb.Query": 1}
    # One further receive finds that the queue has no backlog.
    assert drained.calls == DRAINED | {"sqs.ReceiveMessage (FIFO)": 2}


def test_report_reads_and_writes_few_units(used: Used) -> None:
    (_, accepted, drained), _ = used
    units = {unit: accepted.units[unit] + drained.units[unit] for unit in Unit}
    assert (units[Unit.READ], units[Unit.WRITE]) == (3, 1)
    assert (units[Unit.SQS_FIFO], units[Unit.SQS_STANDARD]) == (3, 3)
    assert (units[Unit.INVOCATION], units[Unit.SECRET_CALL]) == (2, 0)
    assert units[Unit.LOG_BYTE] < 1700


@pytest.fixture(scope="module")
def idle_minutes() -> list[tuple[int, Minute]]:
    found = []
    for connections, tenants in idle.GROUPS:
        with pytest.MonkeyPatch.context() as patch, emulated_aws():
            patch.delenv("AWS_ENDPOINT_URL", raising=False)
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(name, "test")
            patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
            polls = IdlePolls(Settings(resource_prefix="iot-flow-test"), connections, tenants)
            found.append((tenants, polls.minute()))
    return found


def test_idle_connection_costs_little_more_than_one_write_and_two_reads(
    idle_minutes: list[tuple[int, Minute]],
) -> None:
    for tenants, minute in idle_minutes[1:]:
        assert minute.units[Unit.WRITE] / minute.connections < 1.4
        # A tenant's generation is read every five seconds, for half a unit.
        assert (minute.units[Unit.READ] - 6.5 * tenants) / minute.connections < 2.5
        assert minute.calls["dynamodb.PutItem"] == minute.connections + 1


def test_readme_shows_the_tables_of_this_code(used: Used, idle_minutes: list[tuple[int, Minute]]) -> None:
    readme = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")
    shown = [line for line in readme.splitlines() if line.startswith("|")]
    for line in tables.of_reports(used) + tables.of_idle_connections(idle_minutes):
        assert any(_equal(line, each) for each in shown), line


def _equal(line: str, shown: str) -> bool:
    """Compare two rows; amounts may differ by two cents, because the sizes of log lines vary."""
    for one, other in zip(line.split("|"), shown.split("|"), strict=False):
        try:
            same = math.isclose(float(one.strip(" *")), float(other.strip(" *")), abs_tol=0.021)
        except ValueError:
            same = one == other
        if not same:
            return False
    return line.count("|") == shown.count("|")
