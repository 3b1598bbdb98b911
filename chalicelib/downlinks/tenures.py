"""Tenures: how polls take over connections from each other, with one consumer for each connection at any time."""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from ulid import ULID

from chalicelib.config import Timing
from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import Hold, Leases

HANDOVER_RETRY = 0.2
"""Seconds between reads of the lease of a poll that is about to release connections."""
HANDOVER_PATIENCE = 20.0
"""Seconds after the holder's renewal during which a waiting poll reads its lease at each ``HANDOVER_RETRY``."""
LEASE_RETRY = 1.0
"""Seconds between reads outside a hand-over, and after a failed call."""
NOTICE = 0.1
"""Seconds that the holder needs to close its first connections after the renewal."""
RELEASE_INTERVAL = 0.5
"""Seconds between two writes of released connections, which share a write."""


@dataclass(frozen=True)
class TenureContext:
    """Dependencies of ``Tenures``. ``began``: the start of the poll in Unix seconds; ``executor`` takes connections."""

    leases: Leases
    timing: Timing
    clock: Clock
    monotonic: Clock
    executor: Executor
    began: float
    make_owner: Callable[[], str] = lambda: str(ULID())


@dataclass
class Changes:
    """Results of a step, by connection id."""

    taken: list[str] = field(default_factory=list)
    asked: frozenset[str] = frozenset()
    """Held connections that another poll waits for: close them, then call ``closed``."""
    superseded: list[str] = field(default_factory=list)
    """Connections of another poll that began recently: leave them to it."""
    lost: list[str] = field(default_factory=list)
    """Connections that are not held any more, because the lease ended: close them."""
    released: list[str] = field(default_factory=list)


