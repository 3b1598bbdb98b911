"""Polls: for most of a minute, one loop consumes the downlinks of up to fifty connections.

A lease per connection keeps it to one consumer at a time: schedules can fire twice, and the next job may come before
this one ends; it then waits for the lease, so that the connection is taken over without a gap.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from ulid import ULID

from chalicelib.config import Timing
from chalicelib.domain import breaker
from chalicelib.domain.models import Connection, ConnectionSecrets, Level
from chalicelib.domain.work_items import PollJob, PollTarget
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.errors import BrokerFault, NotFound, Unavailable
from chalicelib.monitoring import Monitoring, log
from chalicelib.ports.outside import (
    Clock,
    ConnectionStore,
    DownlinkConsumer,
    Leases,
    QueueRecord,
    ReceivedDownlink,
    SecretStore,
    Verdict,
)
from chalicelib.state import ConnectionState

LEASE_RETRY = 1.0
"""Seconds between attempts to take a lease that somebody else has."""
MAX_LOSSES = 3
"""How often a connection that was open is opened again in one poll."""


@dataclass(frozen=True)
class PollParts:
    """What every poll needs."""

    connections: ConnectionStore
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
    """What leases and deadlines are measured with; a simulation has its own."""


class Consumer:
    def __init__(self, parts: PollParts) -> None:
        self._parts = parts

    def handle(self, records: Sequence[QueueRecord], deadline: float) -> None:
        """``deadline``: time.monotonic() at which Lambda ends the function. Nothing of a poll job is ever repeated:
        the next minute brings another."""
        targets: dict[str, PollTarget] = {}
        for record in records:
            job = PollJob.model_validate_json(record.body)
            age = self._parts.clock() - job.sent_at
            if age > max(self._parts.timing.schedule, self._parts.timing.poll):
                log.info("old poll job dropped", extra={"age": round(age, 1)})
                continue
            targets.update({target.connection_id: target for target in job.targets})
        if targets:
            Poll(self._parts, list(targets.values())).run(deadline)


@dataclass
class _Seat:
    """One connection's place in a poll."""

    target: PollTarget
    connection: Connection | None = None
    """Set while it is open, or being opened."""
    leased: bool = False
    step_at: float = 0.0
    """time.monotonic() of its next step."""
    given_up: bool = False
    opened: bool = False
    losses: int = 0
    step: "Future[None] | None" = field(default=None, repr=False)


