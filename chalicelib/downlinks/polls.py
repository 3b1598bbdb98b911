"""Polls: for most of a minute, one loop consumes the downlinks of up to fifty connections.

A lease restricts each connection to one consumer: a schedule may fire twice, and the next job may arrive before the
current one ends. The later poll waits for the lease and then takes the connection over without a gap.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from ulid import ULID

from chalicelib.config import Timing
from chalicelib.domain import downlink_fault
from chalicelib.domain.connection import Connection
from chalicelib.domain.work_items import PollJob, PollTarget
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.downlinks.state_recorder import DownlinkStateRecorder
from chalicelib.errors import BrokerFault, NotFound, Unavailable
from chalicelib.monitoring import Monitoring, log
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import PolledConnections
from chalicelib.ports.consuming import DownlinkConsumer, ReceivedDownlink, Verdict
from chalicelib.ports.coordination import Leases
from chalicelib.ports.queues import QueueRecord
from chalicelib.ports.secrets import SecretStore

LEASE_RETRY = 1.0
"""Seconds between attempts to acquire a lease that another consumer holds."""
MAX_LOSSES = 3
"""Number of times that one poll opens a lost connection again."""


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

        A failed job is not repeated, because the reconciler sends a new one every minute.
        """
        targets: dict[str, PollTarget] = {}
        for record in records:
            job = PollJob.model_validate_json(record.body)
            age = self._context.clock() - job.sent_at
            if age > max(self._context.timing.schedule, self._context.timing.poll):
                log.info("old poll job dropped", extra={"age": round(age, 1)})
                continue
            targets.update({target.connection_id: target for target in job.targets})
        if targets:
            Poll(self._context, list(targets.values())).run(deadline)


@dataclass
class _PolledConnection:
    """State of one connection within a poll."""

    target: PollTarget
    connection: Connection | None = None
    """Set while the connection is open or being opened."""
    leased: bool = False
    step_at: float = 0.0
    """Monotonic time of the next step."""
    given_up: bool = False
    opened: bool = False
    losses: int = 0
    step: "Future[None] | None" = field(default=None, repr=False)


class Poll:
    """One run over up to fifty connections: threads follow leases and records, one loop serves the brokers.

    It opens a connection only while it holds the connection's lease. Each renewal stops consuming if the lease was
    lost, the connection is inactive or its broker is down. A fault of one connection never ends the others' poll.
    """

    def __init__(self, context: PollContext, targets: Sequence[PollTarget]) -> None:
        self._context = context
        self._owner = str(ULID())
        self._polled = {target.connection_id: _PolledConnection(target) for target in targets}
        self._consumer = context.make_consumer()
        self._closing = False
        self._recorder = DownlinkStateRecorder(
            context.connections, context.monitoring, context.clock, context.random, context.timing
        )

    def run(self, deadline: float) -> None:
        """Consume until the poll's time has passed or ``deadline`` (monotonic) is near, then release all leases."""
        timing = self._context.timing
        began = self._context.monotonic()
        close_at = min(began + timing.poll_close, deadline - timing.spare)
        end = min(began + timing.poll, deadline - timing.spare / 2)
        try:
            self._consumer.run(close_at, end, self._on_batch, self._on_opened, self._on_fault, self._tick)
        finally:
            self._closing = True
            for polled in self._polled.values():
                if polled.step:
                    polled.step.exception()  # waits for the step, which logs its own exceptions
            self._release()

    def _release(self) -> None:
        for polled in self._polled.values():
            if polled.leased:
                try:
                    self._context.leases.release(polled.target.connection_id, self._owner)
                except Unavailable as error:
                    log.warning("lease not released, it will expire", extra={"reason": str(error)})

    def _tick(self) -> None:
        """Start the steps that are due. The loop calls this several times a second, so it never blocks."""
        now = self._context.monotonic()
        for polled in self._polled.values():
            if polled.given_up or self._closing or now < polled.step_at or (polled.step and not polled.step.done()):
                continue
            polled.step_at = now + (self._context.timing.lease_renewal if polled.leased else LEASE_RETRY)
            polled.step = self._context.executor.submit(self._step, polled)

    def _step(self, polled: _PolledConnection) -> None:
        """Acquire or renew the lease, and apply changes of the connection's record."""
        try:
            self._supervise(polled)
        except NotFound:
            if polled.connection:
                # The connection was deleted: delete its downlink queue too, if the broker permits it.
                self._consumer.delete_queue(polled.target.connection_id)
            polled.given_up = True
        except Unavailable as error:
            # The lease is uncertain, so consuming stops; the broker requeues the unacknowledged downlinks.
            log.warning("poll interrupted", extra={"connection": polled.target.connection_id, "reason": str(error)})
            self._close(polled)
        except Exception:  # noqa: BLE001
            # An unforeseen error of one connection must not end the poll of the others.
            log.exception("poll failed", extra={"connection": polled.target.connection_id})
            self._close(polled)
            polled.given_up = True

    def _close(self, polled: _PolledConnection) -> None:
        if polled.connection:
            polled.connection = None
            self._consumer.close(polled.target.connection_id)

    def _supervise(self, polled: _PolledConnection) -> None:
        tenant, connection_id = polled.target.tenant, polled.target.connection_id
        if not self._context.leases.acquire(connection_id, self._owner):
            # Another consumer holds the lease: stop consuming, and try to acquire the lease again later.
            self._close(polled)
            polled.leased = False
            return
        polled.leased = True
        current = self._context.connections.get(tenant, connection_id)
        if not downlink_fault.poll_is_due(current, self._context.clock()):
            self._close(polled)
            polled.given_up = True
            return
        before = polled.connection
        if before and before.version == current.version:
            return
        secrets = self._context.secrets.of(current)
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
            # The broker restarted or the queue was deleted: the next lease renewal opens the connection again.
            polled.losses += 1
            log.info("downlink connection lost", extra={"connection": connection_id, "type": fault.type})
            return
        polled.given_up = True
        if connection:
            self._context.executor.submit(self._recorder.failed, connection, fault)

    def _forget_old_bindings(self, connection: Connection) -> None:
        try:
            self._context.connections.forget_old_bindings(connection)
        except (NotFound, Unavailable) as error:
            # The next poll unbinds them again, at the cost of one round trip.
            log.warning("old bindings kept", extra={"connection": connection.id, "reason": str(error)})
