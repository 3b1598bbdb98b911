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
    polls.during(polls.is_consumed, publish, lambda: polls.waits_for(1))

    # Then
    assert polls.payloads() == ["0000"]
    rejections = {EventType.DOWNLINK_INVALID, EventType.DOWNLINK_MALFORMED, EventType.DOWNLINK_NOT_HANDLED}
    assert [event for event in polls.outage.event_types() if event in rejections]
    with polls.site.channel() as channel:
        assert wait_until(lambda: channel.queue_declare(QUEUE, passive=True).method.message_count == 0, 5)