class Poll:
    """One invocation: supervises leases and records in threads, while the loop serves the brokers."""

    def __init__(self, parts: PollParts, targets: Sequence[PollTarget]) -> None:
        self._parts = parts
        self._owner = str(ULID())
        self._seats = {target.connection_id: _Seat(target) for target in targets}
        self._consumer = parts.make_consumer()
        self._closing = False

    def run(self, deadline: float) -> None:
        timing = self._parts.timing
        began = self._parts.monotonic()
        close_at = min(began + timing.poll_close, deadline - timing.spare)
        end = min(began + timing.poll, deadline - timing.spare / 2)
        try:
            self._consumer.run(close_at, end, self._on_batch, self._on_opened, self._on_fault, self._tick)
        finally:
            self._closing = True
            for seat in self._seats.values():
                if seat.step:
                    seat.step.exception()  # waits; it was logged where it was raised
            self._release()

    def _release(self) -> None:
        for seat in self._seats.values():
            if seat.leased:
                try:
                    self._parts.leases.release(seat.target.connection_id, self._owner)
                except Unavailable as error:
                    log.warning("lease not released, it ends by itself", extra={"reason": str(error)})

    def _tick(self) -> None:
        """Called by the loop several times a second; never waits."""
        now = self._parts.monotonic()
        for seat in self._seats.values():
            if seat.given_up or self._closing or now < seat.step_at or (seat.step and not seat.step.done()):
                continue
            seat.step_at = now + (self._parts.timing.lease_renewal if seat.leased else LEASE_RETRY)
            seat.step = self._parts.executor.submit(self._step, seat)

    def _step(self, seat: _Seat) -> None:
        """Takes or renews the lease, and follows what happens to the connection's record."""
        try:
            self._supervise(seat)
        except NotFound:
            if seat.connection:
                # It was deleted: as far as the broker lets us, its queue goes too.
                self._consumer.delete_queue(seat.target.connection_id)
            seat.given_up = True
        except Unavailable as error:
            # Without a sure lease nothing is consumed; what is not acknowledged goes back.
            log.warning("poll interrupted", extra={"connection": seat.target.connection_id, "reason": str(error)})
            self._close(seat)
        except Exception:  # noqa: BLE001
            # One connection's fault, known or not, must not end the poll of the others.
            log.exception("poll failed", extra={"connection": seat.target.connection_id})
            self._close(seat)
            seat.given_up = True

    def _close(self, seat: _Seat) -> None:
        if seat.connection:
            seat.connection = None
            self._consumer.close(seat.target.connection_id)

    def _supervise(self, seat: _Seat) -> None:
        tenant, connection_id = seat.target.tenant, seat.target.connection_id
        if not self._parts.leases.acquire(connection_id, self._owner):
            # Somebody else's: waited for, unless it was ours, which then consumes no more.
            self._close(seat)
            seat.leased = False
            return
        seat.leased = True
        current = self._parts.connections.get(tenant, connection_id)
        if not current.active or current.breaker_open or not current.configuration.downlink_enabled:
            self._close(seat)
            seat.given_up = True
            return
        before = seat.connection
        if before and before.version == current.version:
            return
        secrets = (
            self._parts.secrets.get(tenant, connection_id, current.secret_version)
            if current.secret_version
            else ConnectionSecrets()
        )
        if before:
            self._consumer.close(connection_id)
        seat.connection = current
        self._consumer.open(current, secrets, current.old_bindings)

    def _on_batch(self, connection_id: str, messages: Sequence[ReceivedDownlink]) -> Sequence[Verdict]:
        """Called in a thread."""
        seat = self._seats[connection_id]
        if seat.connection is None:
            return [Verdict.LATER] * len(messages)
        return self._parts.intake.take(seat.connection, messages)

    def _on_opened(self, connection_id: str) -> None:
        seat = self._seats[connection_id]
        seat.opened = True
        connection = seat.connection
        if connection and connection.old_bindings:
            self._parts.executor.submit(self._forget_old_bindings, connection)
        if connection and connection.state != ConnectionState.OPENED:
            self._parts.executor.submit(self._record, connection, None)

    def _on_fault(self, connection_id: str, fault: BrokerFault) -> None:
        seat = self._seats[connection_id]
        connection, seat.connection = seat.connection, None
        was_open, seat.opened = seat.opened, False
        if was_open and seat.losses < MAX_LOSSES:
            # A broker that restarts, or a queue that was deleted: opened again with the next renewal of the lease.
            seat.losses += 1
            log.info("downlink connection lost", extra={"connection": connection_id, "type": fault.type})
            return
        seat.given_up = True
        if connection:
            self._parts.executor.submit(self._record, connection, fault)

    def _forget_old_bindings(self, connection: Connection) -> None:
        try:
            self._parts.connections.forget_old_bindings(connection)
        except (NotFound, Unavailable) as error:
            # The next poll removes them again, which costs a round trip.
            log.warning("old bindings kept", extra={"connection": connection.id, "reason": str(error)})

    def _record(self, connection: Connection, fault: BrokerFault | None) -> None:
        """Closes or opens the breaker, unless the forwarder has changed it since."""
        now = self._parts.clock()
        try:
            current = self._parts.connections.get(connection.tenant, connection.id)
            if current.version != connection.version or current.breaker_open or not current.active:
                return
            if fault is None:
                if current.state == ConnectionState.OPENED:
                    return
                after = breaker.recovered(current, now, str(ULID()), wake_at=now)
            else:
                after = breaker.failed(current, fault, now, self._parts.random(), self._parts.timing.scale)
            if not self._parts.connections.update_breaker(after, current.epoch):
                return
        except (NotFound, Unavailable) as error:
            log.warning("state not recorded", extra={"connection": connection.id, "reason": str(error)})
            return
        if fault is None:
            self._parts.monitoring.event(after, Level.INFO, "OPENED", "The connection to the broker is open.")
        else:
            self._parts.monitoring.event(after, Level.ERROR, fault.type, str(fault), {"role": "downlink"})
