"""Polls of downlinks during faults of the broker, its queue, or the schedule."""

import json
import threading
import time
from collections.abc import Callable, Iterator

import pika
import pytest

from chalicelib.adapters.amqp.consumer import AmqpDownlinkConsumer
from chalicelib.config import Timing
from chalicelib.domain.work_items import DownlinkJob, PollJob, PollTarget
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.downlinks.polls import PollContext, PollHandler
from chalicelib.ports.queues import QueueRecord
from infra.local.in_memory import MemoryDownlinkQueue, MemoryLeases
from infra.local.waiting import wait_until
from tests.broker.outage import Outage
from tests.broker.support import LOCAL, Site
from tests.unit.flow import TENANT

QUEUE = "iot-flow.c1.downlink"
TIMING = Timing.model_validate({**Timing.scaled(60).model_dump(), "poll": 9.0, "poll_close": 8.0, "poll_timeout": 12})
"""Long enough for the steps of a test within one poll on a busy machine."""
MORE_POLLS = 5
"""Polls that a busy machine may need in addition for 3,000 downlinks."""


class Polls:
    """Polls of connection ``c1`` with scaled times, so that each lasts a few seconds."""

    def __init__(self, outage: Outage) -> None:
        self.outage = outage
        self.site = outage.site
        self.queue = MemoryDownlinkQueue(60, outage.clock)
        intake = DownlinkIntake(
            self.queue, outage.secrets, outage.ingress, outage.monitoring, outage.executor, outage.clock
        )
        self.leases = MemoryLeases(TIMING.lease, time.monotonic)
        self.parts = PollContext(
            connections=outage.connections,
            secrets=outage.secrets,
            leases=self.leases,
            intake=intake,
            monitoring=outage.monitoring,
            make_consumer=lambda: AmqpDownlinkConsumer(LOCAL),
            executor=outage.executor,
            clock=outage.clock,
            random=lambda: 0.0,
            timing=TIMING,
        )
        self.downlink_key = f"down.{outage.key}"

    def start(self) -> None:
        self.outage.start(
            self.site.connection(downlink_topic_pattern=f"{self.downlink_key}.{{DevEUI}}"), self.site.secrets
        )

    def poll(self) -> None:
        job = PollJob(sent_at=self.outage.now, targets=[PollTarget(tenant=TENANT, connection_id="c1")])
        record = QueueRecord("r", "m", job.model_dump_json(by_alias=True), "")
        PollHandler(self.parts).handle([record], time.monotonic() + TIMING.poll_timeout)

    def during(self, *steps: Callable[[], object], polls: int = 1) -> None:
        """Run the steps in order while ``polls`` polls run in parallel. Return when all polls have ended."""
        running = [threading.Thread(target=self.poll) for _ in range(polls)]
        for thread in running:
            thread.start()
        try:
            for step in steps:
                step()
        finally:
            for thread in running:
                thread.join()

    def hand_over(self) -> None:
        """Ask for the connection as the next poll does, so that this one ends soon instead of at its time."""
        holder = self.leases.holder("c1")
        assert holder is not None
        self.leases.ask(holder, ["c1"])

    def publish(self, first: int, last: int) -> None:
        """Publish the downlinks ``first`` to ``last - 1``, spread over three devices."""
        with self.site.channel() as channel:
            channel.confirm_delivery()
            for number in range(first, last):
                device = f"{number % 3 + 1:016X}"
                body = {"DevEUI_downlink": {"DevEUI": device, "FPort": 1, "payload_hex": f"{number:04X}"}}
                self.send(channel, f"{self.downlink_key}.{device}", json.dumps(body).encode())

    @staticmethod
    def send(channel: pika.adapters.blocking_connection.BlockingChannel, key: str, body: bytes) -> None:
        channel.basic_publish("amq.topic", key, body, pika.BasicProperties(delivery_mode=2), mandatory=True)

    def is_consumed(self) -> None:
        assert wait_until(lambda: self.consumers() > 0, 10), self.outage.visible_state()

    def is_left(self) -> None:
        assert wait_until(lambda: not self.consumers(), 10), self.outage.visible_state()

    def consumers(self) -> int:
        """Return the broker's current count of consumers. The management API lags by some seconds."""
        try:
            with self.site.channel() as channel:
                return int(channel.queue_declare(QUEUE, passive=True).method.consumer_count)
        except pika.exceptions.ChannelClosedByBroker:
            return 0  # the queue does not exist yet

    def payloads(self) -> list[str]:
        """Receive and delete all downlinks of our queue, which hides a device's next downlink until then."""
        found = []
        while records := self.queue.take(10):
            found += [DownlinkJob.model_validate_json(record.body).downlink["payload_hex"] for record in records]
            self.queue.delete([record.receipt for record in records])
        return found

    def waits_for(self, number: int) -> None:
        assert wait_until(lambda: sum(self.queue.depth()) == number, 10), self.queue.depth()


