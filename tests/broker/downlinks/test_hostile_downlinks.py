"""Downlinks that no ordinary client publishes: each costs itself only."""

import json
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from chalicelib.vocabulary import EventType
from infra.local.waiting import wait_until
from tests.broker.downlinks.test_poll_outages import QUEUE, Polls
from tests.broker.outage import Outage
from tests.broker.support import Site

DEVICE = f"{1:016X}"
VALID = {"DevEUI": DEVICE, "FPort": 1, "payload_hex": "00"}

HOSTILE: dict[str, tuple[bytes, str, dict[str, Any]]] = {
    # routing key after the connection's own prefix, body, properties
    "routing-key-not-utf8": (b"\xff\xfe", json.dumps({"DevEUI_downlink": {"FPort": 1, "payload_hex": "00"}}), {}),
    "surrogate-in-validity-time": (
        DEVICE.encode(),
        json.dumps({"DevEUI_downlink": VALID | {"ValidityTime": "2026-11-27\ud80012:00:00+00:00"}}),
        {},
    ),
    "surrogate-in-every-field": (
        DEVICE.encode(),
        json.dumps({"DevEUI_downlink": VALID | {"CorrelationID": "\ud800", "AS_ID": "\udfff"}}),
        {},
    ),
    "noncharacter-in-validity-time": (
        DEVICE.encode(),
        json.dumps({"DevEUI_downlink": VALID | {"ValidityTime": "2026-11-27\uffff12:00:00+00:00"}}, ensure_ascii=False),
        {},
    ),
    "deep": (DEVICE.encode(), "[" * 5000, {}),
    "not-json": (DEVICE.encode(), "\x00\x01", {}),
    "empty": (DEVICE.encode(), "", {}),
    "huge-number": (DEVICE.encode(), json.dumps({"DevEUI_downlink": VALID | {"FCntDn": 10**400}}), {}),
    "long-message-id": (DEVICE.encode(), "{}", {"message_id": "é" * 127}),
}


@pytest.fixture
def polls(site: Site) -> Iterator[Polls]:
    outage = Outage(site)
    yield Polls(outage)
    outage.close()
    site.api("DELETE", f"queues/%2F/{QUEUE}")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_downlink_is_rejected_and_the_next_one_is_queued(polls: Polls, name: str) -> None:
    # Given
    polls.start()
    key, body, properties = HOSTILE[name]

    def publish() -> None:
        with polls.site.channel() as channel:
            channel.confirm_delivery()
            channel.basic_publish(
                "amq.topic",
                f"{polls.downlink_key}.".encode() + key,  # type: ignore[arg-type]  # AMQP keys are bytes
                body.encode("utf-8", "surrogatepass"),
                pika.BasicProperties(delivery_mode=2, **properties),
                mandatory=True,
            )
        polls.publish(0, 1)

    # When
    polls.during(polls.is_consumed, publish, lambda: polls.waits_for(1), polls.hand_over)

    # Then
    assert polls.payloads() == ["0000"]
    rejections = {EventType.DOWNLINK_INVALID, EventType.DOWNLINK_MALFORMED, EventType.DOWNLINK_NOT_HANDLED}
    assert [event for event in polls.outage.event_types() if event in rejections]
    with polls.site.channel() as channel:
        assert wait_until(lambda: channel.queue_declare(QUEUE, passive=True).method.message_count == 0, 5)


class RawHeaders(pika.BasicProperties):
    """Properties with a table of headers as given: pika itself cannot encode what others publish."""

    def __init__(self, table: bytes) -> None:
        super().__init__()
        self._table = table

    def encode(self) -> list[bytes]:
        return [b"\x30\x00", len(self._table).to_bytes(4, "big") + self._table, b"\x02"]


def nested(levels: int) -> bytes:
    table = b""
    for _ in range(levels):
        table = b"\x01nF" + len(table).to_bytes(4, "big") + table
    return table


HEADERS = {
    "timestamp-in-milliseconds": b"\x01tT" + (1795708403000).to_bytes(8, "big"),
    "deep": nested(2000),
}


@pytest.mark.parametrize("name", HEADERS)
def test_downlink_with_headers_that_python_cannot_represent_is_queued(polls: Polls, name: str) -> None:
    # Given
    polls.start()

    def publish() -> None:
        body = json.dumps({"DevEUI_downlink": VALID | {"payload_hex": "ff"}}).encode()
        with polls.site.channel() as channel:
            channel.confirm_delivery()
            key = f"{polls.downlink_key}.{DEVICE}"
            channel.basic_publish("amq.topic", key, body, RawHeaders(HEADERS[name]), mandatory=True)
        polls.publish(1, 2)

    # When
    polls.during(polls.is_consumed, publish, lambda: polls.waits_for(2), polls.hand_over)

    # Then
    assert sorted(polls.payloads()) == ["0001", "ff"]
    assert polls.outage.visible_state() == ("OPENED", None, ["OPENED"])
