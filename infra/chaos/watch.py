"""Records the backlog once a second, and waits at the end until everything has arrived."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import pika
import pika.exceptions

from infra.chaos.records import Backlog, Journal
from infra.chaos.stage import Node, Place, Stage
from infra.local.stack_config import REGION

BACKLOG = "backlog.jsonl"
_PERIOD = 1.0
_QUIET = 3
"""Number of consecutive polls, one a second, that must find all queues empty."""
_LOST_AFTER = 60.0
"""Seconds with empty queues after which missing messages count as lost. A consumer on a cut connection may hold
downlinks for three heartbeats."""
_STUCK_AFTER = 180.0
"""Seconds without progress after which the remaining messages count as stuck."""
_VISIBLE = "ApproximateNumberOfMessages"
_NOT_VISIBLE = "ApproximateNumberOfMessagesNotVisible"


@dataclass
class Watch:
    """A recorder of the backlog. ``start`` begins to record; ``settle`` waits for the end."""

    stage: Stage
    _sqs: Any = None
    _urls: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._sqs = boto3.client(
            "sqs",
            endpoint_url=self.stage.info["sqsEndpointUrl"],
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106  # the emulation needs no real one
        )
        settings = self.stage.settings
        names = [*(f"uplinks-{place.id}.fifo" for place in self.stage.places), "downlinks.fifo", "wakes-slow", "wakes"]
        self._urls = [self._sqs.get_queue_url(QueueName=settings.queue(name))["QueueUrl"] for name in names]
        self._thread = threading.Thread(target=self._watch, name="watch")
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def settle(self, complete: Callable[[], bool]) -> tuple[dict[int, int], int]:
        """Waits until all queues are empty and ``complete`` holds, or until progress stops.

        Returns the stuck uplinks by connection and the stuck downlinks.
        """
        quiet = 0
        empty_since: float | None = None
        before, moved_at = None, time.monotonic()
        while True:
            uplinks, downlinks, wakes = self.waiting()
            now = time.monotonic()
            if (uplinks, downlinks, wakes) != before:
                before, moved_at = (uplinks, downlinks, wakes), now
            if any(uplinks.values()) or downlinks:
                quiet, empty_since = 0, None
                if now - moved_at > _STUCK_AFTER:
                    return uplinks, downlinks
            else:
                quiet += 1
                empty_since = now if empty_since is None else empty_since
                if (quiet >= _QUIET and complete()) or now - empty_since > _LOST_AFTER:
                    return uplinks, downlinks
            time.sleep(_PERIOD)

    def waiting(self) -> tuple[dict[int, int], int, int]:
        """Messages that wait in SQS and at the brokers: uplinks by connection, downlinks and wakes."""
        looked = self._look()
        uplinks = {
            place.index: looked.waiting[place.index] + _ready(self.stage.nodes[place.node], place, place.queue)
            for place in self.stage.places
        }
        at_brokers = sum(
            _ready(self.stage.nodes[place.node], place, place.downlink_queue) for place in self.stage.places
        )
        return uplinks, looked.waiting[-3] + at_brokers, looked.waiting[-2] + looked.waiting[-1]

    def in_flight(self) -> tuple[int, ...]:
        """Reports of each connection that are received and not deleted."""
        return self._look().in_flight[: len(self.stage.places)]

    def _watch(self) -> None:
        journal = Journal(self.stage.directory / BACKLOG)
        while not self._stopping.wait(_PERIOD):
            journal.write(self._look())

    def _look(self) -> Backlog:
        """The current backlog. The queues of downlinks and wakes come last."""
        found = []
        for url in self._urls:
            attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[_VISIBLE, _NOT_VISIBLE])
            found.append((int(attributes["Attributes"][_VISIBLE]), int(attributes["Attributes"][_NOT_VISIBLE])))
        waiting = tuple(visible + in_flight for visible, in_flight in found)
        return Backlog(time.time(), waiting, tuple(in_flight for _, in_flight in found))


def _ready(node: Node, place: Place, queue: str) -> int:
    """Ready messages in a queue at a broker; 1 while the broker does not answer."""
    credentials = pika.PlainCredentials(node.username, node.password)
    try:
        connection = pika.BlockingConnection(
            pika.ConnectionParameters("127.0.0.1", node.port, place.vhost, credentials, socket_timeout=5)
        )
        try:
            return int(connection.channel().queue_declare(queue, passive=True).method.message_count)
        finally:
            connection.close()
    except (pika.exceptions.AMQPError, OSError):
        return 1
