"""A FIFO or standard queue that behaves as SQS documents it, without HTTP.

moto's FIFO queues return a group out of order after a visibility timeout, forget deleted messages in deduplication, let
a receive and a delete race, and scan all messages on each call. The cost of a call here does not grow with the backlog.

Source: Amazon SQS Developer Guide, "Amazon SQS FIFO queues" and "visibility timeout"; API reference of each action.
"""

import heapq
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from infra.local.sqs.answers import Counts, Received, Sent

DEDUPLICATION_SECONDS = 300.0
_LONGEST_VISIBILITY = 43200


class ReceiptHandleInvalid(Exception):
    """The queue did not issue this receipt handle."""


class ReceiptHandleExpired(Exception):
    """The message is visible again, or a later receive replaced the handle."""


class MessageGone(Exception):
    """The message was deleted, so its visibility cannot be changed."""


class VisibilityTooLong(Exception):
    """The visibility timeout would exceed twelve hours."""


class _State(Enum):
    WAITING = auto()
    IN_FLIGHT = auto()
    DELAYED = auto()


@dataclass
class _Stored:
    number: int
    message_id: str
    body: str
    group: str | None
    deduplication_id: str | None
    attributes: dict[str, Any]
    sent_at: float
    state: _State = _State.WAITING
    due: float = 0.0
    receive_count: int = 0
    first_received_at: float = 0.0


@dataclass
class _Group:
    """The waiting messages of a group as a heap, and the number of its messages in flight."""

    waiting: list[int] = field(default_factory=list)
    in_flight: int = 0


