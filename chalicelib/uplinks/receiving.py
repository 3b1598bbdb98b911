"""Receiving of one connection's reports in chunks, from a queue that may answer short or falsely empty."""

from collections.abc import Sequence

from chalicelib.domain.work_items import Wake
from chalicelib.errors import Unavailable
from chalicelib.monitoring import log
from chalicelib.ports.queues import BATCH, ReceivedReport
from chalicelib.uplinks.drain_context import DrainContext

CHUNK_REPORTS = 100
CHUNK_BYTES = 4 << 20
"""Limits of one chunk held in memory; a single report may have 256 KB."""
LONG_POLL = 1
"""Seconds of the long poll that follows an empty receive of a queue that is not empty."""


def is_full(reports: Sequence[ReceivedReport]) -> bool:
    """Return whether ``reports`` fill a chunk, so that a backlog is likely."""
    return len(reports) >= CHUNK_REPORTS or sum(len(report.body) for report in reports) >= CHUNK_BYTES


class ReportReceiver:
    """Receives the reports that one drain's wakes are about.

    SQS may return fewer reports than it has, or none: a short answer ends nothing, and an empty one is checked
    against the queue's depth. A drain is *exhaustive* if one of its wakes names no report, as after an outage: it
    goes on until the queue is empty. Any other drain needs only the reports of its own wakes.
    """

    def __init__(self, context: DrainContext, connection_id: str, wakes: Sequence[Wake]) -> None:
        self._context = context
        self._id = connection_id
        self._own = {wake.message_id for wake in wakes if wake.message_id}
        self._exhaustive = any(wake.message_id is None for wake in wakes)
        self._held: set[str] = set()
        self._depth: tuple[int, int] | None = None
        self.interrupted = False
        """SQS failed after a part of a chunk was received; what it may have hidden needs a pending wake-up."""

    def chunk(self, until: float) -> list[ReceivedReport]:
        """Receive one chunk, until ``until`` (monotonic) once a report is held. Empty at the end of the drain.

        Raises NotFound, and Unavailable if no report is held."""
        return self._gather(self._receive(CHUNK_REPORTS, 0) or self._receive_again(), until)

    def is_enough(self, settled: set[str], chunk: Sequence[ReceivedReport]) -> bool:
        """Return whether the drain may end after ``chunk``: the wakes' reports are settled, and no backlog shows."""
        return not self._exhaustive and self._own <= settled and len(chunk) < BATCH

    def proves(self, settled: set[str]) -> bool:
        """Return whether the wakes need nothing more: their reports are settled, or the queue was found empty."""
        return self._own <= settled and (not self._exhaustive or self._depth == (0, 0))

    def _gather(self, held: list[ReceivedReport], until: float) -> list[ReceivedReport]:
        last = held
        while last and not is_full(held) and self._context.monotonic() < until:
            if len(last) < BATCH and not self._exhaustive and self._own <= self._held:
                break
            try:
                last = self._receive(CHUNK_REPORTS - len(held), 0)
            except Unavailable as error:
                log.warning("chunk ended early", extra={"connection": self._id, "reason": str(error)})
                self.interrupted = True
                break
            held = held + last
        return held

    def _receive(self, limit: int, wait: int) -> list[ReceivedReport]:
        reports = self._context.queues.receive(self._id, limit, wait)
        self._held |= {report.message_id for report in reports}
        self._depth = None
        return reports

    def _receive_again(self) -> list[ReceivedReport]:
        """Receive again after an empty receive, unless nothing can be received.

        The depth decides how: a long poll asks all servers of SQS, but a forwarder should wait only for reports that
        are there. An own report that is not counted at all may be one that SQS does not count yet.
        """
        if not self._exhaustive and self._own <= self._held:
            return []
        depth = self._context.queues.depth(self._id)
        visible, in_flight = depth
        if visible:
            return self._receive(CHUNK_REPORTS, LONG_POLL)
        reports = [] if in_flight or self._own <= self._held else self._receive(CHUNK_REPORTS, 0)
        if not reports:
            self._depth = depth
        return reports
