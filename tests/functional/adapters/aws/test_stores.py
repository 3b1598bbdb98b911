"""The stores of failed messages, events and statistics against moto: paging, limits, conditions."""

from typing import Any

import pytest

from chalicelib.adapters.aws.dynamodb import from_item
from chalicelib.domain.event import Event, Level
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.entry.services import Services
from chalicelib.errors import InvalidRequest
from chalicelib.kernel.ids import first_id, id_of, is_id, last_id, new_id
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import EventType

NOW = 1_764_000_000.25


def failed(number: int, body: str = "{}", **changes: Any) -> FailedMessage:
    base = FailedMessage(
        id=new_id(NOW + number),
        time=iso_time(NOW + number),
        direction=Direction.UPLINK,
        reason="UNROUTABLE",
        detail="no queue is bound",
        body=body,
        message_id=f"m{number}",
    )
    return base.model_copy(update=changes)


@pytest.mark.parametrize("body", ["{}", "é☃" * 400, '{"a": "' + "ü" * 131_000 + '"}'])
def test_failed_message_keeps_its_body_message_id_and_flow(services: Services, body: str) -> None:
    message = failed(0, body, dev_eui="70B3D5E75E000001", driver="actility:auto:1", validity="72h")
    services.failed_messages.add("demo", "01A", [message, message])
    assert services.failed_messages.page("demo", "01A", 10, None) == ([message], None)


def test_failed_messages_are_paged_newest_first_and_refuse_foreign_cursors(services: Services) -> None:
    store = services.failed_messages
    messages = [failed(n, direction=Direction.DOWNLINK if n % 3 == 0 else Direction.UPLINK) for n in range(60)]
    store.add("demo", "01A", messages)
    seen: list[FailedMessage] = []
    cursor = None
    while True:
        part, cursor = store.page("demo", "01A", 25, cursor)
        seen += part
        if cursor is None:
            break
        for tenant, other in (("demo", "01B"), ("other", "01A")):
            with pytest.raises(InvalidRequest) as caught:
                store.page(tenant, other, 25, cursor)
            assert [violation.pointer for violation in caught.value.violations] == ["/cursor"]
    assert seen == messages[::-1]
    assert [m.id for m in store.page("demo", "01A", 3, None, Direction.DOWNLINK)[0]] == [
        messages[n].id for n in (57, 54, 51)
    ]
    store.purge("demo", "01A")
    assert store.page("demo", "01A", 25, None) == ([], None)


def test_page_of_large_bodies_fits_into_a_lambda_response(services: Services) -> None:
    services.failed_messages.add("demo", "01A", [failed(n, "x" * 250_000) for n in range(12)])
    first, cursor = services.failed_messages.page("demo", "01A", 100, None)
    assert sum(len(message.body) for message in first) <= 2_000_000
    rest, end = services.failed_messages.page("demo", "01A", 100, cursor)
    assert len(first) + len(rest) == 12
    assert end is None


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "é", "AAAA" * 10, "a" * 5000])
def test_forged_cursor_is_refused(services: Services, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        services.failed_messages.page("demo", "01A", 5, cursor)
    with pytest.raises(InvalidRequest):
        services.event_log.page("demo", None, limit=5, cursor=cursor)


def test_events_are_found_by_connection_time_and_level(services: Services) -> None:
    log = services.event_log
    events = [
        Event(
            id=new_id(NOW + n),
            time=iso_time(NOW + n),
            level=Level.ERROR if n % 2 else Level.INFO,
            type=EventType.OPENED,
            connection_id="01A" if n < 6 else None,
            message=f"event {n}",
            details={"n": n, "f": 0.5, "none": None},
        )
        for n in range(8)
    ]
    for event in events:
        log.add("demo", event)
    log.add("other", events[0])
    assert log.page("demo", None, limit=50, cursor=None) == (events[::-1], None)
    assert log.page("demo", "01A", limit=50, cursor=None)[0] == events[5::-1]
    assert log.page("demo", "01A", since=NOW + 2, until=NOW + 3, limit=5, cursor=None)[0] == events[3:1:-1]
    assert log.page("demo", "01A", level=Level.ERROR, limit=5, cursor=None)[0] == events[5::-2]
    assert log.page("demo", None, since=NOW + 9, until=NOW, limit=5, cursor=None) == ([], None)
    for connection_id in (None, "01A"):
        first, cursor = log.page("demo", connection_id, limit=4, cursor=None)
        rest, end = log.page("demo", connection_id, limit=4, cursor=cursor)
        assert first + rest == (events if connection_id is None else events[:6])[::-1]
        assert end is None


def test_event_of_many_occurrences_keeps_its_first_example_and_counts_all(services: Services) -> None:
    log = services.event_log
    for second, number in ((5, 3), (50, 4)):
        event = Event(
            id=id_of(NOW, "01A", EventType.DOWNLINK_INVALID),
            time=iso_time(NOW + second),
            level=Level.WARNING,
            type=EventType.DOWNLINK_INVALID,
            connection_id="01A",
            message=f"example {second}",
            details={"devEUI": str(second)},
        )
        log.add_up("demo", event, number)
    for connection_id in (None, "01A"):
        (found,), _ = log.page("demo", connection_id, limit=5, cursor=None)
        assert (found.message, found.time) == ("example 5", iso_time(NOW + 5))
        assert found.details == {"devEUI": "5", "count": 7}
        assert log.page("demo", connection_id, since=NOW + 5, limit=5, cursor=None)[0] == [found]
        assert log.page("demo", connection_id, since=NOW + 6, limit=5, cursor=None)[0] == []


def test_event_of_many_occurrences_is_listed_at_the_time_of_the_first_one(services: Services) -> None:
    log = services.event_log
    ids = {
        EventType.CREATED: new_id(NOW + 1),
        EventType.DOWNLINK_INVALID: id_of(NOW // 60 * 60, "01A", EventType.DOWNLINK_INVALID),
        EventType.OPENED: new_id(NOW + 3),
    }
    for second, (kind, event_id) in enumerate(ids.items(), start=1):
        event = Event(
            id=event_id,
            time=iso_time(NOW + second),
            level=Level.INFO,
            type=kind,
            connection_id="01A",
            message=kind.value,
        )
        add = log.add_up if kind is EventType.DOWNLINK_INVALID else lambda tenant, event, _: log.add(tenant, event)
        add("demo", event, 1)
    for connection_id in (None, "01A"):
        found, _ = log.page("demo", connection_id, limit=5, cursor=None)
        assert [event.type for event in found] == list(ids)[::-1]


def test_counters_add_up_per_minute(services: Services) -> None:
    services.statistics.add("demo", "01A", {"uplinksDelivered": 2, "uplinksFailed": 0})
    services.statistics.add("demo", "01A", {"uplinksDelivered": 3})
    services.statistics.add("demo", "01A", {})
    items = services.dynamodb.scan(TableName=services.settings.table("statistics"))["Items"]
    assert sum(from_item(item)["uplinksDelivered"] for item in items) == 5
    assert all(from_item(item)["expires"] - from_item(item)["sort"] * 60 == 60 * 86400 for item in items)


def test_ids_sort_by_time() -> None:
    assert first_id(NOW) <= new_id(NOW) <= last_id(NOW) < first_id(NOW + 1)
    assert is_id(first_id(-5))
    assert is_id(last_id(1e20))