def payloads(first: int, last: int) -> list[str]:
    return [f"{number:04X}" for number in range(first, last)]


@pytest.fixture
def polls(site: Site) -> Iterator[Polls]:
    outage = Outage(site)
    yield Polls(outage)
    outage.close()
    site.api("DELETE", f"queues/%2F/{QUEUE}")


@pytest.fixture
def polls_elsewhere(other_site: Site) -> Iterator[Polls]:
    outage = Outage(other_site)
    yield Polls(outage)
    outage.close()
    other_site.api("DELETE", f"queues/%2F/{QUEUE}")


def test_deleted_downlink_queue_is_declared_again_within_the_poll(polls: Polls) -> None:
    # Given
    polls.start()

    def delete() -> None:
        polls.site.api("DELETE", f"queues/%2F/{QUEUE}")

    # When
    polls.during(
        polls.is_consumed,
        lambda: polls.publish(0, 6),
        lambda: polls.waits_for(6),
        delete,
        polls.is_consumed,
        lambda: polls.publish(6, 12),
        lambda: polls.waits_for(12),
    )

    # Then
    assert polls.outage.visible_state() == ("OPENED", None, ["OPENED"])
    assert sorted(polls.payloads()) == payloads(0, 12)


def test_parallel_polls_have_one_consumer(polls: Polls) -> None:
    # Given
    polls.start()
    seen: list[int] = []

    def count_consumers() -> None:
        seen.append(polls.consumers())

    # When
    polls.during(
        polls.is_consumed,
        count_consumers,
        lambda: polls.publish(0, 30),
        count_consumers,
        lambda: polls.waits_for(30),
        count_consumers,
        polls=2,
    )

    # Then the second poll has given way, and no downlink arrived twice
    assert seen == [1, 1, 1]
    assert polls.outage.visible_state() == ("OPENED", None, ["OPENED"])
    assert sorted(polls.payloads()) == payloads(0, 30)


def test_broker_killed_during_a_poll_delivers_its_downlinks_afterwards(polls_elsewhere: Polls) -> None:
    # Given
    polls = polls_elsewhere
    polls.start()

    # When
    polls.during(polls.is_consumed, polls.site.broker.kill)

    # Then
    state, reason, events = polls.outage.visible_state()
    assert (state, events) == ("UNREACHABLE", ["OPENED", "CONNECTION_REFUSED"])
    assert "that the broker is running" in (reason or "")

    # When the broker is back, the connection is tried again, and the customer publishes
    polls.site.broker.start()
    polls.outage.change()
    # A broker that is killed right after a declaration may have lost it, so the customer waits for the new one.
    polls.during(polls.is_consumed, lambda: polls.publish(0, 6), lambda: polls.waits_for(6), polls.hand_over)

    # Then
    assert polls.outage.visible_state()[0] == "OPENED"
    assert sorted(polls.payloads()) == payloads(0, 6)


