"""Tenures: how polls take over connections from each other, with one consumer for each connection at any time."""

from dataclasses import dataclass
from enum import StrEnum

from chalicelib.config import Timing
from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import LeaseAnswer, LeaseHolder, Leases

HANDOVER_RETRY = 0.2
"""Seconds between reads of a lease that its holder is about to release."""
HANDOVER_PATIENCE = 3.0
"""Seconds after the holder's renewal during which a waiting poll reads the lease at each ``HANDOVER_RETRY``."""
LEASE_RETRY = 1.0
"""Seconds between reads of a lease outside a hand-over, and after a failed call."""
NOTICE = 0.1
"""Seconds that the holder needs to close its connection after the renewal."""


class Step(StrEnum):
    """Results of a tenure's step."""

    WAITING = "WAITING"
    """Another poll holds the lease."""
    HELD = "HELD"
    ASKED_FOR = "ASKED_FOR"
    """The lease is held, and another poll waits for it: close the connection, then release the lease."""
    SUPERSEDED = "SUPERSEDED"
    """A poll that began recently holds the lease: leave the connection to it."""


@dataclass(frozen=True)
class TenureContext:
    """One poll's part of its tenures. ``owner`` identifies the poll; ``began`` is its start in Unix seconds."""

    leases: Leases
    timing: Timing
    clock: Clock
    monotonic: Clock
    owner: str
    began: float


class Tenure:
    """One poll's hold of one connection.

    A poll consumes until its successor of the next minute asks for the connection; the successor learns from the lease
    when the holder renews it next, so it asks once and reads the lease only around that time. Without a successor,
    because the schedule is late, the holder continues. Of two polls of the same minute the later one gives way, else
    duplicates of a poll job would take the connections from each other without end.
    """

    def __init__(self, context: TenureContext, connection_id: str) -> None:
        self._context = context
        self._connection_id = connection_id
        self._asked = ""
        self._handover_at = 0.0
        """Time in Unix seconds at which the holder notices that it was asked."""
        self.held = False
        self.next_at = 0.0
        """Monotonic time of the next step."""
        self._ends_at = 0.0

    @property
    def expired(self) -> bool:
        """True if the lease was held and may have ended, because no renewal succeeded in time."""
        return self.held and self._context.monotonic() >= self._ends_at

    def step(self) -> Step:
        """Renew the lease, or try to take it over. Raises Unavailable, after which the lease is uncertain."""
        self.next_at = self._context.monotonic() + LEASE_RETRY
        return self._acquire() if self.held else self._take_over()

    def release(self) -> None:
        """Release the lease if it is held. Raises Unavailable; the lease then expires."""
        if self.held:
            self.held = False
            self._context.leases.release(self._connection_id, self._context.owner)

    def _take_over(self) -> Step:
        context = self._context
        holder = context.leases.holder(self._connection_id)
        if holder is None or holder.owner == context.owner:
            # The lease is this poll's own after an acquisition whose answer was lost.
            return self._acquire()
        if not self._asked:
            if context.clock() - holder.began < context.timing.poll_period / 2:
                return Step.SUPERSEDED
            context.leases.ask(self._connection_id, holder.owner)
            self._asked = holder.owner
            # Not a later renewal: at this one the holder notices, and then it closes.
            self._handover_at = min(holder.renews_at, context.clock() + context.timing.lease)
        elif holder.owner != self._asked:
            return Step.SUPERSEDED
        self.next_at = context.monotonic() + self._until_next_read()
        return Step.WAITING

    def _until_next_read(self) -> float:
        """Return the seconds until the next read of a lease that another poll holds."""
        left = self._handover_at - self._context.clock()
        if left > 0:
            return left + NOTICE
        return HANDOVER_RETRY if left > -HANDOVER_PATIENCE else LEASE_RETRY

    def _acquire(self) -> Step:
        context = self._context
        now = context.monotonic()
        wait = self._renewal_in()
        answer = context.leases.acquire(
            self._connection_id, LeaseHolder(context.owner, context.began, context.clock() + wait)
        )
        self.held = answer is not LeaseAnswer.REFUSED
        if not self.held:
            return Step.WAITING
        self.next_at, self._ends_at = now + wait, now + context.timing.lease
        return Step.ASKED_FOR if answer is LeaseAnswer.ASKED_FOR else Step.HELD

    def _renewal_in(self) -> float:
        """Return the seconds until the next renewal; they are short once a successor is due."""
        interval = self._context.timing.lease_renewal
        successor_in = self._context.began + self._context.timing.poll_period + interval / 10 - self._context.clock()
        if successor_in <= 0:
            return interval / 4
        return successor_in if successor_in < 1.5 * interval else interval
