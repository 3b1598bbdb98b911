"""Drain of one connection's queue: receive, publish and settle its reports, and decide about their wakes."""

from collections.abc import Sequence

from ulid import ULID

from chalicelib.domain.connection import Connection
from chalicelib.domain.delivery import Outcome, Result
from chalicelib.domain.work_items import Wake
from chalicelib.errors import BrokerFault, NotFound, Unavailable
from chalicelib.monitoring import log
from chalicelib.ports.queues import ReceivedReport
from chalicelib.uplinks.breaker_recorder import BreakerRecorder
from chalicelib.uplinks.drain_context import DrainContext, DrainState, by_devices, is_full
from chalicelib.uplinks.lanes import LaneKeeper, OutOfTime, TooSlow
from chalicelib.uplinks.outcome_log import waiting_entries
from chalicelib.uplinks.settlement import is_stuck, prepare_all, report_stuck, suspects, watched
from chalicelib.uplinks.socket_slots import NoSlot
from chalicelib.uplinks.streaming.publish_window import PublishWindow
from chalicelib.uplinks.streaming.receiving import ReportReceiver
from chalicelib.uplinks.streaming.report_settler import Outcomes, ReportSettler
from chalicelib.vocabulary import ConnectionState

DEVICES_A_PART = 25
"""Devices whose reports are published together: the broker works on them while the next ones are prepared."""
BUSY_WITH = 100
"""Unconfirmed messages with which a broker is busy anyway."""
HELPERS = 3
"""Longest chain of helper drains after one drain with a backlog. They run in parallel and share the queue's devices."""


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
        self._receiver = ReportReceiver(context, connection_id, wakes, self._state, self._wake)
        self._settler = ReportSettler(context, connection_id, self._state, self._close_breaker, self._deleted)
        self._breaker = BreakerRecorder(
            context.connections, context.monitoring, context.clock, context.random, context.timing
        )
        self._undecoded: list[ReceivedReport] = []
        """Reports to decode together, and those that came after the first of them."""
        self._alone: list[ReceivedReport] = []
        """The reports of suspect devices, which are published one by one."""
        self._read_at = 0.0
        self._stop_at = 0.0
        self.lane = LaneKeeper(context, tenant, connection_id)
        self._window = PublishWindow(context, self.lane)

    def run(self, stop_at: float) -> None:
        """Drain the queue and return when the wakes may be let go; start no new work after ``stop_at`` (monotonic).

        Raises Unavailable if their reports are not settled and no pending wake-up was written.
        """
        self._stop_at = stop_at
        # Time at which an operation that began before stop_at is aborted.
        self._window.abort_at = stop_at + self._context.timing.spare / 2
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
        if self._drained(probe):
            self.lane.record(self._connection)
            self._finish()

    def _drained(self, probe: bool) -> bool:
        """Drain the queue; return False if the wakes may be let go without a look at their reports."""
        try:
            self._drain(probe)
        except (OutOfTime, NoSlot) as reason:
            log.info("drain postponed", extra={"connection": self.id, "reason": type(reason).__name__})
            self._plan_wake(0)
        except TooSlow:
            # Nothing was published to the new connection: the slow lane starts again.
            self.lane.demote()
            self.lane.hand_on(self._wakes)
            return False
        except BrokerFault as fault:
            self._open_breaker(fault)
            return False
        except (NotFound, Unavailable) as error:
            # NotFound does not prove that the connection is deleted: SQS may not know a new queue everywhere yet, or
            # a secret was replaced after the record was read. The store ignores a pending wake-up for a deleted
            # connection, whose socket is closed here.
            if isinstance(error, NotFound):
                self._context.pool.close(self.id)
            log.warning("drain ended early", extra={"connection": self.id, "reason": str(error)})
            self._plan_wake(self._context.timing.report_visibility)
        finally:
            if not self._window.is_empty:
                # An unforeseen exception. Its late confirms must not settle messages of the next drain.
                self._context.pool.discard(self.id)
            self._context.pool.rest(self.id)
            self._settler.record_delay()
            state = self._state
            self._context.monitoring.count(self._connection, state.counts, state.devices, state.log.entries)
        return True

    def _read(self) -> None:
        self._connection = self._context.connections.get(self.tenant, self.id)
        self._read_at = self._context.monotonic()

    def _plan_wake(self, seconds: float) -> None:
        """Require a pending wake-up, because reports are left that can be received in ``seconds``."""
        self._state.plan_wake(self._context.clock() + seconds)

    def _drain(self, probe: bool) -> None:
        try:
            self._stream(probe)
        finally:
            self._end()
        if self._settler.failure is not None:
            raise self._settler.failure

    def _stream(self, probe: bool) -> None:
        """Receive, publish and settle side by side until the queue has no more, or the time is over."""
        self._window.reserve(self._connection)
        if probe:
            # A probe connects before it receives: otherwise a slow queue could use up the time of every probe.
            self._window.open(self._connection)
        while self._context.monotonic() < self._stop_at:
            if not self._may_continue():
                return
            self._settler.collect()
            # Receive first and connect second: an empty queue opens no connection to the broker.
            window = self._window
            self._accept(self._receiver.next(further=not self._alone, idle=window.is_empty, quick=window.is_quick))
            if not self._window.is_empty:
                self._progress()
            elif self._receiver.is_over:
                if probe and self._connection.state != ConnectionState.OPENED:
                    self._window.check(self._connection)
                    self._close_breaker()
                return
            elif not self._receiver.busy:
                self._turn_to_the_rest()
        self._plan_wake(0)

    def _end(self) -> None:
        """Await the confirms of what was published, finish what runs beside, and give the other reports back."""
        try:
            self._await_confirms()
        finally:
            self._receiver.stop()
            self._settler.finish()
            self._settler.give_back([*self._state.held.values()])

    def _may_continue(self) -> bool:
        """Return False when the connection was deactivated or its breaker opened, or a write failed."""
        if self._settler.failure is not None:
            return False
        if self._context.monotonic() - self._read_at <= self._context.timing.recheck:
            return True
        before = self._connection
        self._read()
        if self._connection.active and not self._connection.breaker_open:
            return True
        # What was published belongs to the record as it was before.
        current, self._connection = self._connection, before
        self._await_confirms()
        self._connection = current
        if not current.active:
            self._context.pool.close(self.id)
        return False

    def _request_helper(self) -> None:
        """Start the next helper drain after a backlog showed; each helper drain starts its successor.

        Sending all wakes at once does not help: Lambda may put them in one batch, which starts one drain. A report's
        own wake starts no helper, because each new report brings another wake."""
        self._state.helper_decided = True
        helpers = [wake.helper for wake in self._wakes if wake.message_id is None]
        if not helpers or min(helpers) >= HELPERS:
            return
        try:
            self._context.wakes.send([Wake(tenant=self.tenant, connection_id=self.id, helper=min(helpers) + 1)])
        except Unavailable as error:
            log.warning("helper drain not started", extra={"connection": self.id, "reason": str(error)})

    def _accept(self, reports: list[ReceivedReport]) -> None:
        """Publish received reports, or keep them for later in this drain.

        A report that was received repeatedly may crash this function; alone and last it delays no other device."""
        alone = [report for group in suspects(reports, 0) for report in group]
        self._alone += alone
        others = [report for report in reports if report not in alone] if alone else reports
        if self._undecoded or any(report.driver is not None for report in others):
            self._undecoded += others
            if is_full(self._undecoded):
                # The wait for the decoder must not count as a wait for the broker.
                self._await_confirms()
                self._publish(self._undecoded)
        elif others:
            self._publish_in_parts(others)

    def _publish_in_parts(self, reports: list[ReceivedReport]) -> None:
        """Publish the reports of some devices, and send them before those of the next devices are prepared."""
        *first, last = by_devices(reports, DEVICES_A_PART)
        for part in first:
            self._publish(part)
            if 0 < self._window.unconfirmed < BUSY_WITH:
                # With this call, the progress waits for nothing.
                self._window.wake()
                self._progress()
        self._publish(last)
        if first:
            # The next progress must not wait either: a receive may have ended meanwhile.
            self._window.wake()

    def _publish(self, reports: list[ReceivedReport]) -> None:
        """Decode and publish reports, and settle those that need or allow no publish."""
        if self._window.is_outdated(self._connection):
            self._await_confirms()
        if reports is self._undecoded:
            self._settler.begin_deletes()
        decoded = self._context.decoder.decode(self._connection, reports, self._stop_at)
        # A driver that takes long must not occupy the fast lane either.
        self.lane.confirmed(0, decoded.seconds)
        messages, outcomes = prepare_all(reports, self._connection, self._context.clock(), decoded)
        if reports is self._undecoded:
            self._undecoded = []
        if outcomes:
            unpublished: Outcomes = {r.receipt: (outcomes[r.receipt], None) for r in reports if r.receipt in outcomes}
            self._settler.settle(self._connection, unpublished)
        try:
            self._window.submit(self._connection, messages)
        except BrokerFault as fault:
            failed = Outcome(Result.RETRY)
            self._settler.settle(self._connection, {each.key: (failed, each) for each in messages}, fault)
            raise

    def _progress(self) -> None:
        """Wait until the broker has answered or a receive has ended, and settle what is confirmed."""
        ended, fault = self._window.progress()
        if ended:
            self._settler.settle(self._connection, ended, fault)
        if fault is not None:
            raise fault
        if not self._state.helper_decided and self._state.shows_backlog:
            self._request_helper()

    def _await_confirms(self) -> None:
        while not self._window.is_empty:
            self._progress()

    def _turn_to_the_rest(self) -> None:
        """Publish what was kept for later; else finish the deletes, so that an empty receive proves something."""
        if self._undecoded:
            self._publish(self._undecoded)
        elif self._alone:
            self._publish_alone()
        else:
            self._settler.finish()

    def _publish_alone(self) -> None:
        """Publish the reports of suspect devices one by one, after all other reports are settled."""
        self._settler.finish()
        reports, self._alone = self._alone, []
        if stuck := [report for report in reports if is_stuck(report)]:
            report_stuck(self._context.monitoring, self._connection, stuck)
        for group in suspects(reports, self._context.random()):
            for index, report in enumerate(group):
                if self._context.monotonic() >= self._stop_at:
                    self._settler.give_back(group[index:])
                    break
                with watched([report], self._context.clock()):
                    self._publish([report])
                    self._await_confirms()
                    self._settler.finish()
                if report.message_id not in self._state.settled:
                    # The report may be released with a delay; the device's later reports wait to keep their order.
                    self._settler.give_back(group[index + 1 :])
                    break

    def _wake(self) -> None:
        self._window.wake()

    def _deleted(self) -> None:
        """Continue to receive in the room of deleted reports, instead of only after the next confirm."""
        if self._receiver.lacks_room:
            self._wake()

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