def test_invalid_downlinks_are_rejected_with_an_event_and_a_report(polls: Polls) -> None:
    # Given
    polls.start()
    device = f"{1:016X}"
    poison = [b"\xff", b"{", b"[]", b'{"DevEUI_downlink": {"DevEUI": "%s", "FPort": 300}}' % device.encode()]
    poison.append(b'{"DevEUI_downlink": {"payload": {"on": true}, "FPort": 2, "CorrelationID": "AB12"}}')

    def publish() -> None:
        with polls.site.channel() as channel:
            for body in poison:
                polls.send(channel, f"{polls.downlink_key}.{device}", body)
        polls.publish(0, 3)

    # When
    polls.during(polls.is_consumed, publish, lambda: polls.waits_for(3), polls.hand_over)

    # Then
    assert polls.outage.visible_state()[:2] == ("OPENED", None)
    counts = {event.type: event.details.get("count") for _, event in polls.outage.events.events}
    assert counts == {"OPENED": None, "DOWNLINK_MALFORMED": 2, "DOWNLINK_INVALID": 2, "PAYLOAD_NOT_ENCODABLE": 1}
    assert sorted(polls.payloads()) == payloads(0, 3)
    with polls.site.channel() as channel:
        assert channel.queue_declare(QUEUE, passive=True).method.message_count == 0
    # Rejections with a known device are also reported as uplinks.
    reports = polls.outage.queues.receive("c1", 10)
    assert reports
    assert all("DevEUI_downlink_Rejected" in report.body and device in report.body for report in reports)
    rejected = json.loads(reports[-1].body)["DevEUI_downlink_Rejected"]
    assert (rejected["FPort"], rejected["CorrelationID"]) == (2, "AB12")
    assert rejected["DownlinkRejectionCause"].startswith("PAYLOAD_NOT_ENCODABLE: payload requires an encoder")


def test_connection_deactivated_during_a_poll_stops_consuming(polls: Polls) -> None:
    # Given
    polls.start()
    outage = polls.outage

    # When
    polls.during(
        polls.is_consumed,
        lambda: outage.activate(active=False),
        polls.is_left,
        lambda: polls.publish(0, 6),
    )

    # Then the downlinks wait at the broker
    assert outage.visible_state() == ("DEACTIVATED", None, ["OPENED"])
    assert sum(polls.queue.depth()) == 0
    with polls.site.channel() as channel:
        assert channel.queue_declare(QUEUE, passive=True).method.message_count == 6

    # When the connection is active again
    outage.activate(active=True)
    polls.during(lambda: polls.waits_for(6))

    # Then
    assert outage.visible_state() == ("OPENED", None, ["OPENED", "OPENED"])
    assert sorted(polls.payloads()) == payloads(0, 6)


def test_pattern_changed_during_a_poll_applies_in_the_same_poll(polls: Polls) -> None:
    # Given
    polls.start()
    old = polls.downlink_key
    polls.downlink_key = f"moved.{old}"

    def bindings() -> set[str]:
        return {binding["routing_key"] for binding in polls.site.api("GET", f"queues/%2F/{QUEUE}/bindings")}

    # When
    polls.during(
        polls.is_consumed,
        lambda: polls.outage.change(downlink_topic_pattern=f"{polls.downlink_key}.{{DevEUI}}"),
        lambda: wait_until(lambda: f"{old}.*" not in bindings(), 10),
        lambda: polls.publish(0, 6),
        lambda: polls.waits_for(6),
    )

    # Then
    assert bindings() == {QUEUE, f"{polls.downlink_key}.*"}
    assert polls.outage.visible_state() == ("OPENED", None, ["OPENED", "OPENED"])
    assert sorted(polls.payloads()) == payloads(0, 6)


def test_valid_downlink_is_queued_soon_after_thousands_of_invalid_ones(polls: Polls) -> None:
    # Given
    polls.start()
    outage = polls.outage

    def publish() -> None:
        with polls.site.channel() as channel:
            channel.confirm_delivery()
            for number in range(3000):
                channel.basic_publish(
                    "amq.topic", f"{polls.downlink_key}.{number % 3 + 1:016X}", b"garbage %d" % number
                )
        polls.publish(0, 1)

    # When
    polls.during(polls.is_consumed, publish)
    for _ in range(MORE_POLLS):
        if not sum(polls.queue.depth()):
            polls.poll()

    # Then
    assert polls.payloads() == ["0000"]
    (event,) = [event for _, event in outage.events.events if event.type == "DOWNLINK_MALFORMED"]
    assert event.details == {"devEUI": f"{1:016X}", "count": 3000}
    assert outage.statistics.counts[TENANT, "c1"]["downlinksFailed"] == 3000
