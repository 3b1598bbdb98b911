"""Polls: one loop consumes the downlinks of up to 200 connections until the next minute's poll takes them over.

Leases restrict each connection to one consumer: a schedule may fire twice, and the next poll starts while the current
one consumes. ``tenures`` has the hand-over of connections from poll to poll.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial

from pydantic import ValidationError

from chalicelib.config import Timing
from chalicelib.domain import downlink_fault
from chalicelib.domain.connection import Connection
from chalicelib.domain.work_items import PollJob, PollTarget
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.downlinks.state_recorder import DownlinkStateRecorder
from chalicelib.downlinks.tenures import TenureContext, Tenures
from chalicelib.errors import BrokerFault, NotFound, Unavailable
from chalicelib.monitoring import Monitoring, log
from chalicelib.monitoring.metrics import metrics
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import PolledConnections
from chalicelib.ports.consuming import DownlinkConsumer, ReceivedDownlink, Verdict
from chalicelib.ports.coordination import Leases
from chalicelib.ports.queues import QueueRecord
from chalicelib.ports.secrets import SecretStore
from chalicelib.vocabulary import Metric

MAX_LOSSES = 3
"""Number of times that one poll opens a lost connection again."""


PACE = 3
"""Connections that a poll closes in one turn, five turns a second, for its successor: a small function has a part of a
core, and would open more at a time later than a second after they were closed."""

RECORDS_AT_ONCE = 12
"""Records that a poll reads at a time."""


@dataclass(frozen=True)
class PollContext:
    """Dependencies of ``PollHandler`` and ``Poll``."""

    connections: PolledConnections
    secrets: SecretStore
    leases: Leases
    intake: DownlinkIntake
    monitoring: Monitoring
    make_consumer: Callable[[], DownlinkConsumer]
    executor: Executor
    clock: Clock
    random: Callable[[], float]
    timing: Timing
    monotonic: Clock = time.monotonic
    """Measures leases and deadlines, in seconds; a simulation passes another clock."""


class PollHandler:
    """Queue handler of poll jobs: runs one ``Poll`` per invocation and drops stale jobs, which have a successor."""

    def __init__(self, context: PollContext) -> None:
        self._context = context

    def handle(self, records: Sequence[QueueRecord], deadline: float) -> None:
        """Poll the connections of the jobs. Lambda ends the function at ``deadline`` (monotonic).

        A failed job is not repeated, because the reconciler sends a new one every minute. Raises Unavailable after
        the poll if a job is unreadable, so that SQS keeps it and the function's errors show it.
        """
        targets: dict[str, PollTarget] = {}
        unreadable = 0
        for record in records:
            try:
                job = PollJob.model_validate_json(record.body)
            except ValidationError:
                metrics.add(Metric.UNREADABLE)
                log.exception("unreadable poll job kept", extra={"messageId": record.message_id})
                unreadable += 1
                continue
            age = self._context.clock() - job.sent_at
            if age > self._context.timing.poll_period:
                log.info("old poll job dropped", extra={"age": round(age, 1)})
                continue
            targets.update({target.connection_id: target for target in job.targets})
        if targets:
            Poll(self._context, list(targets.values())).run(deadline)
        if unreadable:
            raise Unavailable(f"{unreadable} poll job(s) are unreadable and are kept until their retention ends")


@dataclass
class _PolledConnection:
    """State of one connection within a poll."""

    target: PollTarget
    connection: Connection | None = None
    """Set while the connection is open or being opened."""
    record_at: float = 0.0
    """Monotonic time of the next read of the connection's record; infinity until the record changes."""
    given_up: bool = False
    """True once the connection is another poll's, or is not consumed any more in this poll."""
    left: bool = False
    """True once another poll may have the connection."""
    opened: bool = False
    losses: int = 0
    step: "Future[None] | None" = field(default=None, repr=False)


