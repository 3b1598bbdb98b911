"""Receiving of one connection's reports beside their publishing. The queue may answer short or falsely empty."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chalicelib.domain.work_items import Wake
from chalicelib.errors import NotFound, Unavailable
from chalicelib.monitoring import log
from chalicelib.ports.queues import BATCH, ReceivedReport
from chalicelib.uplinks.drain_context import DrainContext, DrainState

if TYPE_CHECKING:
    from concurrent.futures import Future

HELD_REPORTS = 300
HELD_AT_QUICK = 1500
HELD_BYTES = 8 << 20
"""Limits of what a drain holds in memory, with what its running calls may return: at a quick broker as many reports as
may be unconfirmed there, fewer at others, because held reports are hidden from other drains."""
CALLS = 4
"""Receives of one drain at a time. With 8 ms a call, they return 5,000 reports a second."""
CALLS_IN_TURN = 3
"""Receives that a thread makes in turn during a backlog, because each switch of threads costs processor time."""
LONG_POLL = 1
"""Seconds of the long poll that follows an empty receive of a queue that is not empty."""


@dataclass
class _Received:
    """The answers of one thread's calls, and the error that ended them."""

    answers: list[list[ReceivedReport]] = field(default_factory=list)
    error: NotFound | Unavailable | None = None


