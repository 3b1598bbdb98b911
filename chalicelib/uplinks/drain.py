"""Drain of one connection's queue: receive, publish and settle its reports, and decide about their wakes."""

from collections import Counter
from collections.abc import Iterator, Sequence

from ulid import ULID

from chalicelib.domain import breaker
from chalicelib.domain.connection import Connection
from chalicelib.domain.delivery import Outcome, Result
from chalicelib.domain.work_items import Wake
from chalicelib.errors import BrokerFault, BrokerUnreachable, NotFound, Unavailable
from chalicelib.monitoring import log
from chalicelib.monitoring.metrics import metrics
from chalicelib.ports.publishing import OutgoingMessage, Publisher, PublishResult
from chalicelib.ports.queues import ReceivedReport
from chalicelib.uplinks.breaker_recorder import BreakerRecorder
from chalicelib.uplinks.drain_context import DrainContext, DrainState
from chalicelib.uplinks.lanes import SLOW_WAIT, LaneKeeper, OutOfTime, TooSlow
from chalicelib.uplinks.outcome_log import waiting_entries
from chalicelib.uplinks.receiving import ReportReceiver, is_full
from chalicelib.uplinks.settlement import (
    failed_and_lost,
    is_stuck,
    prepare_all,
    report_failed,
    report_lost,
    report_stuck,
    suspects,
    watched,
)
from chalicelib.uplinks.socket_slots import NoSlot
from chalicelib.vocabulary import ConnectionState, EventType, Metric, RetryReason

HELPERS = 3
"""Longest chain of helper drains after one drain with a backlog. They run in parallel and share the queue's devices."""

_STILL_CONNECTED = {EventType.CONFIRM_TIMEOUT, EventType.BROKER_BLOCKED}
"""Faults of a broker that accepts connections: an immediate reconnect would end in the same fault."""


