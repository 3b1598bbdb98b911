"""Alarms: minutely checks of uplink rates and silent connections; certificate notices run with them."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from chalicelib.domain.alarm_windows import Window, window_at
from chalicelib.domain.connection import Alarm, Connection
from chalicelib.domain.connectors.common import ReconnectStrategy
from chalicelib.domain.event import Level
from chalicelib.domain.notifications.changes import Change
from chalicelib.errors import Conflict, NotFound, Unavailable
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import Monitoring, log
from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import Claims
from chalicelib.ports.history import UplinkCounters
from chalicelib.ports.notifications import Outbox
from chalicelib.upkeep.certificate_notices import CertificateNotices
from chalicelib.vocabulary import ConnectionState, EventType, NotificationKind

_DAY = 86400.0
_COUNTERS = ("uplinksDelivered", "uplinksFailed", "uplinksLost")
_MINUTES = 60
_LONGEST_TEXT = 300


class Alarms:
    """Checks one connection at a time and reports each finding once: a claim prevents a second event.

    It also restarts connections with the AGGRESSIVE reconnect strategy after an hour without uplinks.
    """

    def __init__(
        self,
        counters: UplinkCounters,
        claims: Claims,
        monitoring: Monitoring,
        restart: Callable[[str, str], object],
        clock: Clock,
        outbox: Outbox,
    ) -> None:
        """``restart`` takes a tenant and a connection id, and restarts the connection as the API does."""
        self._counters = counters
        self._claims = claims
        self._monitoring = monitoring
        self._restart = restart
        self._clock = clock
        self._outbox = outbox
        self._certificates = CertificateNotices(claims, monitoring, clock, outbox)

    def concerns(self, connection: Connection) -> bool:
        """Return whether ``check`` could find something, judged by the record alone."""
        if connection.alarms or self._certificates.concerns(connection):
            return True
        return _may_be_restarted(connection, self._clock())

    def check(self, connection: Connection) -> None:
        """Report each finding once. Does not raise Unavailable: the next run repeats a failed check."""
        try:
            for alarm in connection.alarms:
                self._check_rate(connection, alarm)
            self._certificates.check(connection)
            self._check_silence(connection)
        except Unavailable as error:
            log.warning("alarms not checked", extra={"connection": connection.id, "reason": str(error)})

    def _check_rate(self, connection: Connection, alarm: Alarm) -> None:
        now = self._clock()
        window = window_at(alarm, now)
        if window is None:
            return
        # The key contains the alarm's content, so that a changed alarm may report again in the same window.
        digest = hashlib.sha256(alarm.model_dump_json().encode()).hexdigest()[:16]
        key = f"alarm#{connection.tenant}#{connection.id}#{digest}#{int(window.start)}"
        if self._claims.held(key):
            return
        uplinks = self._uplinks_of_last_hour(connection, now)
        if uplinks >= alarm.uplink_rate_min_per_hour:
            return
        text, details = _rate_report(alarm, window, uplinks)
        # Before the claim: a function that is killed in between repeats it, and the outbox stores it once.
        self._outbox.add(Change(NotificationKind.LOW_RATE, connection, now, key, text, details, window.start))
        if self._claims.claim(key, window.end + _DAY):
            self._monitoring.event(connection, Level.WARNING, EventType.LOW_UPLINK_RATE, text, details)

    def _uplinks_of_last_hour(self, connection: Connection, now: float) -> int:
        minute = int(now // 60)
        counters = self._counters.counters(connection.tenant, connection.id, minute - _MINUTES, minute)
        # Failed and lost uplinks count too: the alarm detects silent devices, not a broken connection.
        return sum(counted.get(name, 0) for counted in counters.values() for name in _COUNTERS)

    def _check_silence(self, connection: Connection) -> None:
        """Restart an AGGRESSIVE connection after an hour without uplinks, in case the connection causes the silence."""
        now = self._clock()
        if not _may_be_restarted(connection, now) or self._uplinks_of_last_hour(connection, now):
            return
        try:
            self._restart(connection.tenant, connection.id)
        except (Conflict, NotFound) as error:
            log.info("connection not restarted", extra={"connection": connection.id, "reason": str(error)})


def _rate_report(alarm: Alarm, window: Window, uplinks: int) -> tuple[str, dict[str, Any]]:
    """Return the sentence and the details of a rate below an alarm's minimum."""
    minimum = alarm.uplink_rate_min_per_hour
    text = f"{uplinks} uplink(s) in the last hour, the alarm requires at least {minimum}."
    if alarm.message:
        text = f"{alarm.message[:_LONGEST_TEXT]} ({text[:-1]})."
    return text, {
        "uplinks": uplinks,
        "minimum": minimum,
        "windowStart": iso_time(window.start),
        "windowEnd": iso_time(window.end),
    }


def _may_be_restarted(connection: Connection, now: float) -> bool:
    """Return whether the record shows an active AGGRESSIVE connection that has been open for an hour."""
    if connection.configuration.reconnect_strategy != ReconnectStrategy.AGGRESSIVE or not connection.startup_time:
        return False
    opened = datetime.fromisoformat(connection.startup_time).timestamp()
    return connection.active and connection.state == ConnectionState.OPENED and now - opened > _MINUTES * 60
