"""In-memory queues with the rules of SQS."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chalicelib.domain.report import DEFAULT_FORMAT
from chalicelib.domain.work_items import DownlinkJob, PollJob, Wake
from chalicelib.errors import QueueMissing
from chalicelib.ports.clock import Clock
from chalicelib.ports.queues import QueueRecord, ReceivedReport
from infra.local.in_memory.fifo import Fifo, Held


class MemoryUplinkQueues:
    """FIFO queues, one for each connection."""

    def __init__(self, visibility: float = 60, clock: Clock = time.monotonic) -> None:
        self._visibility = visibility
        self._clock = clock
        self._queues: dict[str, Fifo] = {}

    def create(self, connection_id: str) -> None:
        self._queues.setdefault(connection_id, Fifo(self._visibility, self._clock))

    def delete(self, connection_id: str) -> None:
        self._queues.pop(connection_id, None)

    def _queue(self, connection_id: str) -> Fifo:
        queue = self._queues.get(connection_id)
        if queue is None:
            raise QueueMissing("the queue does not exist")
        return queue

    def send(
        self,
        connection_id: str,
        *,
        body: str,
        group: str,
        message_id: str,
        deduplication_id: str,
        report_format: str = DEFAULT_FORMAT,
        driver: str | None = None,
        validity: str | None = None,
        summary: str | None = None,
    ) -> None:
        if report_format != DEFAULT_FORMAT:
            raise ValueError(report_format)
        attributes = {"driver": driver, "validity": validity, "summary": summary}
        self._queue(connection_id).send(body, group, message_id, deduplication_id, attributes)

    def receive(self, connection_id: str, limit: int, wait: int = 0) -> list[ReceivedReport]:  # noqa: ARG002  # memory never answers short
        return [_report(held) for held in self._queue(connection_id).receive(limit)]

    def delete_messages(self, connection_id: str, receipts: Sequence[str]) -> list[str]:
        if connection_id in self._queues:
            self._queues[connection_id].delete(receipts)
        return []

    def release(self, connection_id: str, receipts: Sequence[str], delay: int) -> None:
        if connection_id in self._queues:
            self._queues[connection_id].change_visibility(receipts, delay)

    def depth(self, connection_id: str) -> tuple[int, int]:
        return self._queue(connection_id).depth()


def _report(held: Held) -> ReceivedReport:
    given = held.attributes
    return ReceivedReport(
        held.receipt,
        held.message_id,
        held.group,
        held.body,
        held.sent_at,
        held.attempts,
        driver=given.get("driver"),
        validity=given.get("validity"),
        summary=given.get("summary"),
    )


@dataclass
class _Wake:
    name: str
    body: str
    report: str
    attempts: int = 0
    visible_at: float = 0.0
    received_at: float = 0.0
    """Time of the first receive."""


class MemoryWakeQueue:
    """A standard queue. ``take`` returns messages like an event source mapping, in the order that ``choose`` gives.
    Messages that are not deleted come back after their visibility timeout. ``sent`` counts all sends."""

    def __init__(self, visibility: float = 180, clock: Clock = time.monotonic) -> None:
        self._visibility = visibility
        self._clock = clock
        self._waiting: dict[str, _Wake] = {}
        self._receipts: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.sent = 0

    def send(self, wakes: Sequence[Wake]) -> None:
        with self._lock:
            self.sent += len(wakes)
            for wake in wakes:
                name = f"w{next(self._numbers)}"
                self._waiting[name] = _Wake(name, wake.model_dump_json(by_alias=True), wake.report or "")

    def take(
        self, limit: int | None = None, choose: Callable[[list[str]], list[str]] = lambda names: names
    ) -> list[QueueRecord]:
        """The visible messages that ``choose`` picks by their names."""
        with self._lock:
            now = self._clock()
            visible = [wake.name for wake in self._waiting.values() if wake.visible_at <= now]
            return [self._give(self._waiting[name], now) for name in choose(visible)[:limit]]

    def _give(self, wake: _Wake, now: float) -> QueueRecord:
        wake.attempts += 1
        wake.received_at = wake.received_at or now
        wake.visible_at = now + self._visibility
        receipt = f"{wake.name}.{wake.attempts}"
        self._receipts[receipt] = wake.name
        return QueueRecord(
            receipt, wake.name, wake.body, attempts=wake.attempts, received_at=wake.received_at, report=wake.report
        )

    def extend(self, receipts: Sequence[str]) -> None:
        with self._lock:
            for receipt in receipts:
                wake = self._waiting.get(self._receipts.get(receipt, ""))
                if wake and wake.visible_at > self._clock():
                    wake.visible_at = self._clock() + self._visibility

    def delete(self, receipts: Sequence[str]) -> None:
        with self._lock:
            for receipt in receipts:
                self._waiting.pop(self._receipts.pop(receipt, ""), None)

    def repeat(self) -> None:
        """Makes messages in flight visible at once, as a standard queue may deliver a message twice."""
        with self._lock:
            for wake in self._waiting.values():
                wake.visible_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)


class MemoryPollQueue:
    def __init__(self) -> None:
        self.sent: list[PollJob] = []

    def send(self, job: PollJob) -> None:
        self.sent.append(job)


class MemoryDownlinkQueue:
    """The shared FIFO queue of downlinks. Connection and device form the group."""

    def __init__(self, visibility: float = 60, clock: Clock = time.monotonic) -> None:
        self._fifo = Fifo(visibility, clock)

    def send(self, jobs: Sequence[tuple[DownlinkJob, str]]) -> list[bool]:
        for job, deduplication_id in jobs:
            group = f"{job.tenant}.{job.connection_id}.{job.downlink['DevEUI']}"
            attributes = {"deduplication_id": deduplication_id}
            self._fifo.send(job.model_dump_json(by_alias=True), group, "", deduplication_id, attributes)
        return [True] * len(jobs)

    def take(self, limit: int) -> list[QueueRecord]:
        """Returns jobs like an event source mapping."""
        return [
            QueueRecord(
                held.receipt,
                held.name,
                held.body,
                held.group,
                held.attempts,
                deduplication_id=held.attributes["deduplication_id"] or "",
            )
            for held in self._fifo.receive(limit)
        ]

    def delete(self, receipts: Sequence[str]) -> None:
        self._fifo.delete(receipts)

    def delay(self, receipts: Sequence[str], seconds: int) -> None:
        self._fifo.change_visibility(receipts, seconds)

    def depth(self) -> tuple[int, int]:
        return self._fifo.depth()
