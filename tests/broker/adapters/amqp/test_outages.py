"""Publisher at a broker that freezes, dies or raises an alarm: every wait ends in time."""

import os
import signal
import threading
import time
from urllib.parse import quote

import pytest

from chalicelib.adapters.amqp.publisher import AmqpPublisherFactory
from chalicelib.domain.delivery import DELIVERED, Result
from chalicelib.errors import BrokerUnreachable
from infra.local.waiting import wait_until
from tests.broker.passage import passing_on
from tests.broker.support import LOCAL, Site, bound_queue, descriptors, drain_queue, outgoing, refusal, soon, unique

PRECISE = 0.6
"""Seconds by which a busy machine may exceed a deadline."""


def test_connect_to_frozen_broker_ends_after_connection_timeout(other_site: Site) -> None:
    other_site.broker.freeze()
    try:
        before = descriptors()
        for connection, secrets in (
            (other_site.connection(connection_timeout=500), other_site.secrets),
            (other_site.tls_connection(connection_timeout=500), other_site.tls_secrets),
        ):
            began = time.monotonic()
            fault = refusal(connection, secrets)
            assert time.monotonic() - began < 0.5 + PRECISE
            assert isinstance(fault, BrokerUnreachable)
            assert fault.type == "CONNECTION_TIMEOUT"
            assert descriptors() <= before
    finally:
        other_site.broker.thaw()


def test_publish_to_frozen_broker_ends_after_action_timeout(other_site: Site) -> None:
    # Given
    key = unique("key")
    bound_queue(other_site, key)
    connection = other_site.connection(action_timeout=400)
    with other_site.publisher(connection) as publisher:
        other_site.broker.freeze()

        # When
        try:
            began = time.monotonic()
            messages = [outgoing("1", routing_key=key), outgoing("2", routing_key=key)]
            result = publisher.publish(messages, soon())
            seconds = time.monotonic() - began
        finally:
            other_site.broker.thaw()

        # Then
        assert 0.4 <= seconds < 0.4 + PRECISE
        assert isinstance(result.fault, BrokerUnreachable)
        assert result.fault.type == "CONFIRM_TIMEOUT"
        assert {outcome.result for outcome in result.outcomes.values()} == {Result.RETRY}
        assert not publisher.usable
        again = publisher.publish(messages, soon())
        assert {outcome.result for outcome in again.outcomes.values()} == {Result.RETRY}
        assert isinstance(again.fault, BrokerUnreachable)


def test_deadline_of_caller_overrides_action_timeout(other_site: Site) -> None:
    with other_site.publisher(other_site.connection(action_timeout=10000)) as publisher:
        other_site.broker.freeze()
        try:
            began = time.monotonic()
            result = publisher.publish([outgoing("1")], soon(0.5))
            assert time.monotonic() - began < 0.5 + PRECISE
        finally:
            other_site.broker.thaw()
    assert result.outcomes["1"].result is Result.RETRY


def test_check_detects_a_frozen_broker(other_site: Site) -> None:
    with other_site.publisher() as publisher:
        publisher.check(soon())
        other_site.broker.freeze()
        try:
            with pytest.raises(BrokerUnreachable):
                publisher.check(soon(0.3))
        finally:
            other_site.broker.thaw()
        assert not publisher.usable


def test_kill_during_a_batch_loses_no_confirmed_message(other_site: Site) -> None:
    # Given
    key = unique("key")
    queue = bound_queue(other_site, key)
    messages = [
        outgoing(f"{number}", group=f"{number % 5}", routing_key=key, body=b"%d" % number) for number in range(20000)
    ]
    other_site.remember()
    with other_site.publisher(other_site.connection(action_timeout=5000)) as publisher:
        pid = other_site.broker.pid
        killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))

        # When
        killer.start()
        result = publisher.publish(messages, soon(20))
        killer.join()
    other_site.broker.kill()
    other_site.broker.start()

    # Then
    assert isinstance(result.fault, BrokerUnreachable)
    assert len(result.outcomes) == len(messages)
    delivered = {key for key, outcome in result.outcomes.items() if outcome.result is Result.DELIVERED}
    assert 0 < len(delivered) < len(messages)
    kept = {body.decode() for _, _, body in drain_queue(other_site, queue)}
    assert delivered <= kept


def test_memory_alarm_is_reported_and_publishing_resumes_after_it(other_site: Site) -> None:
    # Given
    key = unique("key")
    bound_queue(other_site, key)
    with other_site.publisher(other_site.connection(action_timeout=500)) as publisher:
        other_site.broker.ctl("set_vm_memory_high_watermark", "0.00001")

        # When
        try:
            result = publisher.publish([outgoing("1", routing_key=key)], soon())
        finally:
            other_site.broker.ctl("set_vm_memory_high_watermark", "0.4")

    # Then
    assert isinstance(result.fault, BrokerUnreachable)
    assert result.fault.type == "BROKER_BLOCKED"
    assert "memory" in str(result.fault)
    with other_site.publisher() as publisher:
        assert publisher.publish([outgoing("1", routing_key=key)], soon()).outcomes == {"1": DELIVERED}


