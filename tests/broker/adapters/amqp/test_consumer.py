"""Consumer of downlinks at a real broker."""

import threading
import time
from typing import Any

import pika
import pytest

from chalicelib.domain.connection import Connection
from chalicelib.ports.consuming import ReceivedDownlink, Verdict
from infra.local.waiting import wait_until
from tests.broker.support import Run, Site, unique


def queue_of(connection: Connection) -> str:
    return f"iot-flow.{connection.id}.downlink"


def opened_queue(site: Site, connection: Connection) -> str:
    """Open the connection once, so that its queue exists, and return the queue's name."""
    run = Run(ends=lambda run: bool(run.opened))
    run.consumer.open(connection, site.secrets)
    run()
    return queue_of(connection)


def send(site: Site, *bodies: str, key: str = "down.1") -> None:
    with site.channel() as channel:
        channel.confirm_delivery()
        for body in bodies:
            properties = pika.BasicProperties(delivery_mode=2)
            channel.basic_publish("amq.topic", key, body.encode(), properties, mandatory=True)


def depth(site: Site, queue: str) -> int:
    with site.channel() as channel:
        return int(channel.queue_declare(queue, passive=True).method.message_count)


def test_open_declares_and_binds_the_queue_and_names_the_connection(site: Site) -> None:
    # Given
    connection = site.connection(downlink_topic_pattern="down.{CustomerData.name|'x.y'}.end")
    name = f"{connection.tenant}/ConnectionId.{connection.id}#consumer"
    seen: list[dict[str, Any]] = []

    def connected(run: Run) -> bool:
        if run.opened and not seen:
            seen.extend(site.connections_named(name))
        return bool(seen)

    # When
    run = Run(ends=connected)
    run.consumer.open(connection, site.secrets)
    run()

    # Then
    assert run.opened == [connection.id]
    assert not run.faults
    assert seen[0]["timeout"] == 10
    queue = site.api("GET", f"queues/%2F/{queue_of(connection)}")
    assert queue["durable"]
    assert queue["arguments"] == {"x-single-active-consumer": True}
    bindings = site.api("GET", f"queues/%2F/{queue_of(connection)}/bindings")
    assert ("amq.topic", "down.*.end") in [(one["source"], one["routing_key"]) for one in bindings]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "mutual TLS"])
def test_downlinks_arrive_in_order_and_are_acknowledged(site: Site, tls: bool) -> None:
    # Given
    connection = site.connection()
    queue = opened_queue(site, connection)
    if tls:
        connection = connection.model_copy(update={"configuration": site.tls_connection().configuration})
    bodies = [f"message {number}" for number in range(250)]
    send(site, *bodies, key="down.70B3D5")

    # When
    run = Run(ends=lambda run: len(run.bodies) >= len(bodies))
    run.consumer.open(connection, site.tls_secrets if tls else site.secrets)
    run()

    # Then
    assert [body.decode() for body in run.bodies] == bodies
    assert run.batches[0][0].routing_key == "down.70B3D5"
    assert run.batches[0][0].connection_id == connection.id
    assert not run.batches[0][0].redelivered
    assert depth(site, queue) == 0


def test_downlinks_are_not_acknowledged_before_their_verdict(site: Site) -> None:
    # Given
    connection = site.connection()
    queue = opened_queue(site, connection)
    send(site, "one", "two")
    may_answer, asked = threading.Event(), threading.Event()

    def judge(_message: ReceivedDownlink) -> Verdict:
        asked.set()
        may_answer.wait(20)
        return Verdict.ACK

    unacknowledged: list[int] = []

    def ends(_run: Run) -> bool:
        if asked.is_set() and not may_answer.is_set():
            state = site.api("GET", f"queues/%2F/{queue}")
            unacknowledged.append(state.get("messages_unacknowledged", 0))
            if unacknowledged[-1] == 2:
                may_answer.set()
        return may_answer.is_set()

    # When
    run = Run(ends=ends, judge=judge)
    run.consumer.open(connection, site.secrets)
    run(seconds=20)

    # Then
    assert unacknowledged[-1] == 2
    assert depth(site, queue) == 0


