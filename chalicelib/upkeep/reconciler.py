"""Reconciler: the minutely run that sends due wakes, probes and poll jobs, and finds reports without a wake."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from chalicelib.config import Timing
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
from chalicelib.upkeep.survey import SWEEP_RUNS, Survey
from chalicelib.vocabulary import Metric

AT_ONCE = 200
"""Calls that are handed to the threads together."""
LOOK_AGAIN = 5.0
"""Seconds, before TIME_SCALE, after which a wake that was on its way at the first look has reached a forwarder."""

A = TypeVar("A")
R = TypeVar("R")


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
    executor: Executor
    """Threads for calls that wait for AWS."""
    sleep: Callable[[float], None] = time.sleep


class Reconciler:
    """Runs once a minute and makes sure that no stored report waits forever.

    It sends wakes for due pending wake-ups, probes for open breakers, and poll jobs for the consumers. Each run also
    sweeps a fifth of the connections for queued reports without a wake: a request may end between queue and wake, or
    SQS may report a wrong depth. It never connects to a broker. It reads the record of each connection once and keeps
    a few names of it, and its calls wait for AWS side by side.
    """

    def __init__(self, context: ReconcilerContext) -> None:
        self._context = context
        self._unchecked: Unavailable | None = None
        """The last failure of a check of one connection."""

    def run(self) -> None:
        """Run every step. Raises Unavailable after the last step if a step failed; the next run continues its work."""
        now = self._context.clock()
        survey = Survey(now, int(now / self._context.timing.schedule) % SWEEP_RUNS)
        self._unchecked = None
        failure: Unavailable | None = None
        numbers: dict[str, int] = {}
        steps: dict[str, Callable[[], int]] = {
            "marks": lambda: self._send_pending_wakes(now),
            "probes": lambda: self._send_probes(now),
            # A survey that fails in its middle leaves what it found to the next steps.
            "active": lambda: self._survey(survey),
            "pollJobs": lambda: self._send_polls(survey) if self._poll_is_due(now) else 0,
            "swept": lambda: self._sweep(survey),
            "finished": self._context.finish,
            "replayed": self._context.resume_replays,
            # Last, because no message waits for an alarm or a notification.
            "alarms": lambda: self._check_alarms(survey),
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

    def _survey(self, survey: Survey) -> int:
        number = 0
        for connection in self._context.connections.all_active():
            survey.note(connection, self._is_concerned)
            number += 1
        survey.gauges.write()
        return number

    def _is_concerned(self, connection: Connection) -> bool:
        with self._check("alarms", connection):
            return self._context.alarms.concerns(connection)
        return False

    def _check_alarms(self, survey: Survey) -> int:
        for connection in survey.concerned:
            with self._check("alarms", connection):
                self._context.alarms.check(connection)
        return len(survey.concerned)

    def _send_pending_wakes(self, now: float) -> int:
        number = 0
        for part in batched(self._context.connections.pending_wakes_due(now), AT_ONCE):
            self._wake([Wake(tenant=c.tenant, connection_id=c.id) for c in part])
            # Clear only the pending wake-up that was read: a newer one may be for reports that this wake is too early
            # for.
            self._side_by_side(
                lambda c: self._context.connections.clear_pending_wake(c.tenant, c.id, c.wake_token or ""), part
            )
            number += len(part)
        return number

    def _send_probes(self, now: float) -> int:
        number, later = 0, now + self._context.timing.wake_visibility
        for part in batched(self._context.connections.probes_due(now), AT_ONCE):
            self._wake([Wake(tenant=c.tenant, connection_id=c.id, probe=c.epoch) for c in part])
            # If the forwarder never handles the wake, the probe is due again after the wake's visibility timeout.
            self._side_by_side(lambda c: self._context.connections.postpone_probe(c, later), part)
            number += len(part)
        return number

    def _wake(self, wakes: Sequence[Wake]) -> None:
        for part in batched(wakes, BATCH):
            self._context.wakes.send(part)

    def _side_by_side(self, call: Callable[[A], R], arguments: Sequence[A]) -> list[R]:
        """Return the results of calls that wait for AWS at the same time. Raises what one of them raised."""
        futures = [self._context.executor.submit(call, argument) for argument in arguments]
        wait(futures)
        return [future.result() for future in futures]

    def _sweep(self, survey: Survey) -> int:
        """Send wakes for queued reports that may lack one, in a fifth of the connections, to spread the SQS calls.

        Return the number of connections that lacked one. Other reports are on their way: a forwarder has a socket for
        them, or their wake arrives while this run looks again.
        """
        for connection in survey.broken:
            with self._check("retention", connection):
                self._context.retention.check(connection)
        waiting = self._waiting(survey.swept)
        metrics.add(Metric.QUEUED, sum(depth for _, depth in waiting))
        quiet, busy = self._by_socket([target for target, _ in waiting])
        self._wake([Wake(tenant=target.tenant, connection_id=target.connection_id) for target in busy])
        forgotten = self._still_waiting(quiet)
        for part in batched(forgotten, BATCH):
            log.warning("swept", extra={"connections": [target.connection_id for target in part]})
        self._wake([Wake(tenant=target.tenant, connection_id=target.connection_id) for target in forgotten])
        metrics.add(Metric.SWEPT, len(forgotten))
        return len(forgotten)

    def _waiting(self, targets: Sequence[PollTarget]) -> list[tuple[PollTarget, int]]:
        """Return the connections with queued reports, and their number."""
        found = []
        for part in batched(targets, AT_ONCE):
            depths = self._side_by_side(self._depth, part)
            found += [(target, depth) for target, depth in zip(part, depths, strict=True) if depth]
        return found

    def _depth(self, target: PollTarget) -> int:
        try:
            return self._context.queues.depth(target.connection_id)[0]
        except NotFound:
            return 0

    def _by_socket(self, targets: Sequence[PollTarget]) -> tuple[list[PollTarget], list[PollTarget]]:
        """Return the connections without and with a forwarder that has a socket for them."""
        used = self._side_by_side(lambda target: self._context.slots.in_use(target.connection_id), targets)
        pairs = list(zip(targets, used, strict=True))
        return [target for target, busy in pairs if not busy], [target for target, busy in pairs if busy]

    def _still_waiting(self, targets: Sequence[PollTarget]) -> list[PollTarget]:
        if not targets:
            return []
        self._context.sleep(LOOK_AGAIN / self._context.timing.scale)
        return self._by_socket([target for target, _ in self._waiting(targets)])[0]

    def _poll_is_due(self, now: float) -> bool:
        """Return True in each run, unless scaled timing makes the period of polls longer than the schedule's."""
        period = self._context.timing.poll_period
        return self._context.timing.schedule >= period or int(now / period) != int(
            (now - self._context.timing.schedule) / period
        )

    def _send_polls(self, survey: Survey) -> int:
        jobs = [PollJob(sent_at=self._context.clock(), targets=targets) for targets in survey.jobs()]
        self._side_by_side(self._context.polls.send, jobs)
        return len(jobs)