def test_short_alarm_only_delays_the_publish(other_site: Site) -> None:
    # Given
    key = unique("key")
    bound_queue(other_site, key)
    with other_site.publisher(other_site.connection(action_timeout=10000)) as publisher:
        other_site.broker.ctl("set_vm_memory_high_watermark", "0.00001")
        alarm_over = threading.Timer(2, other_site.broker.ctl, ("set_vm_memory_high_watermark", "0.4"))
        alarm_over.start()

        # When the alarm ends while the first message waits
        result = publisher.publish([outgoing("1", routing_key=key)], soon(20))
        alarm_over.join()

        # Then
        assert result.outcomes == {"1": DELIVERED}
        assert publisher.usable
        assert publisher.publish([outgoing("2", routing_key=key)], soon()).outcomes == {"2": DELIVERED}


def test_idle_check_detects_a_closed_connection(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    connection = site.connection()
    name = f"acme/ConnectionId.{connection.id}#publisher"
    with site.publisher(connection) as publisher:
        assert wait_until(lambda: bool(site.connections_named(name)), 15)
        site.api("DELETE", f"connections/{quote(site.connections_named(name)[0]['name'])}")
        assert publisher.usable  # the loop has not read the socket yet

        # When the publisher counts as idle
        monkeypatch.setattr("chalicelib.adapters.amqp.publisher.IDLE", 0.0)
        result = publisher.publish([outgoing("1")], soon())

        # Then
        assert isinstance(result.fault, BrokerUnreachable)
        assert result.fault.type == "CONNECTION_CLOSED"
        assert result.outcomes["1"].result is Result.RETRY
        assert not publisher.usable


def test_idle_check_detects_a_silent_broker_before_publishing(
    other_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = unique("key")
    queue = bound_queue(other_site, key)
    with other_site.publisher(other_site.connection(action_timeout=10000)) as publisher:
        monkeypatch.setattr("chalicelib.adapters.amqp.publisher.IDLE", 0.0)
        monkeypatch.setattr("chalicelib.adapters.amqp.publisher.CHECK", 0.5)
        other_site.broker.freeze()
        try:
            began = time.monotonic()
            result = publisher.publish([outgoing("1", routing_key=key)], soon())
            seconds = time.monotonic() - began
        finally:
            other_site.broker.thaw()
    assert seconds < 0.5 + PRECISE
    assert isinstance(result.fault, BrokerUnreachable)
    assert result.fault.type == "CONNECTION_TIMEOUT"
    assert drain_queue(other_site, queue) == []


def test_abort_resets_the_connection(site: Site) -> None:
    connection = site.connection()
    name = f"acme/ConnectionId.{connection.id}#publisher"
    before = descriptors()
    publisher = AmqpPublisherFactory(LOCAL).open(connection, site.secrets, soon())
    assert wait_until(lambda: bool(site.connections_named(name)), 15)
    publisher.abort()
    assert descriptors() <= before
    assert not publisher.usable
    assert wait_until(lambda: not site.connections_named(name), 15)
    publisher.abort()


def test_deadline_before_action_timeout_is_not_a_broker_fault(other_site: Site) -> None:
    # Given
    key = unique("key")
    bound_queue(other_site, key)
    with other_site.publisher(other_site.connection(action_timeout=5000)) as publisher:
        other_site.broker.freeze()

        # When the deadline of the forwarder passes before actionTimeout
        try:
            result = publisher.publish([outgoing("1", routing_key=key)], time.monotonic() + 0.5)
        finally:
            other_site.broker.thaw()

        # Then the message is retried, and late confirms cannot settle the next batch
        assert result.fault is None
        assert {outcome.result for outcome in result.outcomes.values()} == {Result.RETRY}
        assert not publisher.usable


def test_timeout_drops_unsent_data(site: Site) -> None:
    # Given a message larger than all buffers on the way and a relay that stops
    with passing_on(site.broker.config.port) as passage:
        connection = site.connection(host_name=f"127.0.0.1:{passage.port}", action_timeout=300)
        with site.publisher(connection) as publisher:
            passage.open.clear()
            body = b"x" * 32 * 1024 * 1024

            # When
            result = publisher.publish([outgoing("1", body=body)], soon())
            passage.open.set()

            # Then
            assert isinstance(result.fault, BrokerUnreachable)
            assert result.fault.type == "CONFIRM_TIMEOUT"
            assert passage.reset.wait(30)
            assert passage.passed < len(body)