def test_downlinks_with_verdict_later_are_redelivered_in_order(site: Site) -> None:
    # Given
    connection = site.connection()
    queue = opened_queue(site, connection)
    bodies = [f"message {number}" for number in range(6)]
    send(site, *bodies)
    verdicts = {"message 0": Verdict.ACK, "message 1": Verdict.LATER}

    # When the second downlink and all later ones cannot be queued
    first = Run(
        ends=lambda run: bool(run.batches), judge=lambda message: verdicts.get(message.body.decode(), Verdict.LATER)
    )
    first.consumer.open(connection, site.secrets)
    first()

    # Then
    assert wait_until(lambda: depth(site, queue) == 5, 10)
    second = Run(ends=lambda run: len(run.bodies) >= 5)
    second.consumer.open(connection, site.secrets)
    second()
    assert [body.decode() for body in second.bodies] == bodies[1:]
    assert second.batches[0][0].redelivered


def test_rejected_downlinks_go_to_the_dead_letter_exchange(site: Site) -> None:
    # Given a queue with a dead-letter exchange, declared by the customer
    connection = site.connection()
    dead = unique("dead")
    with site.channel() as channel:
        channel.queue_declare(dead)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
        channel.queue_declare(queue_of(connection), durable=True, arguments=arguments)
    opened_queue(site, connection)
    send(site, "good 1", "bad", "good 2")

    # When
    run = Run(
        ends=lambda run: len(run.bodies) == 3,
        judge=lambda message: Verdict.REJECT if message.body == b"bad" else Verdict.ACK,
    )
    run.consumer.open(connection, site.secrets)
    run()

    # Then
    assert not run.faults
    assert wait_until(lambda: depth(site, dead) == 1, 10)
    assert depth(site, queue_of(connection)) == 0


def test_frozen_broker_does_not_delay_downlinks_of_another_broker(site: Site, other_site: Site) -> None:
    # Given
    healthy, frozen = site.connection(), other_site.connection(connection_timeout=1000)
    opened_queue(site, healthy)
    opened_queue(other_site, frozen)
    other_site.broker.freeze()

    # When
    try:
        run = Run(ends=lambda run: len(run.bodies) == 20 and bool(run.faults))
        run.consumer.open(frozen, other_site.secrets)
        run.consumer.open(healthy, site.secrets)
        send(site, *[f"message {number}" for number in range(20)])
        run()
    finally:
        other_site.broker.thaw()

    # Then
    assert [(connection_id, fault.type) for connection_id, fault in run.faults] == [(frozen.id, "CONNECTION_TIMEOUT")]


def test_run_ends_on_time_with_a_frozen_broker(site: Site, other_site: Site) -> None:
    # Given
    healthy, frozen = site.connection(), other_site.connection()
    run = Run(ends=lambda run: len(run.opened) == 2 and freeze())

    def freeze() -> bool:
        other_site.broker.freeze()
        return True

    # When
    run.consumer.open(healthy, site.secrets)
    run.consumer.open(frozen, other_site.secrets)
    began = time.monotonic()
    try:
        run(seconds=5, close_seconds=2)
    finally:
        other_site.broker.thaw()

    # Then
    assert time.monotonic() - began < 10
    assert healthy.id not in dict(run.faults)


def test_deleted_queue_ends_the_connection_with_a_fault(site: Site) -> None:
    # Given
    connection = site.connection()

    deleted: list[str] = []

    def ends(run: Run) -> bool:
        if run.opened and not deleted:
            deleted.append(queue_of(connection))
            site.api("DELETE", f"queues/%2F/{deleted[0]}")
        return bool(run.faults)

    # When
    run = Run(ends=ends)
    run.consumer.open(connection, site.secrets)
    run()

    # Then
    assert [(one, fault.type) for one, fault in run.faults] == [(connection.id, "CONSUMER_CANCELLED")]


