"""Events, failed messages, statistics and application servers that another release stored."""

import time
from typing import Any

import pytest

from chalicelib.adapters.aws.devices.minutes import MOST
from chalicelib.adapters.aws.dynamodb import from_item, to_item
from chalicelib.domain.event import Event, Level
from chalicelib.entry.services import Services
from chalicelib.kernel.ids import last_id, new_id
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import EventType
from tests.functional.connection_cases import failed

NOW = time.time()


def change(services: Services, table: str, position: int, **attributes: Any) -> dict[str, Any]:
    """Change the item at a position of a table, in the order of its keys; None removes an attribute."""
    name = services.settings.table(table)
    items = [from_item(item) for item in services.dynamodb.scan(TableName=name)["Items"]]
    items.sort(key=lambda item: str(item.get("id", item.get("asId", item.get("sort")))))
    services.dynamodb.put_item(TableName=name, Item=to_item(items[position] | attributes))
    return items[position]


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(line) for line in caplog.records if line.getMessage() == "unreadable record"]


@pytest.mark.parametrize(
    "attributes", [{"type": "UNHEARD_OF"}, {"level": None}, {"details": "none"}], ids=["type", "level", "details"]
)
def test_unreadable_event_is_skipped(
    services: Services, caplog: pytest.LogCaptureFixture, attributes: dict[str, Any]
) -> None:
    events = [
        Event(
            id=new_id(NOW + number),
            time=iso_time(NOW + number),
            level=Level.INFO,
            type=EventType.CREATED,
            connection_id="01A",
            message="m",
        )
        for number in range(3)
    ]
    for event in events:
        services.event_log.add("demo", event)
    change(services, "events", 0, unknown=1)
    change(services, "events", 1, **attributes)
    page, cursor = services.event_log.page("demo", None, limit=10, cursor=None)
    assert (page, cursor) == ([events[2], events[0]], None)
    assert [(line["tenant"], line["id"]) for line in logged(caplog)] == [("demo", events[1].id)]


@pytest.mark.parametrize(
    "attributes",
    [{"reason": "UNHEARD_OF"}, {"bodyText": None}, {"bodyZlib": b"no zlib"}, {"direction": "sideways"}],
    ids=["reason", "no body", "body", "direction"],
)
def test_unreadable_failed_message_is_skipped_and_purged(
    services: Services, caplog: pytest.LogCaptureFixture, attributes: dict[str, Any]
) -> None:
    # Given
    store, messages = services.failed_messages, [failed(number) for number in range(3)]
    store.add("demo", "01A", messages)
    change(services, "failed-messages", 0, unknown=1)
    change(services, "failed-messages", 1, **attributes)

    # When
    page, cursor = store.page("demo", "01A", 10, None)
    some = store.some("demo", "01A", [message.id for message in messages])
    oldest = list(store.oldest_first("demo", "01A", last_id(NOW)))

    # Then
    expected = [messages[0], messages[2]]
    assert (page[::-1], cursor) == (expected, None)
    assert sorted(some, key=lambda message: message.id) == expected
    assert oldest == expected
    assert {(line["connection"], line["id"]) for line in logged(caplog)} == {("demo#01A", messages[1].id)}
    store.purge("demo", "01A")
    assert services.dynamodb.scan(TableName=services.settings.table("failed-messages"))["Count"] == 0


def test_unreadable_statistics_are_left_out(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    # Given
    devices = {f"{number:016X}" for number in range(MOST + 1)}
    services.statistics.add("demo", "01A", {"uplinksDelivered": 1}, devices)
    services.statistics.add("demo", "01A", {"uplinksDelivered": 1}, {"70B3D5E75E000001"})
    table = services.settings.table("statistics")
    for item in services.dynamodb.scan(TableName=table)["Items"]:
        late = {"labels": ["a"], "uplinksLate": "many", "devices": "three"}
        changed = {"sketch": "text"} if "sketch" in item else late
        services.dynamodb.put_item(TableName=table, Item=item | to_item(changed))
    minute = int(time.time() // 60)

    # When
    counters = services.statistics.counters("demo", "01A", minute - 5, minute + 5)
    active = services.statistics.active_devices("demo", "01A", minute - 5, minute + 5)

    # Then
    assert [*counters.values()] == [{"uplinksDelivered": 2}]
    assert active == 0
    assert [line["connection"] for line in logged(caplog)] == ["demo#01A", "demo#01A#devices"]


def test_unreadable_application_server_is_skipped_and_deleted(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    servers = services.application_server_store
    servers.put("demo", "as-1", "one")
    servers.put("demo", "as-2", "two")
    change(services, "application-servers", 0, secretId=None)

    # When
    listed = servers.of_tenant("demo")

    # Then
    assert [server.as_id for server in listed] == ["as-2"]
    assert servers.keys("as-1") == []
    assert servers.keys("as-2") == [("demo", "two")]
    assert {(line["asId"], line["tenant"]) for line in logged(caplog)} == {("as-1", "demo")}
    servers.delete("demo", "as-1")
    assert services.dynamodb.scan(TableName=services.settings.table("application-servers"))["Count"] == 1
