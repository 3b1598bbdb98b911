"""A FIFO queue like SQS's, with groups, visibility, receipts, deduplication and retention."""

import itertools
import math
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chalicelib.ports.clock import Clock

DEDUPLICATION = 300.0
RETENTION = 14 * 86400.0
"""Both in seconds, with the values of SQS."""


class Held(NamedTuple):
    """A received message. ``attempts`` begins at 1."""

    receipt: str
    name: str
    """Identifies the message, the same at each receive."""
    group: str
    body: str
    message_id: str
    sent_at: float
    attempts: int
    attributes: Mapping[str, str | None]
    """Further attributes: driver, validity and summary of a report, deduplication_id of a downlink."""


@dataclass
class _Stored:
    message: Held
    visible_at: float = 0.0


class Fifo:
    """A queue that blocks a group while one of its messages is in flight."""

    def __init__(self, visibility: float, clock: Clock) -> None:
        self._visibility = visibility
        self._clock = clock
        self._messages: dict[int, _Stored] = {}
        """By sequence number, therefore in order."""
        self._groups: dict[str, dict[int, None]] = defaultdict(dict)
        self._free: dict[str, None] = {}
        """The groups without a message in flight. A receive looks at no other one."""
        self._blocked: dict[str, float] = {}
        """Time until which a group has a message in flight."""
        self._next_free = math.inf
        """Time from which a blocked group may be free."""
        self._seen: dict[tuple[str, str], float] = {}
        self._receipts: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def send(
        self,
        body: str,
        group: str,
        message_id: str,
        deduplication_id: str,
        attributes: Mapping[str, str | None] | None = None,
    ) -> None:
        with self._lock:
            now = self._clock()
            if now - self._seen.get((group, deduplication_id), float("-inf")) < DEDUPLICATION:
                return
            self._seen[group, deduplication_id] = now
            number = next(self._numbers)
            held = Held("", f"m{number}", group, body, message_id, now, 0, attributes or {})
            self._messages[number] = _Stored(held)
            self._groups[group][number] = None
            if group not in self._blocked:
                self._free[group] = None

    def receive(self, limit: int) -> list[Held]:
        with self._lock:
            now = self._forget_old()
            if self._next_free <= now:
                for name in [name for name, until in self._blocked.items() if until <= now]:
                    self._place(name, now)
                self._next_free = min(self._blocked.values(), default=math.inf)
            visible = ((name, number) for name in self._free for number in self._groups[name])
            taken = list(itertools.islice(visible, min(limit, 10)))
            for name, _ in taken:
                self._free.pop(name, None)
            return [self._give(number, now) for _, number in taken]

    def _place(self, name: str, now: float) -> None:
        """Note whether a group is free now, or until when it is blocked."""
        self._blocked.pop(name, None)
        self._free.pop(name, None)
        if not self._groups[name]:
            del self._groups[name]
            return
        until = max(self._messages[number].visible_at for number in self._groups[name])
        if until <= now:
            self._free[name] = None
        else:
            self._block(name, until)

    def _block(self, name: str, until: float) -> None:
        self._blocked[name] = until
        self._next_free = min(self._next_free, until)

    def _give(self, number: int, now: float) -> Held:
        stored = self._messages[number]
        old = stored.message
        receipt = f"{number}.{old.attempts + 1}"
        stored.message = Held(
            receipt, old.name, old.group, old.body, old.message_id, old.sent_at, old.attempts + 1, old.attributes
        )
        self._receipts.pop(old.receipt, None)
        stored.visible_at = now + self._visibility
        self._block(old.group, stored.visible_at)
        self._receipts[receipt] = number
        return stored.message

    def _held(self, receipt: str, now: float) -> int | None:
        """The message's number while the receipt is valid, that is, until the message is visible again."""
        number = self._receipts.get(receipt)
        return None if number is None or self._messages[number].visible_at <= now else number

    def delete(self, receipts: Sequence[str]) -> None:
        with self._lock:
            now = self._clock()
            for receipt in receipts:
                number = self._held(receipt, now)
                if number is not None:
                    self._remove(number, now)

    def _remove(self, number: int, now: float) -> None:
        message = self._messages.pop(number).message
        self._receipts.pop(message.receipt, None)
        del self._groups[message.group][number]
        self._place(message.group, now)

    def change_visibility(self, receipts: Sequence[str], seconds: float) -> None:
        with self._lock:
            now = self._clock()
            for receipt in receipts:
                number = self._held(receipt, now)
                if number is not None:
                    stored = self._messages[number]
                    stored.visible_at = now + seconds
                    self._place(stored.message.group, now)

    def depth(self) -> tuple[int, int]:
        """(visible, in flight)."""
        with self._lock:
            now = self._forget_old()
            held = sum(stored.visible_at > now for stored in self._messages.values())
            return len(self._messages) - held, held

    def _forget_old(self) -> float:
        now = self._clock()
        for number in list(itertools.takewhile(lambda n: self._is_old(n, now), self._messages)):
            self._remove(number, now)
        return now

    def _is_old(self, number: int, now: float) -> bool:
        return now - self._messages[number].message.sent_at > RETENTION
