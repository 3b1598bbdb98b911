"""One connection's drain: receive, publish, settle; and what to do with the wakes that asked for it.

A wake may be let go only if its own report was settled here, or after a mark was written (or the breaker was opened,
which leaves a mark when it closes). An empty receive proves nothing: another forwarder may hold the device's group,
and an answer of SQS may have been lost.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from ulid import ULID

from chalicelib.domain import breaker
from chalicelib.domain.connection import Connection
from chalicelib.domain.delivery import Outcome, Result
from chalicelib.domain.work_items import Wake
from chalicelib.errors import BrokerFault, BrokerUnreachable, NotFound, Unavailable
from chalicelib.monitoring import log
from chalicelib.ports.publishing import OutgoingMessage, Publisher, PublishResult
from chalicelib.ports.queues import BATCH, ReceivedReport
from chalicelib.uplinks.breaker_recorder import BreakerRecorder
from chalicelib.uplinks.drain_context import DrainContext, DrainState
from chalicelib.uplinks.receiving import Chunk, receive_chunk
from chalicelib.uplinks.settlement import (
    ALONE_FROM,
    failed_and_lost,
    prepare,
    report_failed,
    report_lost,
    report_stuck,
    suspects,
)
from chalicelib.vocabulary import ConnectionState, EventType, RetryReason

HELPERS = 3
"""Further drains that run side by side when a drain finds a backlog; they share the queue's devices."""

_STILL_THERE = {EventType.CONFIRM_TIMEOUT, EventType.BROKER_BLOCKED}
"""Faults of a broker that took the connection: opening another at once would end in the same."""


class _OutOfTime(Exception):
    """There is too little time left to try the broker: its silence would prove nothing."""


