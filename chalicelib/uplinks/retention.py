"""Expire reports that have waited 14 days for their broker.

SQS drops messages silently when their retention ends. This service warns the tenant a day earlier (``UPLINKS_EXPIRE``)
and deletes the reports itself half an hour before SQS would, so that it can count them (``UPLINKS_LOST``). Only the
queue knows how old its messages are, and receiving them hides them for a moment; each check therefore records when
the next one is due, derived from the oldest report it saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chalicelib.domain.connection import Connection
from chalicelib.domain.event import Level
from chalicelib.domain.notifications.changes import Change
from chalicelib.errors import NotFound, Unavailable
from chalicelib.kernel.durations import parse_duration
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import Monitoring, log
from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import Claims
from chalicelib.ports.notifications import Outbox
from chalicelib.ports.queues import BATCH, RETENTION, ReceivedReport, UplinkQueues
from chalicelib.uplinks.outcome_log import lost_entries
from chalicelib.vocabulary import EventType, NotificationKind

NOTICE = 86400.0
"""Seconds between the warning and the end of a report's retention."""
MARGIN = 1800.0
"""Seconds by which this service deletes reports before SQS, which does not count the messages that it drops."""
PERIOD = 900.0
"""Shortest time in seconds between two checks of a queue, because each check hides reports for a moment."""
LONGEST_PERIOD = 3 * 86400.0
"""Longest time in seconds between two checks; the depth that SQS reports is approximate."""
_BATCHES = 100
"""Upper limit of batches that one check receives."""


class Retention:
    """Expires queued reports of connections whose breaker is open.

    It deletes a report before SQS drops it silently, and reports and counts each deleted report as lost.
    """

    def __init__(
        self, queues: UplinkQueues, claims: Claims, monitoring: Monitoring, clock: Clock, outbox: Outbox
    ) -> None:
        self._queues = queues
        self._claims = claims
        self._monitoring = monitoring
        self._clock = clock
        self._outbox = outbox

    def check(self, connection: Connection) -> None:
        """Check the queue if a check is due. Does not raise Unavailable: the next run repeats a failed check."""
        key = f"retention#{connection.tenant}#{connection.id}"
        try:
            if self._claims.held(key):
                return
            now = self._clock()
            age = self._age(connection, now)
            if age.ends <= now + NOTICE:
                self._warn(connection, now, age)
            self._claims.claim(key, _next_check(now, age))
        except (NotFound, Unavailable) as error:
            log.warning("retention not checked", extra={"connection": connection.id, "reason": str(error)})

    def _age(self, connection: Connection, now: float) -> "_Age":
        """Delete the expired reports; return the age of the remaining ones.

        Return that of a report accepted now for an empty queue, because later reports are younger."""
        validity = connection.configuration.uplink_time_validity
        for _ in range(_BATCHES):
            reports = self._queues.receive(connection.id, BATCH)
            old = [report for report in reports if report.sent_at <= now - (RETENTION - MARGIN)]
            young = [report for report in reports if report not in old]
            self._queues.release(connection.id, [report.receipt for report in young], 0)
            self._drop(connection, old)
            if not old:
                ends = (report.sent_at + _kept(report.validity or validity) for report in young)
                oldest = min((report.sent_at for report in young), default=now)
                return _Age(oldest, min(ends, default=now + _kept(validity)))
        return _Age(now - RETENTION, now)

    def _drop(self, connection: Connection, reports: Sequence[ReceivedReport]) -> None:
        if not reports:
            return
        # Report before deleting: a crash may repeat the event, but never loses a report silently.
        self._monitoring.event(
            connection,
            Level.ERROR,
            EventType.UPLINKS_LOST,
            f"{len(reports)} report(s) were deleted after waiting 14 days for the broker, the longest possible time. "
            "Repair the connection, or more reports will be lost.",
            {"count": len(reports), "oldest": iso_time(reports[0].sent_at)},
        )
        left = self._queues.delete_messages(connection.id, [report.receipt for report in reports])
        gone = [report for report in reports if report.receipt not in left]
        entries = lost_entries(gone, self._clock(), "The report waited 14 days for the broker, the longest time.")
        self._monitoring.count(connection, {"uplinksLost": len(gone)}, (), entries)

    def _warn(self, connection: Connection, now: float, age: "_Age") -> None:
        """Warn at most once a day that the oldest reports are about to expire."""
        key = f"retention-told#{connection.tenant}#{connection.id}"
        if self._claims.held(key):
            return
        oldest, ends = iso_time(age.oldest), iso_time(age.ends)
        text = (
            f"Reports have waited for the broker since {oldest} and will be deleted from {ends} on. "
            "Repair the connection before then."
        )
        details = {"oldest": oldest, "ends": ends}
        # Before the claim: a function that is killed in between repeats it, and the outbox stores it once.
        self._outbox.add(
            Change(NotificationKind.EXPIRE, connection, now, oldest, text, details, now // NOTICE * NOTICE)
        )
        if self._claims.claim(key, now + NOTICE):
            self._monitoring.event(connection, Level.WARNING, EventType.UPLINKS_EXPIRE, text, details)


@dataclass(frozen=True)
class _Age:
    """The Unix times at which the oldest report was accepted and at which the first report ends its time."""

    oldest: float
    ends: float


def _kept(validity: str | None) -> float:
    """Return the seconds that a report may wait: its validity if that is longer than a day, else the retention.

    A validity of at most a day leaves no time for a warning a day earlier."""
    seconds = float(RETENTION) if validity is None else parse_duration(validity)
    return min(seconds, RETENTION) if seconds > NOTICE else RETENTION


def _next_check(now: float, age: _Age) -> float:
    due = (age.ends - NOTICE, age.oldest + RETENTION - MARGIN)
    return min(max(min((moment for moment in due if moment > now), default=now), now + PERIOD), now + LONGEST_PERIOD)
