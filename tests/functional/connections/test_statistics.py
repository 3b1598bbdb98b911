"""Statistics of the API, read from the tables that the services write."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from chalicelib.adapters.aws.statistics import DynamoDbStatistics
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.entry.services import Services
from chalicelib.errors import DownlinkDelayed, Unavailable
from chalicelib.monitoring import Monitoring
from chalicelib.ports.consuming import ReceivedDownlink, Verdict
from chalicelib.ports.queues import QueueRecord
from tests.functional.doubles import Api, TestIssuer
from tests.rules.scheduler import Inline

NOW = 1_763_888_430.0
"""2025-11-23T09:00:30Z."""
CONNECTION: dict[str, Any] = {
    "connectorId": "actility-amqp-0.9.1-iot",
    "name": "Statistics",
    "configuration": {
        "uplinkTopicPattern": "up.{DevEUI}",
        "downlinkTopicPattern": "down.{DevEUI}",
        "hostName": "broker.example",
        "protocol": "TCP",
    },
}
NONE = {"delivered": 0, "failed": 0, "lost": 0, "waiting": 0}


class _Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(services: Services) -> _Clock:
    # Set the clock first, because each service receives it when it is built.
    services.clock = _Clock()
    return services.clock


@pytest.fixture
def connection_id(api: Api, clock: _Clock) -> str:
    assert clock.now == NOW
    answer = api.call("POST", "/connections", CONNECTION)
    return str(answer.json["id"])


def statistics(api: Api, connection_id: str, period: str = "") -> Any:
    answer = api.call("GET", f"/connections/{connection_id}/statistics" + (f"?period={period}" if period else ""))
    assert answer.status == 200, answer.body
    return answer.json


def test_idle_connection_has_zeros_for_every_minute(api: Api, connection_id: str) -> None:
    found = statistics(api, connection_id)
    assert found["activeDevices"] == 0
    assert found["uplinks"] == found["downlinks"] == NONE
    assert len(found["series"]) == 60
    assert found["series"][0] == {"time": "2025-11-23T08:01:00.000Z", "uplinks": 0, "downlinks": 0, "failed": 0}
    assert found["series"][-1]["time"] == "2025-11-23T09:00:00.000Z"


def test_counters_are_summed_over_last_hour_only(
    api: Api, services: Services, clock: _Clock, connection_id: str
) -> None:
    for minutes_ago, counts in [
        (60, {"uplinksDelivered": 1000}),
        (59, {"uplinksDelivered": 5, "uplinksLost": 1}),
        (2, {"uplinksFailed": 2, "downlinksDelivered": 3}),
        (0, {"uplinksDelivered": 7, "downlinksFailed": 4}),
    ]:
        clock.now = NOW - minutes_ago * 60
        services.statistics.add("demo", connection_id, counts)
    clock.now = NOW
    found = statistics(api, connection_id, "1h")
    assert found["uplinks"] == NONE | {"delivered": 12, "failed": 2, "lost": 1}
    assert found["downlinks"] == NONE | {"delivered": 3, "failed": 4}
    steps = {step["time"][11:16]: [step["uplinks"], step["downlinks"], step["failed"]] for step in found["series"]}
    assert {time: step for time, step in steps.items() if any(step)} == {
        "08:01": [5, 0, 0],
        "08:58": [0, 3, 2],
        "09:00": [7, 0, 4],
    }


def test_day_has_quarter_hour_steps(api: Api, services: Services, clock: _Clock, connection_id: str) -> None:
    for seconds_ago in (86400, 86400 - 15 * 60, 1800, 1799, 60, 0):
        clock.now = NOW - seconds_ago
        services.statistics.add("demo", connection_id, {"uplinksDelivered": 1})
    clock.now = NOW
    found = statistics(api, connection_id, "1d")
    assert len(found["series"]) == 96
    assert found["series"][0]["time"] == "2025-11-22T09:15:00.000Z"
    assert found["series"][-1] == {"time": "2025-11-23T09:00:00.000Z", "uplinks": 1, "downlinks": 0, "failed": 0}
    # The uplink of exactly a day ago belongs to a quarter before the period.
    assert found["uplinks"]["delivered"] == 5 == sum(step["uplinks"] for step in found["series"])
    assert [step["uplinks"] for step in found["series"]][-3:] == [2, 1, 1]


def test_visible_and_in_flight_reports_count_as_waiting(api: Api, services: Services, connection_id: str) -> None:
    for device in ("A", "B", "C"):
        services.uplink_queues.send(connection_id, body="{}", group=device, message_id=device, deduplication_id=device)
    assert len(services.uplink_queues.receive(connection_id, 1)) == 1
    assert statistics(api, connection_id)["uplinks"]["waiting"] == 3


def test_missing_queue_has_no_waiting_reports(api: Api, services: Services, connection_id: str) -> None:
    services.uplink_queues.delete(connection_id)
    assert statistics(api, connection_id)["uplinks"]["waiting"] == 0


@pytest.mark.parametrize("period", ["2h", "1H", "", "60"])
def test_unknown_period_is_refused(api: Api, connection_id: str, period: str) -> None:
    answer = api.call("GET", f"/connections/{connection_id}/statistics?period={period}")
    assert (answer.status, answer.pointers) == (422, {"/period"})


def test_connection_of_another_tenant_is_not_found(api: Api, issuer: TestIssuer, connection_id: str) -> None:
    answer = api.as_token(issuer.token("other")).call("GET", f"/connections/{connection_id}/statistics")
    assert answer.status == 404


# Active devices


def drained(statistics: DynamoDbStatistics, connection_id: str, *devices: str) -> None:
    statistics.add("demo", connection_id, {"uplinksDelivered": len(devices)}, devices)


def another_process(services: Services) -> DynamoDbStatistics:
    return DynamoDbStatistics(services.dynamodb, services.settings.table("statistics"), services.clock)


def active(api: Api, connection_id: str, period: str = "1h") -> int:
    return int(statistics(api, connection_id, period)["activeDevices"])


def test_active_device_is_counted_once(api: Api, services: Services, connection_id: str) -> None:
    drained(services.statistics, connection_id, "A", "B")
    drained(services.statistics, connection_id, "B", "C")
    assert active(api, connection_id) == 3


def test_active_devices_of_last_hour_are_exact_to_the_minute(
    api: Api, services: Services, clock: _Clock, connection_id: str
) -> None:
    for minutes_ago, device in [(60, "gone"), (59, "first"), (40, "often"), (31, "before"), (1, "often"), (0, "now")]:
        clock.now = NOW - minutes_ago * 60
        drained(services.statistics, connection_id, device)
    clock.now = NOW
    assert active(api, connection_id) == 4
    assert active(api, connection_id, "1d") == 5
    clock.now = NOW + 45 * 60
    assert active(api, connection_id) == 2


def test_concurrent_processes_keep_active_devices_of_each_other(
    api: Api, services: Services, connection_id: str
) -> None:
    processes = [another_process(services) for _ in range(3)]
    for round_ in range(5):
        for number, process in enumerate(processes):
            drained(process, connection_id, f"{number}-{round_}")
    assert active(api, connection_id) == 15


def test_busy_process_writes_sketch_once_a_minute(
    api: Api, services: Services, clock: _Clock, connection_id: str
) -> None:
    # Each write costs seven write units, more than the process's credit.
    drained(services.statistics, connection_id, *[f"device {number}" for number in range(1100)])
    for number in range(1000):
        drained(services.statistics, connection_id, f"more {number}")
    seen = active(api, connection_id)
    assert 1200 < seen < 2100
    clock.now += 60
    drained(services.statistics, connection_id, "later")
    assert active(api, connection_id) == 2101


def test_active_devices_are_kept_while_table_is_missing(
    api: Api, services: Services, clock: _Clock, connection_id: str
) -> None:
    process = DynamoDbStatistics(services.dynamodb, "missing", services.clock)
    with pytest.raises(Unavailable):
        drained(process, connection_id, "A")
    for part in (process, process._sketches):
        part._table = services.settings.table("statistics")
    clock.now += 61
    drained(process, connection_id, "B")
    assert active(api, connection_id) == 2


def test_last_minute_of_hour_is_written_in_next_hour(
    api: Api, services: Services, clock: _Clock, connection_id: str
) -> None:
    clock.now = NOW - 45
    process = another_process(services)
    process._sketches.note("demo", connection_id, ["A"])
    clock.now = NOW
    drained(process, connection_id, "B")
    assert active(api, connection_id) == 2


# Waiting downlinks


def test_downlinks_count_as_waiting_until_cleared(api: Api, services: Services, connection_id: str) -> None:
    names = [f"name {number}" for number in range(130)]
    services.statistics.mark_waiting("demo", connection_id, names)
    assert statistics(api, connection_id)["downlinks"]["waiting"] == 130
    for name in names[:30]:
        services.statistics.clear_waiting("demo", connection_id, name)
    assert statistics(api, connection_id)["downlinks"]["waiting"] == 100


def test_repeated_downlink_is_counted_once_and_not_after_clearing(
    api: Api, services: Services, connection_id: str
) -> None:
    services.statistics.mark_waiting("demo", connection_id, ["a", "b", "a"])
    services.statistics.mark_waiting("demo", connection_id, ["b", "c"])
    assert statistics(api, connection_id)["downlinks"]["waiting"] == 3
    services.statistics.clear_waiting("demo", connection_id, "a")
    services.statistics.clear_waiting("demo", connection_id, "a")
    services.statistics.mark_waiting("demo", connection_id, ["a", "d"])
    assert statistics(api, connection_id)["downlinks"]["waiting"] == 3


def test_downlink_cleared_before_counting_does_not_wait(api: Api, services: Services, connection_id: str) -> None:
    services.statistics.clear_waiting("demo", connection_id, "quick")
    services.statistics.mark_waiting("demo", connection_id, ["quick"])
    assert statistics(api, connection_id)["downlinks"] == NONE


def test_name_denotes_new_downlink_after_five_minutes(
    api: Api, services: Services, clock: _Clock, connection_id: str
) -> None:
    services.statistics.clear_waiting("demo", connection_id, "again")
    clock.now += 301
    services.statistics.mark_waiting("demo", connection_id, ["again"])
    assert statistics(api, connection_id)["downlinks"]["waiting"] == 1
    clock.now += 14 * 86400
    assert statistics(api, connection_id)["downlinks"]["waiting"] == 0


class _NetworkServer:
    def __init__(self) -> None:
        self.fault: Exception | None = None

    def send_downlink(self, parameters: Sequence[tuple[str, str]], as_key: str) -> None:
        assert parameters
        assert as_key
        if self.fault:
            raise self.fault


def test_downlink_waits_until_network_server_accepts_it(api: Api, services: Services, clock: _Clock) -> None:
    own = {"downlinkAsId": "AS", "downlinkAsKey": "0" * 32, "downlinkPort": 1}
    made = api.call("POST", "/connections", CONNECTION | {"configuration": CONNECTION["configuration"] | own})
    connection = services.connection_store.get("demo", made.json["id"])
    network_server = _NetworkServer()
    services.network_server = network_server  # type: ignore[assignment]
    intake = DownlinkIntake(
        services.downlink_queue, services.secret_store, services.ingress, services.monitoring, Inline(), clock
    )
    body = b'{"DevEUI_downlink": {"DevEUI": "000000000F1D8693", "FPort": "1", "payload_hex": "00"}}'
    message = ReceivedDownlink(connection.id, 1, "down.x", body, "m1", None, redelivered=False)
    assert intake.accept(connection, [message, message]) == [Verdict.ACK, Verdict.ACK]
    assert statistics(api, connection.id)["downlinks"] == NONE | {"waiting": 1}

    (sent,) = services.sqs.receive_message(QueueUrl=services.downlink_queue.url)["Messages"]
    record = QueueRecord(sent["ReceiptHandle"], sent["MessageId"], sent["Body"], "demo.000000000F1D8693")
    network_server.fault = DownlinkDelayed("busy")
    with pytest.raises(Unavailable):
        services.downlink_sender.handle([record], time.monotonic() + 60)
    assert statistics(api, connection.id)["downlinks"] == NONE | {"waiting": 1}
    network_server.fault = None
    services.downlink_sender.handle([record], time.monotonic() + 60)
    assert statistics(api, connection.id)["downlinks"] == NONE | {"delivered": 1}
    # The broker redelivers the message of a killed consumer.
    assert intake.accept(connection, [message]) == [Verdict.ACK]
    assert statistics(api, connection.id)["downlinks"] == NONE | {"delivered": 1}


@pytest.mark.parametrize("fault", [Unavailable("down"), ValueError("a fault of ours")])
def test_failing_statistics_do_not_raise(services: Services, connection_id: str, fault: Exception) -> None:
    class Broken:
        def add(self, *_: object) -> None:
            raise fault

        mark_waiting = clear_waiting = add

    monitoring = Monitoring(services.event_log, Broken(), services.clock)
    connection = services.connection_store.get("demo", connection_id)
    monitoring.count(connection, {"uplinksDelivered": 1}, {"A"})
    monitoring.downlinks_waiting(connection, ["a"])
    monitoring.downlink_done("demo", connection_id, "a")
