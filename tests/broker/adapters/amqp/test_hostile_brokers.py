"""Brokers that break the protocol: the fault is their connection's, and every other connection goes on."""

import resource
from collections.abc import Callable
from typing import Any

import pytest
from pika import spec
from pika.frame import Method

from chalicelib.adapters.amqp.publisher import AmqpPublisherFactory
from chalicelib.errors import BrokerFault
from chalicelib.network_servers.thingpark.downlinks import MAX_DOWNLINK_SIZE
from chalicelib.vocabulary import EventType
from infra.local.waiting import wait_until
from tests.broker.scripted_server import Peer, scripted_server
from tests.broker.support import LOCAL, Run, Site, descriptors, outgoing, refusal, soon, unique


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


def content(channel: int, header: bytes, *bodies: bytes) -> bytes:
    """The frames of a content header and of bodies."""
    parts = [(2, header), *((3, body) for body in bodies)]
    return b"".join(
        bytes([kind]) + channel.to_bytes(2, "big") + len(part).to_bytes(4, "big") + part + b"\xce"
        for kind, part in parts
    )


def deliveries(
    header: bytes, *bodies: bytes, then: Callable[[Peer, int], object] = lambda _peer, _channel: None
) -> Any:
    """A script that delivers one message with this raw content header as soon as a consumer starts."""

    def answer(peer: Peer, received: Any) -> bool:
        method: Any = getattr(received, "method", None)
        if getattr(method, "NAME", "") != "Basic.Consume":
            return False
        channel = received.channel_number
        peer.send(channel, spec.Basic.ConsumeOk(method.consumer_tag))
        peer.send(channel, spec.Basic.Deliver(method.consumer_tag, 1, False, "amq.topic", "down.x"))
        peer.send_bytes(content(channel, header, *bodies))
        then(peer, channel)
        return True

    return answer


def header_of(size: int, properties: bytes = b"\x00\x00") -> bytes:
    """A content header: class basic, weight 0, the body's size, the flags and values of properties."""
    return b"\x00\x3c\x00\x00" + size.to_bytes(8, "big") + properties


def endless(data: Callable[[int], bytes]) -> Callable[[Peer, int], None]:
    """Send the frames again and again, until the connection is reset."""

    def send(peer: Peer, channel: int) -> None:
        while True:
            peer.send_bytes(data(channel))

    return send


def largest_memory() -> int:
    """The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def run_beside_a_healthy_connection(site: Site, script: Any, ends: Callable[[Run], bool]) -> tuple[Run, str]:
    """Consume from a scripted server and from an honest broker in the same run; return it and the scripted one's id."""
    healthy = site.connection(downlink_topic_pattern=f"down.{unique('key')}.{{DevEUI}}")
    with scripted_server(script) as port:
        hostile = at(site, port, downlink_topic_pattern="down.{DevEUI}").model_copy(update={"id": unique("hostile")})
        run = Run(lambda run: ends(run) and healthy.id in run.opened)
        run.consumer.open(healthy, site.secrets)
        run.consumer.open(hostile, site.secrets)
        run()
    site.api("DELETE", f"queues/%2F/iot-flow.{healthy.id}.downlink")
    return run, hostile.id


@pytest.mark.parametrize(
    "header", [b"\x00\x3c", header_of(1)[:1] + b"\x0a" + header_of(1)[2:]], ids=["cut", "class-10"]
)
def test_broken_content_header_ends_only_its_own_connection(site: Site, header: bytes) -> None:
    run, hostile = run_beside_a_healthy_connection(site, deliveries(header), lambda run: bool(run.faults))
    assert [connection_id for connection_id, _ in run.faults] == [hostile]


UNREADABLE = {
    "not-a-number": b"\x20\x00\x00\x00\x00\x0b\x01nd\x7f\xf8" + bytes(6),
    "timestamp-in-milliseconds": b"\x20\x00\x00\x00\x00\x0b\x01tT" + (1795708403000).to_bytes(8, "big"),
    "unknown-field-type": b"\x20\x00\x00\x00\x00\x03\x01t?",
    "table-longer-than-the-header": b"\x20\x00\xff\xff\xff\xff",
    "text-longer-than-the-header": b"\x80\x00\xff",
    "no-flags": b"",
    "endless-flags": b"\xff\xff" * 3,
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_downlink_with_unreadable_properties_is_taken_without_them(site: Site, name: str) -> None:
    script = deliveries(header_of(4, UNREADABLE[name]), b"body")
    run, _ = run_beside_a_healthy_connection(site, script, lambda run: bool(run.bodies))
    assert (run.bodies, run.faults) == ([b"body"], [])


def deliver_without_end(peer: Peer, received: Any) -> bool:
    method: Any = getattr(received, "method", None)
    if getattr(method, "NAME", "") != "Basic.Consume":
        return False
    channel, tag = received.channel_number, method.consumer_tag
    peer.send(channel, spec.Basic.ConsumeOk(tag))
    message = Method(channel, spec.Basic.Deliver(tag, 1, False, "amq.topic", "down.x")).marshal()
    message += content(channel, header_of(100), bytes(100))
    endless(lambda _channel: 1000 * message)(peer, channel)
    return True


FLOODS: dict[str, Any] = {
    "huge-announced-body": deliveries(
        header_of(2**62), then=endless(lambda channel: content(channel, b"", bytes(100_000))[8:])
    ),
    "frame-of-4-GB": deliveries(
        header_of(5), then=endless(lambda channel: b"\x03" + channel.to_bytes(2, "big") + b"\xff" * 4 + bytes(100_000))
    ),
    "body-longer-than-announced": deliveries(
        header_of(5), then=endless(lambda channel: content(channel, b"", bytes(100_000))[8:])
    ),
    "more-messages-than-the-prefetch": deliver_without_end,
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood_of_a_broker_ends_its_connection_within_bounded_memory(site: Site, name: str) -> None:
    before = largest_memory()
    run, hostile = run_beside_a_healthy_connection(site, FLOODS[name], lambda run: bool(run.faults))
    assert [connection_id for connection_id, _ in run.faults] == [hostile]
    assert largest_memory() - before < 50


def test_body_above_the_limit_is_judged_without_being_kept(site: Site) -> None:
    # Given a message of 200 MB
    before, parts = largest_memory(), 2000

    def body(peer: Peer, channel: int) -> None:
        for _ in range(parts):
            peer.send_bytes(content(channel, b"", bytes(100_000))[8:])

    # When
    script = deliveries(header_of(parts * 100_000), then=body)
    run, _ = run_beside_a_healthy_connection(site, script, lambda run: bool(run.bodies))

    # Then
    assert [len(found) for found in run.bodies] == [MAX_DOWNLINK_SIZE + 1]
    assert largest_memory() - before < 50


def test_endless_return_ends_the_publisher_within_bounded_memory(site: Site) -> None:
    def answer(peer: Peer, received: Any) -> bool:
        if getattr(getattr(received, "method", None), "NAME", "") != "Basic.Publish":
            return False
        peer.send(received.channel_number, spec.Basic.Return(312, "NO_ROUTE", "amq.topic", "up.x"))
        peer.send_bytes(content(received.channel_number, header_of(2**62)))
        endless(lambda channel: content(channel, b"", bytes(100_000))[8:])(peer, received.channel_number)
        return True

    before = largest_memory()
    with scripted_server(answer) as port:
        publisher = AmqpPublisherFactory(LOCAL).open(at(site, port), site.secrets, soon(10))
        result = publisher.publish([outgoing("1")], soon(10))
        publisher.abort()
    assert result.fault is not None
    assert largest_memory() - before < 50