class Drain:
    """Publishes one connection's queued reports, and decides about the wakes that asked for it."""

    _connection: Connection

    def __init__(self, context: DrainContext, tenant: str, connection_id: str, wakes: Sequence[Wake]) -> None:
        self._context = context
        self._tenant = tenant
        self._id = connection_id
        self._wakes = wakes
        self._state = DrainState()
        self._breaker = BreakerRecorder(
            context.connections, context.monitoring, context.clock, context.random, context.timing
        )
        self._read_at = 0.0
        self._stop_at = 0.0
        self._connecting = 0.0
        """Seconds spent on it so far."""

    def run(self, stop_at: float) -> None:
        """Returns when the wakes may be let go. ``stop_at``: time.monotonic() after which nothing new is started.

        Raises Unavailable when they may not: neither settled nor marked.
        """
        self._stop_at = stop_at
        try:
            self._read()
        except NotFound:
            self._context.pool.close(self._id)
            return
        if not self._connection.active:
            # Activating it sends a wake, which finds what waits.
            self._context.pool.close(self._id)
            return
        probe = any(wake.probe == self._connection.epoch for wake in self._wakes)
        if self._connection.breaker_open and not probe:
            return
        try:
            self._drain(probe)
        except _OutOfTime:
            self._plan_wake(0)
        except BrokerFault as fault:
            self._break(fault)
            return
        except (NotFound, Unavailable) as error:
            # A queue that is not found may be so new that SQS does not know it everywhere, and a secret may have been
            # replaced since the record was read. Only if the connection is gone nothing is left: then the mark is not
            # written, and its socket must not stay.
            if isinstance(error, NotFound):
                self._context.pool.close(self._id)
            log.warning("drain ended early", extra={"connection": self._id, "reason": str(error)})
            self._plan_wake(self._context.timing.report_visibility)
        finally:
            self._context.monitoring.count(self._connection, self._state.counts, self._state.devices)
        self._finish()

    def _read(self) -> None:
        self._connection = self._context.connections.get(self._tenant, self._id)
        self._read_at = self._context.monotonic()

    def _plan_wake(self, seconds: float) -> None:
        """Require a pending wake-up in ``seconds``, when the rest is visible again."""
        due = self._context.clock() + seconds
        self._state.mark_at = due if self._state.mark_at is None else min(due, self._state.mark_at)

    @property
    def _last(self) -> float:
        """When what was begun before ``stop_at`` is given up."""
        return self._stop_at + self._context.timing.spare / 2

    def _drain(self, probe: bool) -> None:
        if probe:
            # A probe connects first, so that a slow queue cannot postpone it for ever.
            self._publisher()
        while self._context.monotonic() < self._stop_at:
            if self._context.monotonic() - self._read_at > self._context.timing.recheck:
                self._read()
                if not self._connection.active:
                    self._context.pool.close(self._id)
                if not self._connection.active or self._connection.breaker_open:
                    return
            # Receive first, connect then: an idle connection costs its broker nothing.
            chunk = self._receive()
            if not chunk.reports:
                if probe and self._connection.state != ConnectionState.OPENED:
                    self._publisher().check(self._last)
                    self._recovered()
                return
            for part in self._parts(chunk.reports):
                self._settle_chunk(part)
            self._request_helper(chunk)
            # A probe goes on to the empty receive: wakes of what waits were let go.
            if len(chunk.reports) < BATCH and self._own_message_ids() <= self._state.settled and not probe:
                return
        self._plan_wake(0)

    def _receive(self) -> Chunk:
        try:
            chunk = receive_chunk(self._context, self._id, self._stop_at)
        except Unavailable:
            self._plan_wake(self._context.timing.report_visibility)
            raise
        if chunk.failed:
            self._plan_wake(self._context.timing.report_visibility)
        return chunk

    def _request_helper(self, chunk: Chunk) -> None:
        """After a full chunk that the broker confirmed, ask for one more drain, which asks for the next.

        Sending all wakes at once does not help: Lambda may put them in one batch, which starts one drain. New reports
        have their own wakes.
        """
        if self._state.helped or not chunk.full:
            return
        self._state.helped = True
        helpers = [wake.helper for wake in self._wakes if wake.message_id is None]
        if not helpers or min(helpers) >= HELPERS:
            return
        try:
            self._context.wakes.send([Wake(tenant=self._tenant, connection_id=self._id, helper=min(helpers) + 1)])
        except Unavailable as error:
            # This drain goes on alone.
            log.warning("no help", extra={"connection": self._id, "reason": str(error)})

    def _own_message_ids(self) -> set[str]:
        return {wake.message_id for wake in self._wakes if wake.message_id}

    def _parts(self, reports: list[ReceivedReport]) -> Iterator[list[ReceivedReport]]:
        """Yield all reports as one part.

        A device whose report was received many times, perhaps because it kills this function, comes last, one report at
        a time, so that it affects no other device.
        """
        devices = suspects(reports, self._context.random())
        alone = {group[0].group for group in devices}
        if others := [report for report in reports if report.group not in alone]:
            yield others
        if stuck := [report for group in devices for report in group if report.attempts % ALONE_FROM == 0]:
            report_stuck(self._context.monitoring, self._connection, stuck)
        for group in devices:
            for index, report in enumerate(group):
                if self._context.monotonic() >= self._stop_at:
                    self._hold_back(group[index:])
                    break
                yield [report]
                if report.message_id not in self._state.settled:
                    # It may have been released with a delay already; the others wait for it.
                    self._hold_back(group[index + 1 :])
                    break

    def _hold_back(self, reports: list[ReceivedReport]) -> None:
        self._context.queues.release(self._id, [report.receipt for report in reports], 0)
        self._plan_wake(0)

    def _publisher(self) -> Publisher:
        """Raises BrokerFault, or _OutOfTime before it connects with less time than the broker is due: the time that
        SQS took, or a connection that was changed or lost late in a drain, must not be held against it."""
        budget = self._context.timing.connect_budget
        began = self._context.monotonic()
        deadline = min(began + budget - self._connecting, self._last)
        due = min(self._connection.configuration.connection_timeout / 1000, budget / 2)
        if deadline - began < due and not self._context.pool.is_warm(self._connection):
            raise _OutOfTime
        try:
            return self._context.pool.get(self._connection, deadline)
        finally:
            self._connecting += self._context.monotonic() - began

    def _settle_chunk(self, reports: list[ReceivedReport]) -> None:
        outcomes: dict[str, Outcome] = {}
        messages: list[OutgoingMessage] = []
        for report in reports:
            prepared = prepare(report, self._connection, self._context.clock())
            if isinstance(prepared, Outcome):
                outcomes[report.receipt] = prepared
            else:
                messages.append(prepared)
        fault: Exception | None = None
        if messages:
            result = self._publish(messages)
            fault = result.fault
            outcomes.update(result.outcomes)
        self._state.devices |= {
            message.group for message in messages if message.uplink and outcomes[message.key].result == Result.DELIVERED
        }
        self._settle(reports, outcomes, {message.key: message.routing_key for message in messages})
        if fault:
            raise fault

    def _publish(self, messages: list[OutgoingMessage]) -> PublishResult:
        """Publishes; once in an invocation again on a new connection what a lost connection left unconfirmed."""
        try:
            publisher = self._publisher()
        except (BrokerFault, _OutOfTime) as fault:
            return PublishResult({message.key: Outcome(Result.RETRY) for message in messages}, fault)
        result = publisher.publish(messages, self._last)
        if result.fault is None:
            return result
        self._context.pool.discard(self._id)
        lost = isinstance(result.fault, BrokerUnreachable) and result.fault.type not in _STILL_THERE
        if self._state.reconnected or not lost:
            return result
        self._state.reconnected = True
        again = [message for message in messages if result.outcomes[message.key].result == Result.RETRY]
        try:
            second = self._publish(again)
        except (NotFound, Unavailable) as error:
            # No secret to log in with: what was confirmed before must be settled all the same.
            return PublishResult(result.outcomes, error)
        return PublishResult({**result.outcomes, **second.outcomes}, second.fault)

    def _settle(
        self,
        reports: list[ReceivedReport],
        outcomes: dict[str, Outcome],
        routing_keys: dict[str, str],
    ) -> None:
        delivered = [r for r in reports if outcomes[r.receipt].result == Result.DELIVERED]
        given_up = [r for r in reports if outcomes[r.receipt].result == Result.FAILED]
        retried = [r for r in reports if outcomes[r.receipt].result == Result.RETRY]
        confirmed = [r for r in delivered if r.receipt in routing_keys]
        # Confirmed reports are deleted even if a later step fails.
        self._delete(delivered)
        self._state.counts["uplinksDelivered"] += len(confirmed)
        if confirmed and self._connection.state != ConnectionState.OPENED:
            self._recovered()
        try:
            self._give_up(given_up, outcomes, routing_keys)
        finally:
            self._release(retried, outcomes)

    def _delete(self, reports: list[ReceivedReport]) -> None:
        if not reports:
            return
        left = set(self._context.queues.delete_messages(self._id, [report.receipt for report in reports]))
        if left:
            self._plan_wake(self._context.timing.report_visibility)
        self._state.settled |= {report.message_id for report in reports if report.receipt not in left}

    def _give_up(
        self, reports: list[ReceivedReport], outcomes: dict[str, Outcome], routing_keys: dict[str, str]
    ) -> None:
        """Keeps the reports as failed, with the reason, and only then deletes them."""
        context = self._context
        failed, lost = failed_and_lost(reports, outcomes, routing_keys, context.clock())
        if failed:
            context.failed.add(self._tenant, self._id, failed)
            report_failed(context.monitoring, self._connection, failed)
        if lost:
            report_lost(context.monitoring, self._connection, lost)
        self._state.counts += Counter(uplinksFailed=len(failed), uplinksLost=len(lost))
        self._delete(reports)

    def _release(self, reports: list[ReceivedReport], outcomes: dict[str, Outcome]) -> None:
        delays = {report.group: 0 for report in reports}
        for report in reports:
            if outcomes[report.receipt].reason is RetryReason.NACKED:
                # A queue's word, not the connection's: the device waits, longer each time.
                delays[report.group] = breaker.nack_delay(report.attempts, self._context.timing.scale)
        for delay in set(delays.values()):
            part = [report.receipt for report in reports if delays[report.group] == delay]
            self._context.queues.release(self._id, part, delay)
            self._plan_wake(delay)

    def _recovered(self) -> None:
        # This drain and its helpers send the backlog. Reports that another forwarder holds are visible again when the
        # pending wake-up is due; an earlier one would double the number of drains.
        after = self._breaker.close(self._connection, self._context.timing.report_visibility)
        if after is None:
            self._read()
        else:
            self._connection = after

    def _break(self, fault: BrokerFault) -> None:
        """Open the breaker, or leave a pending wake-up when another function changed the breaker first."""
        self._context.pool.discard(self._id)
        if self._breaker.open(self._connection, fault) is None:
            self._plan_wake(0)
            self._finish()

    def _is_empty(self) -> bool:
        try:
            return self._context.queues.depth(self._id) == (0, 0)
        except NotFound:
            return False

    def _finish(self) -> None:
        """Returns when the wakes may be let go."""
        progress = self._state
        own = self._own_message_ids()
        if progress.mark_at is None:
            if own <= progress.settled if own else self._is_empty():
                return
            # Another forwarder holds or has already settled these reports.
            self._plan_wake(self._context.timing.report_visibility)
        assert progress.mark_at is not None  # noqa: S101
        self._context.connections.set_pending_wake(self._tenant, self._id, progress.mark_at, str(ULID()))
