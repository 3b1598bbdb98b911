"""Once a minute: wakes for marks that are due, probes for broken brokers, and poll jobs for the consumers.

Beside these, every connection is looked at once in five minutes: should there be reports that nobody was told of (one
whose request was killed between queue and wake, or a queue whose depth was told wrongly), they get a wake, too.

It never connects to a broker, and is flat in memory: everything is paged.
"""

from collections.abc import Callable, Iterable, Iterator
from zlib import crc32

from chalicelib.adapters.aws.sqs import BATCH
from chalicelib.config import Timing
from chalicelib.domain.models import Connection
from chalicelib.domain.work_items import PollJob, PollTarget, Wake
from chalicelib.errors import NotFound, Unavailable
from chalicelib.monitoring import log
from chalicelib.ports.outside import Clock, ConnectionStore, PollQueue, UplinkQueues, WakeQueue
from chalicelib.upkeep.alarms import Alarms
from chalicelib.uplinks.retention import Retention

TARGETS_PER_JOB = 50
SWEEP_RUNS = 5
"""Every connection is looked at once in so many runs."""


class Reconciler:
    def __init__(
        self,
        connections: ConnectionStore,
        wakes: WakeQueue,
        polls: PollQueue,
        queues: UplinkQueues,
        finish: Callable[[], int],
        clock: Clock,
        timing: Timing,
        alarms: Alarms | None = None,
        retention: Retention | None = None,
    ) -> None:
        """``finish``: ends the creates and deletes that were killed, and says how many. ``alarms``: looks at alarms and
        certificates, ``retention`` at what has waited for long."""
        self._connections = connections
        self._wakes = wakes
        self._polls = polls
        self._queues = queues
        self._finish = finish
        self._clock = clock
        self._timing = timing
        self._alarms = alarms
        self._retention = retention
        self._concerned: list[Connection] = []

    def run(self) -> None:
        """Raises Unavailable when an AWS service fails, but only after all the rest was done; the next run goes on
        where this one stopped."""
        now = self._clock()
        self._concerned.clear()
        failure: Unavailable | None = None
        numbers: dict[str, int] = {}
        steps: dict[str, Callable[[], int]] = {
            "pollJobs": lambda: self._send_polls(now) if self._poll_is_due(now) else 0,
            "marks": lambda: self._send_marks(now),
            "probes": lambda: self._send_probes(now),
            "swept": lambda: self._sweep(now),
            "finished": self._finish,
            # Last, for messages do not wait for it.
            "alarms": self._check_alarms,
        }
        for name, step in steps.items():
            try:
                numbers[name] = step()
            except Unavailable as error:
                log.warning("reconciled in part", extra={"step": name, "reason": str(error)})
                failure = error
        log.info("reconciled", extra=numbers)
        if failure:
            raise failure

    def _check_alarms(self) -> int:
        if self._alarms is None:
            return 0
        for connection in self._concerned:
            self._alarms.check(connection)
        return len(self._concerned)

    def _send_marks(self, now: float) -> int:
        number = 0
        for part in _parts(self._connections.pending_wakes_due(now), BATCH):
            self._wakes.send([Wake(tenant=c.tenant, connection_id=c.id) for c in part])
            for connection in part:
                # Only the mark that was read: a newer one stands for something that this wake may come too early for.
                self._connections.clear_pending_wake(connection.tenant, connection.id, connection.wake_token or "")
            number += len(part)
        return number

    def _send_probes(self, now: float) -> int:
        number = 0
        for part in _parts(self._connections.probes_due(now), BATCH):
            self._wakes.send([Wake(tenant=c.tenant, connection_id=c.id, probe=c.epoch) for c in part])
            for connection in part:
                # Should the forwarder never come to it, the probe is due again when its wake would be.
                self._connections.postpone_probe(connection, now + self._timing.wake_visibility)
            number += len(part)
        return number

    def _sweep(self, now: float) -> int:
        """A fifth of the connections at each run, so that the calls are spread out."""
        number = 0
        for part in _parts((c for c in self._in_turn(now) if self._is_forgotten(c)), BATCH):
            log.warning("swept", extra={"connections": [c.id for c in part]})
            self._wakes.send([Wake(tenant=c.tenant, connection_id=c.id) for c in part])
            number += len(part)
        return number

    def _in_turn(self, now: float) -> Iterator[Connection]:
        turn = int(now / self._timing.schedule) % SWEEP_RUNS
        for connection in self._connections.all_active():
            if crc32(connection.id.encode()) % SWEEP_RUNS == turn:
                if self._retention is not None and connection.breaker_open:
                    self._retention.check(connection)
                yield connection

    def _is_forgotten(self, connection: Connection) -> bool:
        """Reports wait, and nothing is due that would have them sent."""
        if connection.breaker_open or connection.wake_at is not None or connection.probe_at is not None:
            return False
        try:
            return self._queues.depth(connection.id)[0] > 0
        except NotFound:
            return False

    def _poll_is_due(self, now: float) -> bool:
        """Each time; but where times are scaled so far that a poll lasts longer than a period, only as often."""
        period = self._timing.poll + 1
        return self._timing.schedule >= period or int(now / period) != int((now - self._timing.schedule) / period)

    def _send_polls(self, now: float) -> int:
        wanted = (c for c in self._all_active() if c.configuration.downlink_enabled and not c.breaker_open)
        number = 0
        for part in _parts(wanted, TARGETS_PER_JOB):
            targets = [PollTarget(tenant=c.tenant, connection_id=c.id) for c in part]
            self._polls.send(PollJob(sent_at=now, targets=targets))
            number += 1
        return number

    def _all_active(self) -> Iterator[Connection]:
        """Those with something to look at are kept for the end, so that all are read once only."""
        for connection in self._connections.all_active():
            if self._alarms is not None and self._alarms.concerns(connection):
                self._concerned.append(connection)
            yield connection


def _parts(items: Iterable[Connection], size: int) -> Iterator[list[Connection]]:
    part: list[Connection] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
