"""Statistics as the API gives them, on the tables that the services write."""

from typing import Any

import pytest

from chalicelib.bootstrap import Services

from .doubles import Api, TestIssuer

NOW = 1_763_888_430.0
"""2025-11-23T09:00:30Z."""
CONNECTION = {
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
    # Before anything is built: each part is handed the clock when it is made.
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


def test_a_connection_that_did_nothing_has_zeros_for_every_minute(api: Api, connection_id: str) -> None:
    found = statistics(api, connection_id)
    assert found["activeDevices"] == 0
    assert found["uplinks"] == found["downlinks"] == NONE
    assert len(found["series"]) == 60
    assert found["series"][0] == {"time": "2025-11-23T08:01:00.000Z", "uplinks": 0, "downlinks": 0, "failed": 0}
    assert found["series"][-1]["time"] == "2025-11-23T09:00:00.000Z"


def test_counters_are_summed_over_the_hour_and_no_further(
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


def test_a_day_comes_in_quarters_of_an_hour(api: Api, services: Services, clock: _Clock, connection_id: str) -> None:
    for seconds_ago in (86400, 86400 - 15 * 60, 1800, 1799, 60, 0):
        clock.now = NOW - seconds_ago
        services.statistics.add("demo", connection_id, {"uplinksDelivered": 1})
    clock.now = NOW
    found = statistics(api, connection_id, "1d")
    assert len(found["series"]) == 96
    assert found["series"][0]["time"] == "2025-11-22T09:15:00.000Z"
    assert found["series"][-1] == {"time": "2025-11-23T09:00:00.000Z", "uplinks": 1, "downlinks": 0, "failed": 0}
    # That of exactly a day ago is in a quarter that is over.
    assert found["uplinks"]["delivered"] == 5 == sum(step["uplinks"] for step in found["series"])
    assert [step["uplinks"] for step in found["series"]][-3:] == [2, 1, 1]


def test_what_is_in_the_queue_waits_held_or_not(api: Api, services: Services, connection_id: str) -> None:
    for device in ("A", "B", "C"):
        services.uplink_queues.send(connection_id, body="{}", group=device, message_id=device, deduplication_id=device)
    assert len(services.uplink_queues.receive(connection_id, 1)) == 1
    assert statistics(api, connection_id)["uplinks"]["waiting"] == 3


def test_a_queue_that_is_gone_holds_nothing(api: Api, services: Services, connection_id: str) -> None:
    services.uplink_queues.delete(connection_id)
    assert statistics(api, connection_id)["uplinks"]["waiting"] == 0


@pytest.mark.parametrize("period", ["2h", "1H", "", "60"])
def test_another_period_is_refused(api: Api, connection_id: str, period: str) -> None:
    answer = api.call("GET", f"/connections/{connection_id}/statistics?period={period}")
    assert (answer.status, answer.pointers) == (422, {"/period"})


def test_another_tenants_connection_is_not_found(api: Api, issuer: TestIssuer, connection_id: str) -> None:
    answer = api.as_token(issuer.token("other")).call("GET", f"/connections/{connection_id}/statistics")
    assert answer.status == 404
