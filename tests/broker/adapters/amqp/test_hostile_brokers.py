"""Brokers that break the protocol: the fault is their connection's, and every other connection goes on."""

from typing import Any

import pytest
from pika import spec

from chalicelib.errors import BrokerFault
from chalicelib.vocabulary import EventType
from infra.local.waiting import wait_until
from tests.broker.scripted_server import Peer, scripted_server
from tests.broker.support import Run, Site, descriptors, refusal, unique


def at(site: Site, port: int, **changes: Any) -> Any:
    """A connection to the scripted server."""
    return site.connection(host_name=f"127.0.0.1:{port}", **changes)


@pytest.mark.parametrize("capabilities", [5, "text", [1], None])
def test_capabilities_that_are_no_table_end_in_a_broker_fault(site: Site, capabilities: object) -> None:
    before = descriptors()
    with scripted_server(capabilities=capabilities) as port:
        fault = refusal(at(site, port), site.secrets)
    assert isinstance(fault, BrokerFault)
    assert wait_until(lambda: descriptors() <= before, 5)


def test_broker_without_confirms_is_reported_as_such(site: Site) -> None:
    with scripted_server(capabilities={}) as port:
        fault = refusal(at(site, port), site.secrets)
    assert fault.type is EventType.CONFIRMS_MISSING
    assert "publisher confirms" in str(fault)


def deliveries(header: bytes) -> Any:
    """A script that delivers one message with this raw content header as soon as a consumer starts."""

    def answer(peer: Peer, received: Any) -> bool:
        method: Any = getattr(received, "method", None)
        if getattr(method, "NAME", "") != "Basic.Consume":
            return False
        channel = received.channel_number
        peer.send(channel, spec.Basic.ConsumeOk(method.consumer_tag))
        peer.send(channel, spec.Basic.Deliver(method.consumer_tag, 1, False, "amq.topic", "down.x"))
        frame_ = b"\x02" + channel.to_bytes(2, "big") + len(header).to_bytes(4, "big") + header + b"\xce"
        peer.send_bytes(frame_)
        return True

    return answer


HEADERS_OF_ONE_BYTE = b"\x00\x3c\x00\x00" + (1).to_bytes(8, "big") + b"\x20\x00"
"""A content header: class basic, weight 0, a body of one byte, and a table of headers that follows."""


@pytest.mark.parametrize(
    "header",
    [
        # class 60, weight 0, body size 1, flags: headers; a table with the timestamp 58873-01-01
        b"\x00\x3c\x00\x00"
        + (1).to_bytes(8, "big")
        + b"\x20\x00"
        + b"\x00\x00\x00\x0b\x01tT"
        + (1795708403000).to_bytes(8, "big"),
        b"\x00\x3c\x00\x00" + (1).to_bytes(8, "big") + b"\x20\x00" + b"\x00\x00\x00\x03\x01t?",
        b"\x00\x3c",
    ],
    ids=["timestamp-in-milliseconds", "unknown-field-type", "cut"],
)
def test_unreadable_header_ends_only_its_own_connection(site: Site, header: bytes) -> None:
    # Given a healthy connection and a hostile one in the same run
    healthy = site.connection(downlink_topic_pattern=f"down.{unique('key')}.{{DevEUI}}")
    with scripted_server(deliveries(header)) as port:
        hostile = at(site, port, downlink_topic_pattern="down.{DevEUI}").model_copy(update={"id": unique("hostile")})
        run = Run(lambda run: bool(run.faults) and healthy.id in run.opened)
        run.consumer.open(healthy, site.secrets)
        run.consumer.open(hostile, site.secrets)
        # When
        run()
    # Then
    assert [connection_id for connection_id, _ in run.faults] == [hostile.id]
    site.api("DELETE", f"queues/%2F/iot-flow.{healthy.id}.downlink")