def test_queue_of_a_deleted_connection_is_not_declared_again(site: Site) -> None:
    # Given
    connection = site.connection()
    opened_queue(site, connection)

    def ends(run: Run) -> bool:
        if run.opened and run.ticks:
            run.consumer.delete_queue(connection.id)
            run.consumer.open(connection, site.secrets)
            return True
        return False

    # When
    run = Run(ends=ends)
    run.consumer.open(connection, site.secrets)
    run()

    # Then
    assert not run.faults
    names = [queue["name"] for queue in site.api("GET", "queues")]
    assert queue_of(connection) not in names


def test_changed_pattern_removes_the_old_binding(site: Site) -> None:
    # Given
    before = site.connection(downlink_topic_pattern="old.{DevEUI}")
    changed = before.configuration.model_copy(update={"downlink_topic_pattern": "new.{DevEUI}"})
    after = before.model_copy(update={"configuration": changed})

    # When the pattern changes while the connection is open
    def ends(run: Run) -> bool:
        if len(run.opened) == 1 and run.ticks and not asked:
            asked.append(True)
            run.consumer.close(before.id)
            run.consumer.open(after, site.secrets)
        return len(run.opened) == 2

    asked: list[bool] = []
    run = Run(ends=ends)
    run.consumer.open(before, site.secrets, [("amq.topic", "older.*"), ("no-such-exchange", "x")])
    run()

    # Then
    assert not run.faults
    bindings = site.api("GET", f"queues/%2F/{queue_of(before)}/bindings")
    assert [one["routing_key"] for one in bindings if one["source"]] == ["new.*"]


def test_unacknowledged_downlinks_return_to_the_queue_after_a_crash(other_site: Site) -> None:
    # Given a broker that dies while a batch is handled
    connection = other_site.connection()
    queue = opened_queue(other_site, connection)
    send(other_site, "kept")
    other_site.remember()

    def judge(_message: ReceivedDownlink) -> Verdict:
        other_site.broker.kill()
        return Verdict.ACK

    # When
    run = Run(ends=lambda run: bool(run.faults), judge=judge)
    run.consumer.open(connection, other_site.secrets)
    run()
    other_site.broker.start()

    # Then
    assert run.faults[0][1].type == "CONNECTION_LOST"
    assert depth(other_site, queue) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"virtual_host": "nowhere"}, "VIRTUAL_HOST_REFUSED"),
        ({"username": "stranger"}, "LOGIN_REFUSED"),
        ({"host_name": "127.0.0.1:1"}, "CONNECTION_REFUSED"),
        ({"host_name": "no-such-host.invalid"}, "DNS_FAILURE"),
        ({"host_name": "10.0.0.1"}, "ADDRESS_FORBIDDEN"),
    ],
)
def test_failed_open_reports_its_fault(site: Site, changes: dict[str, str], expected: str) -> None:
    connection = site.connection(**changes)
    run = Run(ends=lambda run: bool(run.faults))
    run.consumer.open(connection, site.secrets)
    run()
    assert [(one, fault.type) for one, fault in run.faults] == [(connection.id, expected)]


def test_handling_error_requeues_its_downlinks_and_other_connections_go_on(site: Site) -> None:
    # Given
    broken, healthy = site.connection(), site.connection(downlink_topic_pattern=f"other.{unique('key')}")
    queue = opened_queue(site, broken)
    send(site, "one")

    def judge(message: ReceivedDownlink) -> Verdict:
        if message.connection_id == broken.id:
            assert wait_until(lambda: healthy.id in run.opened, 10)
            with site.channel() as channel:
                channel.basic_publish("amq.topic", healthy.configuration.downlink_topic_pattern or "", b"two")
            raise ZeroDivisionError
        return Verdict.ACK

    # When
    run = Run(ends=lambda run: run.bodies == [b"two"], judge=judge)
    run.consumer.open(healthy, site.secrets)
    run.consumer.open(broken, site.secrets)
    run()

    # Then
    assert run.faults == []
    assert wait_until(lambda: depth(site, queue) == 1, 10)
