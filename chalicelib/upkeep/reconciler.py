"""Reconciler: the minutely run that sends due wakes, probes and poll jobs, and finds reports without a wake."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

from chalicelib.config import Timing
from chalicelib.domain import downlink_fault
from chalicelib.domain.connection import Connection
from chalicelib.domain.work_items import PollJob, PollTarget, Wake
from chalicelib.errors import NotFound, Unavailable
from chalicelib.kernel.batches import batched
from chalicelib.monitoring import log
from chalicelib.monitoring.metrics import metrics
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import DueConnections
from chalicelib.ports.coordination import Slots
from chalicelib.ports.queues import BATCH, PollQueue, UplinkQueues, WakeQueue
from chalicelib.vocabulary import ConnectionState, Metric

TARGETS_PER_JOB = 50
SWEEP_RUNS = 5
"""Number of runs in which every connection is swept once."""
LOOK_AGAIN = 5.0
"""Seconds, before TIME_SCALE, after which a wake that was on its way at the first look has reached a forwarder."""
_CERTIFICATE_ENDS = 7 * 86400.0
"""Seconds before a certificate's end from which the operator sees it."""


class AlarmChecks(Protocol):
    """Alarms, certificate notices and restarts of one connection."""

    def concerns(self, connection: Connection) -> bool:
        """Return whether ``check`` could have something to report."""

    def check(self, connection: Connection) -> None:
        """Report what is due."""


class RetentionChecks(Protocol):
    """Expiry of one connection's queued reports."""

    def check(self, connection: Connection) -> None:
        """Report and delete what is due."""


@dataclass(frozen=True)
class ReconcilerContext:
    """Dependencies of ``Reconciler``."""

    connections: DueConnections
    wakes: WakeQueue
    polls: PollQueue
    queues: UplinkQueues
    slots: Slots
    finish: Callable[[], int]
    resume_replays: Callable[[], int]
    clock: Clock
    timing: Timing
    alarms: AlarmChecks
    retention: RetentionChecks
    send_notifications: Callable[[], int]
    """Start the sending of due notifications and return their number. Raises Unavailable."""
    sleep: Callable[[float], None] = time.sleep


