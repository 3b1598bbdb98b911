"""Settlement of a drain's reports: each one is deleted, stored as a failed message, or given back to the queue."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from chalicelib.domain import breaker
from chalicelib.domain.connection import Connection
from chalicelib.domain.delivery import Outcome, Result
from chalicelib.errors import NotFound, Unavailable
from chalicelib.monitoring.metrics import metrics
from chalicelib.ports.publishing import OutgoingMessage
from chalicelib.ports.queues import BATCH, ReceivedReport
from chalicelib.uplinks.drain_context import DrainContext, DrainState
from chalicelib.uplinks.settlement import failed_and_lost, report_failed, report_lost
from chalicelib.vocabulary import ConnectionState, Metric, RetryReason

if TYPE_CHECKING:
    from concurrent.futures import Future

DELETES = 4
"""Threads over which the deletes of confirmed reports are spread."""
Outcomes = Mapping[str, tuple[Outcome, OutgoingMessage | None]]
"""By receipt: the outcome of a report, and its message if it was published."""


class ReportSettler:
    """Settles reports by their outcomes, and deletes them ten at a time beside the publishing.

    ``on_confirm``: called after the first deletes of confirmed reports were started, if the connection is not open.
    ``on_delete``: called in any thread when a call that deletes reports has ended.
    """

    def __init__(
        self,
        context: DrainContext,
        connection_id: str,
        state: DrainState,
        on_confirm: Callable[[], None],
        on_delete: Callable[[], None],
    ) -> None:
        self._context = context
        self._id = connection_id
        self._state = state
        self._on_confirm = on_confirm
        self._on_delete = on_delete
        self._delivered: list[ReceivedReport] = []
        """Reports to delete, fewer than one call may have."""
        self._deletes: dict[Future[list[str]], list[ReceivedReport]] = {}
        self._delay = 0.0
        self.failure: Exception | None = None
        """The error of a write that left reports unsettled. They come back when their visibility timeout ends."""

    def settle(self, connection: Connection, outcomes: Outcomes, fault: Exception | None = None) -> None:
        """Settle reports, each with its final outcome of this drain: delivered, failed, or to be tried again.

        ``fault``: what ended the publish, if anything did.
        """
        lists: dict[Result, list[ReceivedReport]] = {result: [] for result in Result}
        state, now, confirmed = self._state, self._context.clock(), 0
        for receipt, (outcome, message) in outcomes.items():
            report = state.held[receipt]
            lists[outcome.result].append(report)
            if message is None:
                continue
            state.log.published(report, message, outcome, fault, now)
            if outcome.result is Result.DELIVERED:
                confirmed += 1
                self._delay = max(self._delay, now - report.sent_at)
                if message.uplink:
                    state.devices.add(message.group)
        failed, retried = lists[Result.FAILED], lists[Result.RETRY]
        # Delete confirmed reports first: a later failure must not cause duplicates.
        self._delete_soon(lists[Result.DELIVERED])
        if confirmed:
            state.counts["uplinksDelivered"] += confirmed
        try:
            if confirmed and connection.state != ConnectionState.OPENED:
                self._on_confirm()
            if failed:
                self._give_up(connection, failed, outcomes)
        except (NotFound, Unavailable) as error:
            self.failure = self.failure or error
            self._state.drop(failed)
        finally:
            if retried:
                self._release(retried, outcomes)

    def give_back(self, reports: Sequence[ReceivedReport]) -> None:
        """Make reports visible at once that were not published."""
        if reports:
            self._context.queues.release(self._id, [report.receipt for report in reports], 0)
            self._state.drop(reports)
            self._state.plan_wake(self._context.clock())

    def begin_deletes(self) -> None:
        """Delete the confirmed reports that wait for a full call, because the drain may wait for long now.

        A report that became visible again meanwhile would be published twice.
        """
        if self._delivered:
            self._start_delete(len(self._delivered))

    def finish(self) -> None:
        """Delete the remaining reports, and wait for all deletes."""
        if self._delivered and not self._deletes:
            # Nothing runs beside it, so it needs no thread.
            reports, self._delivered = self._delivered, []
            self._deleted(reports, self._call(reports))
        self.begin_deletes()
        while self._deletes:
            call, reports = self._deletes.popitem()
            self._deleted(reports, call.result())

    def collect(self) -> None:
        """Note the results of the deletes that have ended."""
        for call in [call for call in self._deletes if call.done()]:
            self._deleted(self._deletes.pop(call), call.result())

    def record_delay(self) -> None:
        """Record the longest time from acceptance to confirm."""
        if self._delay:
            metrics.add(Metric.DELIVERY_DELAY, self._delay)

    def _delete_soon(self, reports: Sequence[ReceivedReport]) -> None:
        self._delivered += reports
        self._state.served += len(reports)
        self._state.served_bytes += sum(len(report.body) for report in reports)
        if len(self._delivered) > BATCH:
            # Full calls, spread over the threads. Each switch of threads costs processor time.
            calls = len(self._delivered) // BATCH
            number = -(-calls // DELETES) * BATCH
            while len(self._delivered) >= BATCH:
                self._start_delete(min(number, len(self._delivered) // BATCH * BATCH))

    def _start_delete(self, number: int) -> None:
        reports, self._delivered = self._delivered[:number], self._delivered[number:]
        call = self._context.calls.submit(self._call, reports)
        self._deletes[call] = reports
        call.add_done_callback(lambda _: self._on_delete())

    def _call(self, reports: Sequence[ReceivedReport]) -> list[str]:
        return self._context.queues.delete_messages(self._id, [report.receipt for report in reports])

    def _deleted(self, reports: Sequence[ReceivedReport], undeleted: Sequence[str]) -> None:
        self._state.drop(reports)
        self._state.settled.update(report.message_id for report in reports if report.receipt not in undeleted)
        if undeleted:
            self._state.plan_wake(self._context.clock() + self._context.timing.report_visibility)

    def _give_up(self, connection: Connection, reports: list[ReceivedReport], outcomes: Outcomes) -> None:
        """Store the reports as failed messages, and only then delete them from the queue."""
        context = self._context
        keys = {receipt: message.routing_key for receipt, (_, message) in outcomes.items() if message is not None}
        reasons = {receipt: outcome for receipt, (outcome, _) in outcomes.items()}
        failed, lost = failed_and_lost(reports, reasons, keys, context.clock())
        if failed:
            context.failed.add(connection.tenant, connection.id, failed)
            report_failed(context.monitoring, connection, failed)
        if lost:
            report_lost(context.monitoring, connection, lost)
        self._state.log.given_up(failed, lost, reports, context.clock())
        self._state.counts += Counter(uplinksFailed=len(failed), uplinksLost=len(lost))
        self._delete_soon(reports)

    def _release(self, reports: list[ReceivedReport], outcomes: Outcomes) -> None:
        delays = {report.group: 0 for report in reports}
        for report in reports:
            if outcomes[report.receipt][0].reason is RetryReason.NACKED:
                # A nack concerns one route, not the connection: only this device backs off.
                delays[report.group] = breaker.nack_delay(report.attempts, self._context.timing.scale)
        for delay in set(delays.values()):
            receipts = [report.receipt for report in reports if delays[report.group] == delay]
            self._context.queues.release(self._id, receipts, delay)
            self._state.plan_wake(self._context.clock() + delay)
        self._state.released.update(report.message_id for report in reports if not delays[report.group])
        self._state.drop(reports)
