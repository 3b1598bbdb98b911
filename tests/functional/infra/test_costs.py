"""AWS calls on the path of a report, which decide its price, and the table of costs in infra/README.md."""

import math
from collections.abc import Iterator, Sequence

import pytest

from chalicelib.config import Settings
from chalicelib.entry import services as wiring
from infra.costs import idle, message_log, tables
from infra.costs.message_log import LogUsage
from infra.costs.notifications import NotificationPath, NotificationUsage
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
        # A tenant's generation is read every five seconds; a read costs half a unit.
        assert (minute.units[Unit.READ] - 6.5 * tenants) / minute.connections < 2.5
        assert minute.calls["dynamodb.PutItem"] == minute.connections + 1


@pytest.fixture(scope="module")
def logs() -> list[LogUsage]:
    found = []
    for reports in (1, 10):
        with pytest.MonkeyPatch.context() as patch, emulated_aws():
            emulated(patch)
            found.append(message_log.usage(Settings(resource_prefix="iot-flow-test"), reports))
    return found


def test_message_log_adds_hardly_a_write_and_few_bytes(logs: list[LogUsage], used: Used) -> None:
    for log in logs:
        # The log shares the item of the counters, and seldom makes it larger than a write unit.
        assert log.units <= 1.02 * log.units_without
        assert 0 < (log.bytes - log.bytes_without) / (message_log.DRAINS * log.reports) < 80
    shares = [line for line in tables.of_message_log(used, logs) if "share" in line]
    percents = [float(cell.strip(" *")) for cell in shares[0].split("|")[2:-1]]
    assert max(percents) <= message_log.GOAL


@pytest.fixture(scope="module")
def notices() -> tuple[NotificationUsage, NotificationUsage]:
    with pytest.MonkeyPatch.context() as patch, emulated_aws():
        emulated(patch)
        path = NotificationPath(Settings(resource_prefix="iot-flow-test"))
        return path.minute(), path.sent()


def test_notification_costs_three_writes_a_read_and_a_secret(
    notices: tuple[NotificationUsage, NotificationUsage],
) -> None:
    minute, sent = notices
    # The settings of all tenants, and the notifications that are due.
    assert minute.calls == {"dynamodb.Query": 2}
    assert minute.units == {Unit.READ: 1}
    assert sent.calls == {
        "dynamodb.PutItem": 1,
        "dynamodb.GetItem": 1,
        "dynamodb.UpdateItem": 2,
        "secretsmanager.GetSecretValue": 1,
    }
    # The first two writes have one unit more for the index.
    assert sent.units == {Unit.READ: 1, Unit.WRITE: 5, Unit.SECRET_CALL: 1}


def emulated(patch: pytest.MonkeyPatch) -> None:
    patch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "test")
    patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


def test_readme_shows_the_tables_of_this_code(
    used: Used,
    idle_minutes: list[tuple[int, Minute]],
    logs: list[LogUsage],
    notices: tuple[NotificationUsage, NotificationUsage],
) -> None:
    readme = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")
    shown = [line for line in readme.splitlines() if line.startswith("|")]
    lines = tables.of_reports(used) + tables.of_idle_connections(idle_minutes)
    for line in lines + tables.of_message_log(used, logs) + tables.of_notifications(*notices):
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