class ReportReceiver:
    """Receives the reports that one drain's wakes are about, with more calls at a time while a backlog shows.

    SQS may return fewer reports than it has, or none: a short answer ends nothing. An empty one proves nothing while
    this drain holds reports, because their devices are locked; else it is checked against the queue's depth. A drain is
    *exhaustive* if one of its wakes names no report, as after an outage: it goes on until the queue is empty. Any other
    drain needs only the reports that its wakes name.

    ``notify``: called in any thread when a call has ended.
    """

    def __init__(
        self,
        context: DrainContext,
        connection_id: str,
        wakes: Sequence[Wake],
        state: DrainState,
        notify: Callable[[], None],
    ) -> None:
        self._context = context
        self._id = connection_id
        self._state = state
        self._notify = notify
        self._own = {wake.message_id for wake in wakes if wake.message_id}
        self._exhaustive = any(wake.message_id is None for wake in wakes)
        self._missing = set(self._own)
        self._calls: list[Future[_Received]] = []
        self._width = 1
        self._full = False
        """Whether an answer was full, and none was empty since."""
        self._stopped = False
        self.is_over = False
        """Whether nothing more can be received; the last ``next`` has found that out."""
        self._last = BATCH
        """Number of reports that the last call returned."""
        self._resume_at: int | None = None
        """Number of deleted reports from which an empty receive is repeated while reports are held."""
        self._largest = 0
        self._most = HELD_REPORTS
        self._depth: tuple[int, int] | None = None

    @property
    def busy(self) -> bool:
        """Whether calls are running."""
        return bool(self._calls)

    @property
    def lacks_room(self) -> bool:
        """Whether the held reports leave no room for another call. For any thread."""
        return not self._has_room((len(self._calls) + 1) * CALLS_IN_TURN * BATCH)

    def proves(self, settled: set[str]) -> bool:
        """Return whether the wakes need nothing more: their reports are settled, or the queue was found empty."""
        return self._own <= settled and (not self._exhaustive or self._depth == (0, 0))

    def next(self, *, further: bool, idle: bool, quick: bool = False) -> list[ReceivedReport]:
        """Return what the calls have returned, and start ``further`` ones beside the publishing.

        ``idle``: the drain has nothing else to do, so wait for a report. Then an empty list means that the running
        calls returned none; without any held report, that nothing more can be received. ``quick``: the broker answers
        so quickly that more reports may be held. Raises NotFound and Unavailable, the latter only if no report is held.
        """
        self._most = HELD_AT_QUICK if quick else HELD_REPORTS
        reports = self._ended_calls()
        if not reports and idle:
            if self._calls:
                # The wait; a failure is raised below.
                self._calls[0].exception()
                reports = self._ended_calls()
            elif not self._state.held:
                reports = self._receive_now()
                self.is_over = not reports
        if further:
            self._start_calls()
        return reports

    def stop(self) -> None:
        """Wait for the running calls; what they returned is held."""
        self._stopped = True
        while self._calls:
            try:
                self._ended_call(self._calls.pop())
            except (NotFound, Unavailable) as error:
                self._interrupted(error)

    def _ended_calls(self) -> list[ReceivedReport]:
        reports: list[ReceivedReport] = []
        for call in [call for call in self._calls if call.done()]:
            self._calls.remove(call)
            reports += self._ended_call(call)
        return reports

    def _ended_call(self, call: "Future[_Received]") -> list[ReceivedReport]:
        received = call.result()
        reports = [report for each in received.answers for report in self._noted(each)]
        if isinstance(received.error, Unavailable) and self._state.held:
            self._interrupted(received.error)
        elif received.error is not None:
            raise received.error
        return reports

    def _interrupted(self, error: Exception) -> None:
        """Continue without a failed call. The reports that its lost answer may hide need a pending wake-up."""
        log.warning("receive failed", extra={"connection": self._id, "reason": str(error)})
        self._state.plan_wake(self._context.clock() + self._context.timing.report_visibility)
        self._note_empty()

    def _noted(self, reports: list[ReceivedReport]) -> list[ReceivedReport]:
        self._depth = None
        self._last = len(reports)
        if not reports:
            self._note_empty()
        elif len(reports) == BATCH:
            # One full answer may be ten reports and no more, and each call costs money. A second one shows a backlog.
            self._width = CALLS if self._full else 1
            self._full = True
        for report in reports:
            self._largest = max(self._largest, len(report.body))
            self._missing.discard(report.message_id)
            self._state.released.discard(report.message_id)
        self._state.hold(reports)
        return reports

    def _note_empty(self) -> None:
        self._width = 1
        self._full = False
        self._resume_at = len(self._state.settled) + BATCH

    @property
    def _needs_more(self) -> bool:
        returned = not self._state.released.isdisjoint(self._own)
        return self._exhaustive or bool(self._missing) or returned or self._last >= BATCH

    def _start_calls(self) -> None:
        if not self._state.held or not self._needs_more:
            return
        if self._resume_at is not None and len(self._state.settled) < self._resume_at:
            return
        self._resume_at = None
        in_turn = CALLS_IN_TURN if self._width == CALLS else 1
        while len(self._calls) < self._width and self._has_room((len(self._calls) + 1) * in_turn * BATCH):
            call = self._context.calls.submit(self._receive_in_turn, in_turn)
            self._calls.append(call)
            call.add_done_callback(lambda _: self._notify())

    def _receive_in_turn(self, number: int) -> "_Received":
        """Receive up to ``number`` times, while the answers are full."""
        received = _Received()
        while not self._stopped and len(received.answers) < number:
            try:
                received.answers.append(self._context.queues.receive(self._id, BATCH, 0))
            except (NotFound, Unavailable) as error:
                received.error = error
                break
            if len(received.answers[-1]) < BATCH:
                break
        return received

    def _has_room(self, more: int) -> bool:
        state = self._state
        return len(state.held) + more <= self._most and state.held_bytes + more * self._largest <= HELD_BYTES

    def _receive_now(self) -> list[ReceivedReport]:
        """Receive in this thread, because nothing can run beside it. Empty at the end of the drain."""
        if not self._needs_more:
            return []
        self._resume_at = None
        return self._receive(0) or self._receive_again()

    def _receive(self, seconds: int) -> list[ReceivedReport]:
        return self._noted(self._context.queues.receive(self._id, BATCH, seconds))

    def _receive_again(self) -> list[ReceivedReport]:
        """Receive again after an empty receive, unless nothing can be received.

        The depth decides how: a long poll asks all servers of SQS, but a forwarder should wait only for reports that
        are there. An own report that is not counted at all may be one that SQS does not count yet.
        """
        if not self._exhaustive and not self._missing:
            return []
        depth = self._context.queues.depth(self._id)
        visible, in_flight = depth
        if visible:
            return self._receive(LONG_POLL)
        reports = [] if in_flight or not self._missing else self._receive(0)
        if not reports:
            self._depth = depth
        return reports