class Tenures:
    """One poll's lease, and its holds of connections.

    A poll consumes until its successor of the next minute asks for its connections. The successor learns from the lease
    when the holder renews it next, so it asks once and reads the lease only from that time on. Without a successor,
    because the schedule is late, the holder continues. Of two polls of the same minute the later one gives way, else
    duplicates of a poll job would take the connections from each other without end.

    One thread at a time calls ``step``; any thread may call the other methods.
    """

    def __init__(self, context: TenureContext, connection_ids: Iterable[str]) -> None:
        self._context = context
        self._waiting = dict.fromkeys(connection_ids)
        """Connections to take, in their order."""
        self._held: set[str] = set()
        self._closed: list[str] = []
        self._holds: dict[str, Hold] = {}
        """The holds of other polls on connections to take."""
        self._asked: dict[str, str] = {}
        """The poll that was asked for each connection."""
        self._handover_at = 0.0
        """Unix time at which a holder notices that it was asked."""
        self._owner = context.make_owner()
        self._begun = False
        self._ends_at = math.inf
        self._renews_at = self._looks_at = 0.0
        self._releases_at = 0.0
        self.next_at = 0.0
        """Monotonic time of the next step."""

    @property
    def expired(self) -> bool:
        """True if the lease may have ended, because no renewal succeeded in time."""
        return self._begun and self._context.monotonic() >= self._ends_at

    def holds(self, connection_id: str) -> bool:
        """Return whether this poll may consume the connection."""
        return connection_id in self._held and not self.expired

    def leave(self, connection_id: str) -> None:
        """Stop to wait for a connection."""
        self._waiting.pop(connection_id, None)

    def closed(self, connection_id: str) -> None:
        """Let the next step release a connection that this poll has closed."""
        self._closed.append(connection_id)
        self.next_at = min(self.next_at, max(self._releases_at, self._context.monotonic()))

    def step(self) -> Changes:
        """Renew the lease, release and take connections, whichever is due.

        Raises Unavailable; the step is then due again in a second, and the lease goes on until it expires.
        """
        now = self._context.monotonic()
        self.next_at = now + LEASE_RETRY
        changes = Changes()
        if not self._begun or now >= self._renews_at:
            self._renew(changes)
        self._release(changes)
        if self._waiting and now >= self._looks_at:
            self._looks_at = now + LEASE_RETRY
            self._look(changes)
        releases_at = self._releases_at if self._closed else math.inf
        self.next_at = min(self._renews_at, releases_at, self._looks_at if self._waiting else math.inf)
        return changes

    def end(self) -> None:
        """End the lease, and with it all holds. Raises Unavailable; the lease then expires."""
        self._held.clear()
        if self._begun:
            self._context.leases.end(self._owner)

    def _renew(self, changes: Changes) -> None:
        leases, now, wait = self._context.leases, self._context.monotonic(), self._renewal_in()
        renews_at = self._context.clock() + wait
        if not self._begun:
            leases.begin(self._owner, renews_at)
            self._begun = True
        else:
            asked = leases.renew(self._owner, renews_at, self._held)
            if asked is None:
                self._start_again(changes)
                return
            changes.asked = asked
        self._renews_at, self._ends_at = now + wait, now + self._context.timing.lease

    def _start_again(self, changes: Changes) -> None:
        """Forget all holds after the lease ended, and take the connections anew: others may have taken them."""
        changes.lost = [id_ for id_ in self._held if id_ not in self._closed]
        self._waiting = dict.fromkeys([*changes.lost, *self._waiting])
        changes.released = [id_ for id_ in self._held if id_ in self._closed]
        self._closed.clear()
        self._held.clear()
        self._holds.clear()
        self._asked.clear()
        self._owner, self._begun, self._renews_at = self._context.make_owner(), False, 0.0

    def _release(self, changes: Changes) -> None:
        now = self._context.monotonic()
        if not self._closed or not self._begun or now < self._releases_at:
            return
        self._releases_at = now + RELEASE_INTERVAL
        closed = list(self._closed)
        self._context.leases.release(self._owner, closed)
        del self._closed[: len(closed)]
        self._held.difference_update(closed)
        changes.released += closed

    def _look(self, changes: Changes) -> None:
        """Take the connections that are free, and ask for those of polls that began earlier."""
        waiting = list(self._waiting)
        # A hold is read once: the lease of its poll shows when it ends, and a write is conditional on the hold.
        unknown = [id_ for id_ in waiting if id_ not in self._holds]
        if unknown:
            self._holds |= self._context.leases.holds(unknown)
        free: list[tuple[str, str | None]] = []
        by_owner: dict[str, list[str]] = {}
        for id_ in waiting:
            if id_ not in self._holds or self._holds[id_].owner == self._owner:
                free.append((id_, None))
            else:
                by_owner.setdefault(self._holds[id_].owner, []).append(id_)
        for owner, ids in by_owner.items():
            free += [(id_, owner) for id_ in self._wait_for(owner, ids, changes)]
        self._take(free, changes)
        if self._waiting:
            self._looks_at = self._context.monotonic() + self._until_next_look()

    def _wait_for(self, owner: str, ids: Sequence[str], changes: Changes) -> Collection[str]:
        """Return the connections that ``owner`` released; ask for the others at the first time."""
        context, hold = self._context, self._holds[ids[0]]
        released: frozenset[str] = frozenset()
        renews_at = hold.renews_at
        if renews_at is not None:
            # A poll of an earlier release has no lease, so its holds are read at each look.
            for id_ in ids:
                self._holds.pop(id_, None)
        else:
            lease = context.leases.lease(owner, ids)
            if lease is None:
                return ids
            released, renews_at = lease.released, lease.renews_at
        left = [id_ for id_ in ids if id_ not in released]
        new = [id_ for id_ in left if self._asked.get(id_) != owner]
        if not new:
            return released
        recent = context.clock() - hold.began < context.timing.poll_period / 2
        superseded = [id_ for id_ in new if recent or id_ in self._asked]
        for id_ in superseded:
            self.leave(id_)
        changes.superseded += superseded
        wanted = [id_ for id_ in new if id_ not in superseded]
        if wanted and hold.renews_at is None:
            context.leases.ask(owner, wanted)
        elif wanted:
            for id_ in wanted:
                context.leases.ask_earlier_release(id_, owner)
        self._asked |= dict.fromkeys(wanted, owner)
        if wanted:
            # Not a later renewal: at this one the holder notices, and then it closes.
            self._handover_at = min(renews_at, context.clock() + context.timing.lease)
        return released

    def _take(self, free: Sequence[tuple[str, str | None]], changes: Changes) -> None:
        leases, hold = self._context.leases, Hold(self._owner, self._context.began)
        futures = [(id_, self._context.executor.submit(leases.take, id_, hold, before)) for id_, before in free]
        failure: Exception | None = None
        for id_, future in futures:
            error = future.exception()
            if error is not None:
                failure = error if isinstance(error, Exception) else failure
                self._holds.pop(id_, None)
            elif not future.result():
                # Another poll took it, or the hold of an earlier release ended meanwhile.
                self._holds.pop(id_, None)
            else:
                self.leave(id_)
                self._held.add(id_)
                changes.taken.append(id_)
        if failure and not changes.taken:
            raise failure

    def _until_next_look(self) -> float:
        """Return the seconds until the next look at connections that other polls hold."""
        left = self._handover_at - self._context.clock()
        if left > 0:
            return left + NOTICE
        return HANDOVER_RETRY if left > -HANDOVER_PATIENCE else LEASE_RETRY

    def _renewal_in(self) -> float:
        """Return the seconds until the next renewal; they are short once a successor is due."""
        interval = self._context.timing.lease_renewal
        successor_in = self._context.began + self._context.timing.poll_period + interval / 10 - self._context.clock()
        if successor_in <= 0:
            return interval / 4
        return successor_in if successor_in < 1.5 * interval else interval