class Engine:
    """The messages of a queue. Every method is atomic. Times are Unix seconds of ``clock``."""

    def __init__(
        self,
        *,
        fifo: bool = False,
        deduplicate_per_group: bool = False,
        retention: float = 345600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.retention = retention
        self.deduplicate_per_group = deduplicate_per_group
        self._fifo = fifo
        self._clock = clock
        self._changed = threading.Condition()
        self._clear()
        self._mark = uuid.uuid4().hex[:12]
        self._number = 0
        self._closed = False
        self._remembered: OrderedDict[tuple[str | None, str], tuple[float, Sent]] = OrderedDict()

    def _clear(self) -> None:
        self._messages: OrderedDict[int, _Stored] = OrderedDict()
        self._groups: dict[str | None, _Group] = {}
        self._ready: OrderedDict[str | None, None] = OrderedDict()
        self._due: list[tuple[float, int]] = []
        self._in_state = dict.fromkeys(_State, 0)

    def send(
        self,
        body: str,
        *,
        group: str | None = None,
        deduplication_id: str | None = None,
        delay: float = 0,
        attributes: dict[str, Any] | None = None,
    ) -> Sent:
        """Stores a message. A duplicate within five minutes gets the first message's answer and is dropped."""
        with self._changed:
            now = self._clock()
            key = (group if self.deduplicate_per_group else None, deduplication_id or "")
            if self._fifo:
                self._forget(now)
                if key in self._remembered:
                    return self._remembered[key][1]
            self._number += 1
            stored = _Stored(
                number=self._number,
                message_id=str(uuid.uuid4()),
                body=body,
                group=group,
                deduplication_id=deduplication_id,
                attributes=attributes or {},
                sent_at=now,
            )
            sent = Sent(stored.message_id, _sequence(stored.number))
            if self._fifo:
                self._remembered[key] = (now + DEDUPLICATION_SECONDS, sent)
            self._messages[stored.number] = stored
            self._in_state[_State.WAITING] += 1
            if delay > 0:
                self._park(stored, _State.DELAYED, now + delay)
            else:
                self._wait(stored)
            self._changed.notify_all()
            return sent

    def receive(self, count: int, *, visibility: float, wait: float = 0) -> list[Received]:
        """Returns up to ``count`` messages as soon as one is visible, or none after ``wait`` seconds."""
        with self._changed:
            deadline = self._clock() + wait
            while True:
                now = self._clock()
                self._advance(now)
                received = self._take(count, now, visibility)
                if received:
                    # Other receives wait until the first message is due; these messages may be due earlier.
                    self._changed.notify_all()
                if received or self._closed or now >= deadline:
                    return received
                next_due = self._due[0][0] if self._due else deadline
                self._changed.wait(max(0.001, min(deadline, next_due) - now))

    def receive_again(self, receipt_handles: list[str], visibility: float) -> list[Received]:
        """Returns the messages of an earlier receive with the same handles and a new visibility timeout.

        Returns none when one of them was deleted, is visible again or was received by another call.
        """
        with self._changed:
            found = [self._find(each) for each in receipt_handles]
            if not all(current and stored and stored.state is _State.IN_FLIGHT for stored, current in found):
                return []
            messages = [stored for stored, _ in found if stored]
            for stored in messages:
                stored.due = self._clock() + visibility
                heapq.heappush(self._due, (stored.due, stored.number))
            return [_received(stored, handle) for stored, handle in zip(messages, receipt_handles, strict=True)]

    def delete(self, receipt_handle: str) -> None:
        """Deletes a message, also twice. Raises ReceiptHandleInvalid and, on a FIFO queue, ReceiptHandleExpired."""
        with self._changed:
            stored, current = self._find(receipt_handle)
            if stored is None:
                return
            if not current:
                if self._fifo:
                    raise ReceiptHandleExpired
                # Another consumer has received the message: AWS answers with success and keeps it.
                return
            if self._fifo and stored.state is not _State.IN_FLIGHT:
                raise ReceiptHandleExpired
            self._drop(stored)
            self._changed.notify_all()

    def change_visibility(self, receipt_handle: str, seconds: float) -> None:
        """Changes the timeout of a message in flight.

        Raises ReceiptHandleInvalid, ReceiptHandleExpired, MessageGone or VisibilityTooLong.
        """
        with self._changed:
            stored, current = self._find(receipt_handle)
            if stored is None:
                raise MessageGone
            if not current or stored.state is not _State.IN_FLIGHT:
                raise ReceiptHandleExpired
            now = self._clock()
            if now + seconds - stored.first_received_at > _LONGEST_VISIBILITY + 1:
                raise VisibilityTooLong
            stored.due = now + seconds
            heapq.heappush(self._due, (stored.due, stored.number))
            self._advance(now)
            self._changed.notify_all()

    def purge(self) -> None:
        """Drops all messages, also those in flight. Deduplication still covers the last five minutes."""
        with self._changed:
            self._clear()

    def close(self) -> None:
        """Deletes the queue: drops everything and ends waiting receives."""
        with self._changed:
            self._closed = True
            self._clear()
            self._remembered.clear()
            self._changed.notify_all()

    def counts(self) -> Counts:
        with self._changed:
            self._advance(self._clock())
            state = self._in_state
            return Counts(state[_State.WAITING], state[_State.IN_FLIGHT], state[_State.DELAYED])

    def _forget(self, now: float) -> None:
        while self._remembered and next(iter(self._remembered.values()))[0] <= now:
            self._remembered.popitem(last=False)

    def _key(self, stored: _Stored) -> str | None:
        """The unit of order: the message's group, or None for the whole standard queue."""
        return stored.group if self._fifo else None

    def _wait(self, stored: _Stored) -> None:
        key = self._key(stored)
        group = self._groups.setdefault(key, _Group())
        heapq.heappush(group.waiting, stored.number)
        if not (self._fifo and group.in_flight):
            self._ready[key] = None

    def _park(self, stored: _Stored, state: _State, due: float) -> None:
        self._enter(stored, state)
        stored.due = due
        heapq.heappush(self._due, (due, stored.number))

    def _enter(self, stored: _Stored, state: _State) -> None:
        self._in_state[stored.state] -= 1
        self._in_state[state] += 1
        stored.state = state

    def _leave_flight(self, stored: _Stored) -> None:
        """Counts a message out of flight. The group becomes available when none of it is in flight."""
        key = self._key(stored)
        group = self._groups[key]
        group.in_flight -= 1
        if group.in_flight == 0 and group.waiting:
            self._ready[key] = None
        elif group.in_flight == 0:
            del self._groups[key]

    def _advance(self, now: float) -> None:
        """Makes due messages visible and drops messages older than the retention."""
        while self._due and self._due[0][0] <= now:
            due, number = heapq.heappop(self._due)
            stored = self._messages.get(number)
            # The heap also has outdated entries of changed or deleted messages; only the current due time counts.
            if stored is None or stored.due != due or stored.state is _State.WAITING:
                continue
            was_in_flight = stored.state is _State.IN_FLIGHT
            self._enter(stored, _State.WAITING)
            self._wait(stored)
            if was_in_flight:
                self._leave_flight(stored)
        while self._messages:
            oldest = next(iter(self._messages.values()))
            if oldest.sent_at + self.retention > now:
                break
            self._drop(oldest)

    def _drop(self, stored: _Stored) -> None:
        del self._messages[stored.number]
        self._in_state[stored.state] -= 1
        if stored.state is _State.IN_FLIGHT:
            self._leave_flight(stored)

    def _take(self, count: int, now: float, visibility: float) -> list[Received]:
        """Takes the messages of one group in order, then those of the next group."""
        received: list[Received] = []
        while self._ready and len(received) < count:
            key = next(iter(self._ready))
            group = self._groups[key]
            while group.waiting and len(received) < count:
                stored = self._messages.get(heapq.heappop(group.waiting))
                if stored is None or stored.state is not _State.WAITING:
                    continue
                group.in_flight += 1
                received.append(self._dispatch(stored, now, visibility))
            if self._fifo or not group.waiting:
                del self._ready[key]
            if not group.waiting and not group.in_flight:
                del self._groups[key]
        return received

    def _dispatch(self, stored: _Stored, now: float, visibility: float) -> Received:
        stored.receive_count += 1
        stored.first_received_at = stored.first_received_at or now
        self._park(stored, _State.IN_FLIGHT, now + visibility)
        return _received(stored, f"{self._mark}.{stored.number}.{stored.receive_count}.{uuid.uuid4().hex}")

    def _find(self, receipt_handle: str) -> tuple[_Stored | None, bool]:
        """Finds the message, None when it is gone, and whether the handle is from its latest receive."""
        self._advance(self._clock())
        parts = receipt_handle.split(".")
        if len(parts) != 4 or parts[0] != self._mark or not parts[1].isdigit() or not parts[2].isdigit():  # noqa: PLR2004  # the parts that _dispatch writes
            raise ReceiptHandleInvalid
        stored = self._messages.get(int(parts[1]))
        return stored, stored is not None and stored.receive_count == int(parts[2])


def _received(stored: _Stored, receipt_handle: str) -> Received:
    return Received(
        message_id=stored.message_id,
        receipt_handle=receipt_handle,
        body=stored.body,
        group=stored.group,
        deduplication_id=stored.deduplication_id,
        sequence_number=_sequence(stored.number),
        attributes=stored.attributes,
        sent_at=stored.sent_at,
        first_received_at=stored.first_received_at,
        receive_count=stored.receive_count,
    )


def _sequence(number: int) -> str:
    """A sequence number in AWS's format: twenty digits that grow with each message."""
    return f"{18850000000000000000 + number * 256:020d}"