class Drain:
    """One run over a connection's queue: receive reports, publish them, and delete, release or keep each one.

    It lets a wake go only if this forwarder settled the wake's own report, or after it wrote a pending wake-up.
    Opening the breaker also counts, because closing it writes one. An empty receive proves nothing: another forwarder
    may hold the device's group, and an answer of SQS may be lost.
    """

    _connection: Connection

    def __init__(self, context: DrainContext, tenant: str, connection_id: str, wakes: Sequence[Wake]) -> None:
        self._context = context
        self.tenant = tenant
        self.id = connection_id
        self._wakes = wakes
        self._state = DrainState()
        self._receiver = ReportReceiver(context, connection_id, wakes)
        self._breaker = BreakerRecorder(
            context.connections, context.monitoring, context.clock, context.random, context.timing
        )
        self._read_at = 0.0
        self._stop_at = 0.0
        self._connect_seconds = 0.0
        self.lane = LaneKeeper(context, tenant, connection_id)

    def run(self, stop_at: float) -> None:
        """Drain the queue and return when the wakes may be let go; start no new work after ``stop_at`` (monotonic).

        Raises Unavailable if their reports are not settled and no pending wake-up was written.
        """
        self._stop_at = stop_at
        try:
            self._read()
        except NotFound:
            self._context.pool.close(self.id)
            return
        if not self._connection.active:
            # Activation sends a wake, which starts a drain of the queued reports.
            self._context.pool.close(self.id)
            return
        probe = any(wake.probe == self._connection.epoch for wake in self._wakes)
        if self._connection.breaker_open and not probe:
            waiting = waiting_entries(self._wakes, self._connection, self._context.clock())
            self._context.monitoring.count(self._connection, {}, (), waiting)
            return
        if not self._connection.is_fast and self.lane.hand_on(self._wakes):
            return
        try:
            self._drain(probe)
        except (OutOfTime, NoSlot):
            self._plan_wake(0)
        except TooSlow:
            # Nothing was published to the new connection: the slow lane starts again.
            self.lane.demote()
            self.lane.hand_on(self._wakes)
            return
        except BrokerFault as fault:
            self._open_breaker(fault)
            return
        except (NotFound, Unavailable) as error:
            # NotFound does not prove that the connection is deleted: SQS may not know a new queue everywhere yet, or
            # a secret was replaced after the record was read. The store ignores a pending wake-up for a deleted
            # connection, whose socket is closed here.
            if isinstance(error, NotFound):
                self._context.pool.close(self.id)
            log.warning("drain ended early", extra={"connection": self.id, "reason": str(error)})
            self._plan_wake(self._context.timing.report_visibility)
        finally:
            self._context.pool.rest(self.id)
            state = self._state
            self._context.monitoring.count(self._connection, state.counts, state.devices, state.log.entries)
        self.lane.record(self._connection)
        self._finish()

    def _read(self) -> None:
        self._connection = self._context.connections.get(self.tenant, self.id)
        self._read_at = self._context.monotonic()

    def _plan_wake(self, seconds: float) -> None:
        """Require a pending wake-up, because reports are left that can be received in ``seconds``."""
        self._state.plan_wake(self._context.clock() + seconds)

    @property
    def _abort_at(self) -> float:
        """Monotonic time at which an operation that began before ``stop_at`` is aborted."""
        return self._stop_at + self._context.timing.spare / 2

    def _drain(self, probe: bool) -> None:
        if probe:
            # A probe connects before it receives: otherwise a slow queue could use up the time of every probe.
            self._publisher()
        while self._context.monotonic() < self._stop_at:
            if self._context.monotonic() - self._read_at > self._context.timing.recheck:
                self._read()
                if not self._connection.active:
                    self._context.pool.close(self.id)
                if not self._connection.active or self._connection.breaker_open:
                    return
            # Receive first and connect second: an empty queue opens no connection to the broker.
            reports = self._receive()
            if not reports:
                if probe and self._connection.state != ConnectionState.OPENED:
                    self._publisher().check(self._abort_at)
                    self._close_breaker()
                return
            for chunk in self._chunks(reports):
                with watched(chunk, self._context.clock()):
                    self._settle_chunk(chunk)
            self._request_helper(reports)
            if self._receiver.is_enough(self._state.settled, reports):
                return
        self._plan_wake(0)

    def _request_helper(self, reports: list[ReceivedReport]) -> None:
        """Start the next helper drain after a full chunk was published; each helper drain starts its successor.

        Sending all wakes at once does not help: Lambda may put them in one batch, which starts one drain. A report's
        own wake starts no helper, because each new report brings another wake."""
        if self._state.helper_decided or not is_full(reports):
            return
        self._state.helper_decided = True
        helpers = [wake.helper for wake in self._wakes if wake.message_id is None]
        if not helpers or min(helpers) >= HELPERS:
            return
        try:
            self._context.wakes.send([Wake(tenant=self.tenant, connection_id=self.id, helper=min(helpers) + 1)])
        except Unavailable as error:
            log.warning("helper drain not started", extra={"connection": self.id, "reason": str(error)})

    def _receive(self) -> list[ReceivedReport]:
        # Receiving takes at most half of the remaining time: a slow queue leaves enough to publish what it gave.
        now = self._context.monotonic()
        reports = self._receiver.chunk(now + max(0.0, self._stop_at - now) / 2)
        if self._receiver.interrupted:
            self._plan_wake(self._context.timing.report_visibility)
        return reports

    def _chunks(self, reports: list[ReceivedReport]) -> Iterator[list[ReceivedReport]]:
        """Yield the reports of all ordinary devices together, then those of suspect devices one by one.

        A report that was received repeatedly may crash this function; alone and last it delays no other device."""
        devices = suspects(reports, self._context.random())
        alone = {group[0].group for group in devices}
        if others := [report for report in reports if report.group not in alone]:
            yield others
        if stuck := [report for group in devices for report in group if is_stuck(report)]:
            report_stuck(self._context.monitoring, self._connection, stuck)
        for group in devices:
            for index, report in enumerate(group):
                if self._context.monotonic() >= self._stop_at:
                    self._hold_back(group[index:])
                    break
                yield [report]
                if report.message_id not in self._state.settled:
                    # The report may be released with a delay; the device's later reports wait to keep their order.
                    self._hold_back(group[index + 1 :])
                    break

    def _hold_back(self, reports: list[ReceivedReport]) -> None:
        self._context.queues.release(self.id, [report.receipt for report in reports], 0)
        self._plan_wake(0)

    def _publisher(self) -> Publisher:
        """Return an open publisher. Raises BrokerFault, TooSlow, NoSlot, OutOfTime (too little is left to connect).

        Time that SQS took, or a reconnect late in the drain, must not count as a fault of the broker."""
        budget = self._context.timing.connect_budget
        began = self._context.monotonic()
        deadline = min(began + budget - self._connect_seconds, self._abort_at)
        due = min(self._connection.configuration.connection_timeout / 1000, budget / 2)
        if deadline - began < due and not self._context.pool.is_warm(self._connection):
            raise OutOfTime
        if self.lane.is_fast_lane:
            deadline = min(deadline, began + SLOW_WAIT)
        # A wait for a slot says nothing about the broker, so it is not measured.
        self._context.pool.reserve(self._connection, deadline)
        self.lane.connecting(self._context.monotonic())
        try:
            return self._context.pool.get(self._connection, deadline)
        except BrokerUnreachable as fault:
            if self.lane.is_fast_lane and self._context.monotonic() >= began + SLOW_WAIT:
                raise (OutOfTime if self.lane.was_stalled else TooSlow) from fault
            raise
        finally:
            self.lane.connecting()
            self._connect_seconds += self._context.monotonic() - began

    def _settle_chunk(self, reports: list[ReceivedReport]) -> None:
        decoded = self._context.decoder.decode(self._connection, reports, self._stop_at)
        # A driver that takes long must not occupy the fast lane either.
        self.lane.confirmed(0, decoded.seconds)
        messages, outcomes = prepare_all(reports, self._connection, self._context.clock(), decoded)
        fault: Exception | None = None
        if messages:
            result = self._publish(messages)
            fault = result.fault
            outcomes.update(result.outcomes)
        self._state.log.published(reports, messages, outcomes, fault, self._context.clock())
        self._state.devices |= {
            message.group for message in messages if message.uplink and outcomes[message.key].result == Result.DELIVERED
        }
        self._settle(reports, outcomes, {message.key: message.routing_key for message in messages})
        if fault:
            raise fault

    def _publish(self, messages: list[OutgoingMessage]) -> PublishResult:
        """Publish. Once per drain, republish on a new connection what a lost connection left unconfirmed."""
        try:
            publisher = self._publisher()
        except (BrokerFault, OutOfTime, TooSlow, NoSlot) as fault:
            return PublishResult({message.key: Outcome(Result.RETRY) for message in messages}, fault)
        self.lane.publishing(publisher)
        result = publisher.publish(messages, self._abort_at)
        self.lane.publishing(None)
        self.lane.confirmed(sum(o.result is Result.DELIVERED for o in result.outcomes.values()), result.slowest)
        if result.fault is None:
            return result
        self._context.pool.discard(self.id)
        lost = isinstance(result.fault, BrokerUnreachable) and result.fault.type not in _STILL_CONNECTED
        if self._state.reconnected or not lost:
            return result
        self._state.reconnected = True
        unconfirmed = [message for message in messages if result.outcomes[message.key].result == Result.RETRY]
        try:
            second = self._publish(unconfirmed)
        except (NotFound, Unavailable) as error:
            # The secret cannot be read, so no reconnect is possible; earlier confirms must still be settled.
            return PublishResult(result.outcomes, error)
        return PublishResult({**result.outcomes, **second.outcomes}, second.fault)

    def _settle(
        self, reports: list[ReceivedReport], outcomes: dict[str, Outcome], routing_keys: dict[str, str]
    ) -> None:
        delivered = [r for r in reports if outcomes[r.receipt].result == Result.DELIVERED]
        given_up = [r for r in reports if outcomes[r.receipt].result == Result.FAILED]
        retried = [r for r in reports if outcomes[r.receipt].result == Result.RETRY]
        confirmed = [r for r in delivered if r.receipt in routing_keys]
        # Delete confirmed reports first: a later failure must not cause duplicates.
        self._delete(delivered)
        self._state.counts["uplinksDelivered"] += len(confirmed)
        if confirmed:
            metrics.add(Metric.DELIVERY_DELAY, self._context.clock() - min(r.sent_at for r in confirmed))
        if confirmed and self._connection.state != ConnectionState.OPENED:
            self._close_breaker()
        try:
            self._give_up(given_up, outcomes, routing_keys)
        finally:
            self._release(retried, outcomes)

    def _delete(self, reports: list[ReceivedReport]) -> None:
        if not reports:
            return
        undeleted = set(self._context.queues.delete_messages(self.id, [report.receipt for report in reports]))
        if undeleted:
            self._plan_wake(self._context.timing.report_visibility)
        self._state.settled |= {report.message_id for report in reports if report.receipt not in undeleted}

    def _give_up(
        self, reports: list[ReceivedReport], outcomes: dict[str, Outcome], routing_keys: dict[str, str]
    ) -> None:
        """Store the reports as failed messages, and only then delete them from the queue."""
        context = self._context
        failed, lost = failed_and_lost(reports, outcomes, routing_keys, context.clock())
        if failed:
            context.failed.add(self.tenant, self.id, failed)
            report_failed(context.monitoring, self._connection, failed)
        if lost:
            report_lost(context.monitoring, self._connection, lost)
        self._state.log.given_up(failed, lost, reports, context.clock())
        self._state.counts += Counter(uplinksFailed=len(failed), uplinksLost=len(lost))
        self._delete(reports)

    def _release(self, reports: list[ReceivedReport], outcomes: dict[str, Outcome]) -> None:
        delays = {report.group: 0 for report in reports}
        for report in reports:
            if outcomes[report.receipt].reason is RetryReason.NACKED:
                # A nack concerns one route, not the connection: only this device backs off.
                delays[report.group] = breaker.nack_delay(report.attempts, self._context.timing.scale)
        for delay in set(delays.values()):
            receipts = [report.receipt for report in reports if delays[report.group] == delay]
            self._context.queues.release(self.id, receipts, delay)
            self._plan_wake(delay)

    def _close_breaker(self) -> None:
        # This drain and its helpers send the backlog. Reports that another forwarder holds are visible again when the
        # pending wake-up is due; an earlier one would double the number of drains.
        after = self._breaker.close(self._connection, self._context.timing.report_visibility, fast=self.lane.proved)
        if after is None:
            self._read()
        else:
            self._connection = after

    def _open_breaker(self, fault: BrokerFault) -> None:
        """Open the breaker, or leave a pending wake-up when another function changed the breaker first."""
        self._context.pool.discard(self.id)
        if self._breaker.open(self._connection, fault) is None:
            self._plan_wake(0)
            self._finish()

    def _finish(self) -> None:
        """Let the wakes go if their reports are settled, else after a pending wake-up was written."""
        if self._state.wake_at is None:
            if self._receiver.proves(self._state.settled):
                return
            # Another forwarder holds or has already settled the reports of these wakes.
            self._plan_wake(self._context.timing.report_visibility)
        assert self._state.wake_at is not None  # noqa: S101
        if not self._state.is_covered(self._connection.wake_at, self._context.clock()):
            self._context.connections.set_pending_wake(self.tenant, self.id, self._state.wake_at, str(ULID()))