class _Gauges:
    """Sums over the active connections of one run."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.tenants: set[str] = set()
        self.broken: set[str] = set()
        self.breakers = 0
        self.ending = 0
        self.overdue = 0.0

    def note(self, connection: Connection, now: float) -> None:
        self.states[connection.state] += 1
        self.tenants.add(connection.tenant)
        if connection.breaker_open:
            self.breakers += 1
            self.broken.add(connection.tenant)
        if connection.certificate_ends is not None and 0 < connection.certificate_ends - now <= _CERTIFICATE_ENDS:
            self.ending += 1
        if connection.wake_at is not None:
            self.overdue = max(self.overdue, now - connection.wake_at)

    def write(self) -> None:
        for state in ConnectionState:
            metrics.add(Metric.CONNECTIONS, self.states[state], of=state.value)
        metrics.add(Metric.BREAKERS_OPEN, self.breakers)
        metrics.add(Metric.TENANTS, len(self.tenants))
        metrics.add(Metric.TENANTS_BROKEN, len(self.broken))
        metrics.add(Metric.CERTIFICATES_ENDING, self.ending)
        metrics.add(Metric.WAKE_OVERDUE, self.overdue)


class Reconciler:
    """Runs once a minute and makes sure that no stored report waits forever.

    It sends wakes for due pending wake-ups, probes for open breakers, and poll jobs for the consumers. Each run also
    sweeps a fifth of the connections for queued reports without a wake: a request may end between queue and wake, or
    SQS may report a wrong depth. It never connects to a broker and pages every list, so its memory use is constant.
    """

    def __init__(self, context: ReconcilerContext) -> None:
        self._context = context
        self._concerned: list[Connection] = []
        self._unchecked: Unavailable | None = None
        """The last failure of a check of one connection."""

    def run(self) -> None:
        """Run every step. Raises Unavailable after the last step if a step failed; the next run continues its work."""
        now = self._context.clock()
        self._concerned.clear()
        self._unchecked = None
        failure: Unavailable | None = None
        numbers: dict[str, int] = {}
        steps: dict[str, Callable[[], int]] = {
            "pollJobs": lambda: self._send_polls(now) if self._poll_is_due(now) else 0,
            "marks": lambda: self._send_pending_wakes(now),
            "probes": lambda: self._send_probes(now),
            "swept": lambda: self._sweep(now),
            "finished": self._context.finish,
            "replayed": self._context.resume_replays,
            # Last, because no message waits for an alarm or a notification.
            "alarms": self._check_alarms,
            "notifications": self._context.send_notifications,
        }
        for name, step in steps.items():
            try:
                numbers[name] = step()
            except Unavailable as error:
                log.warning("reconciler step failed", extra={"step": name, "reason": str(error)})
                failure = error
            except Exception:  # noqa: BLE001
                # One step's error must not stop the others.
                log.exception("reconciler step failed", extra={"step": name})
                failure = Unavailable(f"the step {name} failed")
        log.info("reconciled", extra=numbers)
        metrics.add(Metric.RECONCILER_DURATION, self._context.clock() - now)
        failure = failure or self._unchecked
        if failure:
            raise failure

    @contextmanager
    def _check(self, name: str, connection: Connection) -> Iterator[None]:
        """Keep an error of one connection's check from stopping the checks of the others."""
        try:
            yield
        except Unavailable as error:
            log.warning(f"{name} not checked", extra={"connection": connection.id, "reason": str(error)})
            self._unchecked = error
        except Exception:  # noqa: BLE001
            # A value that another release stored may raise at every run, so it is logged and does not fail the run.
            log.exception(f"{name} not checked", extra={"connection": connection.id})

    def _check_alarms(self) -> int:
        for connection in self._concerned:
            with self._check("alarms", connection):
                self._context.alarms.check(connection)
        return len(self._concerned)

    def _send_pending_wakes(self, now: float) -> int:
        number = 0
        for part in batched(self._context.connections.pending_wakes_due(now), BATCH):
            self._context.wakes.send([Wake(tenant=c.tenant, connection_id=c.id) for c in part])
            for connection in part:
                # Clear only the pending wake-up that was read: a newer one may be for reports that this wake is too
                # early for.
                self._context.connections.clear_pending_wake(
                    connection.tenant, connection.id, connection.wake_token or ""
                )
            number += len(part)
        return number

    def _send_probes(self, now: float) -> int:
        number = 0
        for part in batched(self._context.connections.probes_due(now), BATCH):
            self._context.wakes.send([Wake(tenant=c.tenant, connection_id=c.id, probe=c.epoch) for c in part])
            for connection in part:
                # If the forwarder never handles the wake, the probe is due again after the wake's visibility timeout.
                self._context.connections.postpone_probe(connection, now + self._context.timing.wake_visibility)
            number += len(part)
        return number

    def _sweep(self, now: float) -> int:
        """Send wakes for queued reports that may lack one, in a fifth of the connections, to spread the SQS calls.

        Return the number of connections that lacked one. Other reports are on their way: a forwarder has a socket for
        them, or their wake arrives while this run looks again.
        """
        quiet: list[Connection] = []
        for part in batched((c for c in self._in_turn(now) if self._is_waiting(c)), BATCH):
            busy = [c for c in part if self._context.slots.in_use(c.id)]
            quiet += [c for c in part if c not in busy]
            self._wake(busy)
        forgotten = self._still_waiting(quiet)
        for part in batched(forgotten, BATCH):
            log.warning("swept", extra={"connections": [c.id for c in part]})
            self._wake(part)
        metrics.add(Metric.SWEPT, len(forgotten))
        return len(forgotten)

    def _wake(self, connections: Sequence[Connection]) -> None:
        if connections:
            self._context.wakes.send([Wake(tenant=c.tenant, connection_id=c.id) for c in connections])

    def _still_waiting(self, connections: Sequence[Connection]) -> list[Connection]:
        if not connections:
            return []
        self._context.sleep(LOOK_AGAIN / self._context.timing.scale)
        return [c for c in connections if self._waiting(c) and not self._context.slots.in_use(c.id)]

    def _in_turn(self, now: float) -> Iterator[Connection]:
        """Yield this run's fifth of the active connections; check the retention of those with an open breaker."""
        turn = int(now / self._context.timing.schedule) % SWEEP_RUNS
        gauges = _Gauges()
        for connection in self._context.connections.all_active():
            gauges.note(connection, now)
            if crc32(connection.id.encode()) % SWEEP_RUNS == turn:
                if connection.breaker_open:
                    with self._check("retention", connection):
                        self._context.retention.check(connection)
                yield connection
        gauges.write()

    def _is_waiting(self, connection: Connection) -> bool:
        visible = self._waiting(connection)
        metrics.add(Metric.QUEUED, visible)
        return visible > 0

    def _waiting(self, connection: Connection) -> int:
        """Return the number of queued reports, 0 if a pending wake-up or a probe is scheduled for them."""
        if connection.breaker_open or connection.wake_at is not None or connection.probe_at is not None:
            return 0
        try:
            return self._context.queues.depth(connection.id)[0]
        except NotFound:
            return 0

    def _poll_is_due(self, now: float) -> bool:
        """Return True in each run, unless scaled timing makes the period of polls longer than the schedule's."""
        period = self._context.timing.poll_period
        return self._context.timing.schedule >= period or int(now / period) != int(
            (now - self._context.timing.schedule) / period
        )

    def _send_polls(self, now: float) -> int:
        wanted = (c for c in self._all_active() if downlink_fault.poll_is_due(c, now))
        number = 0
        for part in batched(wanted, TARGETS_PER_JOB):
            targets = [PollTarget(tenant=c.tenant, connection_id=c.id) for c in part]
            self._context.polls.send(PollJob(sent_at=now, targets=targets))
            number += 1
        return number

    def _all_active(self) -> Iterator[Connection]:
        """Yield all active connections and remember those to check for alarms, which saves a second read."""
        for connection in self._context.connections.all_active():
            with self._check("alarms", connection):
                if self._context.alarms.concerns(connection):
                    self._concerned.append(connection)
            yield connection