class Poll:
    """One run over up to 200 connections: threads follow leases and records, one loop serves the brokers.

    It opens a connection only while it holds it. It stops consuming when another poll asks for the connection, when its
    lease ends, and when the record shows that the connection is inactive or its broker is down. It ends when it has
    left all connections. A fault of one connection never ends the others' poll.

    A record is read once. It is read again when the tenant's generation has grown, which each change of a connection
    by the API does, and before the connection is opened again.
    """

    def __init__(self, context: PollContext, targets: Sequence[PollTarget]) -> None:
        self._context = context
        self._polled = {target.connection_id: _PolledConnection(target) for target in targets}
        own = TenureContext(
            context.leases, context.timing, context.clock, context.monotonic, context.executor, context.clock()
        )
        self._tenures = Tenures(own, self._polled)
        self._generations: dict[str, int] = {}
        self._generations_at = 0.0
        self._lease_step: Future[None] | None = None
        self._giving: deque[str] = deque()
        """Connections that another poll asked for and that are still open."""
        self._consumer = context.make_consumer()
        self._closing = False
        self._recorder = DownlinkStateRecorder(
            context.connections, context.monitoring, context.clock, context.random, context.timing
        )

    def run(self, deadline: float) -> None:
        """Consume until the poll's time has passed or ``deadline`` (monotonic) is near, then end the lease."""
        timing = self._context.timing
        began = self._context.monotonic()
        close_at = min(began + timing.poll_close, deadline - timing.spare)
        end = min(began + timing.poll, deadline - timing.spare / 2)
        try:
            self._consumer.run(close_at, end, self._on_batch, self._on_opened, self._on_fault, self._tick)
        finally:
            self._closing = True
            for step in (self._lease_step, *(polled.step for polled in self._polled.values())):
                if step:
                    step.exception()  # waits for the step, which logs its own exceptions
            try:
                self._tenures.end()
            except Unavailable as error:
                log.warning("lease not ended, it will expire", extra={"reason": str(error)})

    def _tick(self) -> None:
        """Start the steps that are due. The loop calls this several times a second, so it never blocks."""
        now = self._context.monotonic()
        if self._tenures.expired:
            for polled in self._polled.values():
                self._close(polled)
        if now >= min(self._tenures.next_at, self._generations_at) and _ended(self._lease_step):
            self._lease_step = self._submit(self._follow)
        for _ in range(min(PACE, len(self._giving))):
            self._give_up(self._polled[self._giving.popleft()])
        # Some threads stay free for the lease.
        free = RECORDS_AT_ONCE - sum(not _ended(polled.step) for polled in self._polled.values())
        for polled in self._polled.values():
            due = now >= polled.record_at and not polled.given_up and _ended(polled.step)
            if free > 0 and due and self._tenures.holds(polled.target.connection_id):
                polled.step = self._submit(partial(self._step, polled))
                free -= 1
        if all(polled.left for polled in self._polled.values()):
            self._consumer.finish()

    def _submit(self, step: Callable[[], None]) -> "Future[None] | None":
        return None if self._closing else self._context.executor.submit(step)

    def _follow(self) -> None:
        """Follow the lease, the holds of the connections and the generations of their tenants."""
        try:
            if self._context.monotonic() >= self._generations_at:
                self._follow_generations()
            changes = self._tenures.step()
        except Unavailable as error:
            # The lease goes on until it expires; then the connections are closed.
            log.warning("poll interrupted", extra={"reason": str(error)})
            return
        except Exception:  # noqa: BLE001
            # An unforeseen error must not end the poll while its lease goes on.
            log.exception("poll step failed")
            return
        for connection_id in changes.lost:
            self._close(self._polled[connection_id])
        for connection_id in (*changes.superseded, *changes.released):
            polled = self._polled[connection_id]
            polled.given_up = polled.left = True
        asked = [id_ for id_ in self._polled if id_ in changes.asked and not self._polled[id_].given_up]
        self._giving.extend(id_ for id_ in asked if id_ not in self._giving)
        for connection_id, polled in self._polled.items():
            # The successor may leave out connections because they are down, which grows no generation.
            if asked and connection_id not in changes.asked:
                polled.record_at = 0.0

    def _follow_generations(self) -> None:
        self._generations_at = self._context.monotonic() + self._context.timing.recheck
        tenants = {polled.target.tenant for polled in self._polled.values() if not polled.given_up}
        for tenant, generation in self._context.connections.generations(tenants).items():
            known = self._generations.get(tenant)
            # A read may be answered by a replica that lags behind.
            if known is None or generation > known:
                self._generations[tenant] = generation
                for polled in self._polled.values():
                    if polled.target.tenant == tenant:
                        polled.record_at = 0.0

    def _step(self, polled: _PolledConnection) -> None:
        """Apply the connection's record."""
        polled.record_at = math.inf
        try:
            self._apply_record(polled)
        except NotFound:
            if polled.connection:
                # The connection was deleted: delete its downlink queue too, if the broker permits it.
                self._consumer.delete_queue(polled.target.connection_id)
            polled.given_up = True
            self._tenures.closed(polled.target.connection_id)
        except Unavailable as error:
            log.warning("record not read", extra={"connection": polled.target.connection_id, "reason": str(error)})
            self._read_again(polled)
        except Exception:  # noqa: BLE001
            # An unforeseen error of one connection must not end the poll of the others.
            log.exception("poll failed", extra={"connection": polled.target.connection_id})
            self._give_up(polled)

    def _read_again(self, polled: _PolledConnection) -> None:
        polled.record_at = self._context.monotonic() + self._context.timing.recheck

    def _close(self, polled: _PolledConnection) -> None:
        if polled.connection:
            polled.connection = None
            polled.record_at = 0.0
            self._consumer.close(polled.target.connection_id)

    def _give_up(self, polled: _PolledConnection) -> None:
        """Leave the connection: close it in order, with its unsettled downlinks handled, then release it."""
        connection_id = polled.target.connection_id
        if not polled.given_up:
            polled.given_up = True
            self._consumer.close(connection_id, lambda: self._tenures.closed(connection_id))

    def _apply_record(self, polled: _PolledConnection) -> None:
        """Open the connection, open it again after a change, or give it up if the record says so."""
        connection_id = polled.target.connection_id
        current = self._context.connections.get(polled.target.tenant, connection_id)
        if not downlink_fault.poll_is_due(current, self._context.clock()):
            polled.connection = None
            self._give_up(polled)
            return
        before = polled.connection
        if before and before.version == current.version:
            return
        try:
            secrets = self._context.secrets.of(current)
        except NotFound:
            # The secret was replaced after the record was read: the next read of the record has its successor.
            self._read_again(polled)
            return
        if not self._tenures.holds(connection_id):
            return
        if before:
            self._consumer.close(connection_id)
        polled.connection = current
        self._consumer.open(current, secrets, current.old_bindings)

    def _on_batch(self, connection_id: str, messages: Sequence[ReceivedDownlink]) -> Sequence[Verdict]:
        """Return a verdict for each downlink. Runs in a thread of the consumer."""
        polled = self._polled[connection_id]
        if polled.connection is None:
            return [Verdict.LATER] * len(messages)
        return self._context.intake.accept(polled.connection, messages)

    def _on_opened(self, connection_id: str) -> None:
        polled = self._polled[connection_id]
        polled.opened = True
        connection = polled.connection
        if connection and connection.old_bindings:
            self._context.executor.submit(self._forget_old_bindings, connection)
        if connection and not self._recorder.is_recorded(connection):
            self._context.executor.submit(self._recorder.opened, connection)

    def _on_fault(self, connection_id: str, fault: BrokerFault) -> None:
        polled = self._polled[connection_id]
        connection, polled.connection = polled.connection, None
        was_open, polled.opened = polled.opened, False
        if was_open and polled.losses < MAX_LOSSES:
            # The broker restarted or the queue was deleted: the next read of the record opens the connection again.
            polled.losses += 1
            self._read_again(polled)
            log.info("downlink connection lost", extra={"connection": connection_id, "type": fault.type})
            return
        self._give_up(polled)
        if connection:
            self._context.executor.submit(self._recorder.failed, connection, fault)

    def _forget_old_bindings(self, connection: Connection) -> None:
        try:
            self._context.connections.forget_old_bindings(connection)
        except (NotFound, Unavailable) as error:
            # The next poll unbinds them again, at the cost of one round trip.
            log.warning("old bindings kept", extra={"connection": connection.id, "reason": str(error)})


def _ended(step: "Future[None] | None") -> bool:
    return step is None or step.done()
