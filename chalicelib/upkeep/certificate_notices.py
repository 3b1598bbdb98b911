"""Certificate notices: warnings before a connection's client certificate expires."""

from chalicelib.domain.connection import Connection
from chalicelib.domain.event import Level
from chalicelib.domain.notifications.changes import Change
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import Monitoring
from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import Claims
from chalicelib.ports.notifications import Outbox
from chalicelib.vocabulary import EventType, NotificationKind

_DAY = 86400.0
_NOTICES = (7, 30)
"""Days before a certificate's end at which the tenant is warned, the nearest first."""


class CertificateNotices:
    """Warns a tenant 30 and 7 days before a client certificate expires.

    A claim for each certificate and notice prevents a second event.
    """

    def __init__(self, claims: Claims, monitoring: Monitoring, clock: Clock, outbox: Outbox) -> None:
        self._claims = claims
        self._monitoring = monitoring
        self._clock = clock
        self._outbox = outbox

    def concerns(self, connection: Connection) -> bool:
        """Return whether the certificate ends within 30 days or has ended, judged by the record alone."""
        ends = connection.certificate_ends
        return ends is not None and ends - self._clock() <= max(_NOTICES) * _DAY

    def check(self, connection: Connection) -> None:
        """Report the certificate's end if a notice is due. Raises Unavailable."""
        now, ends = self._clock(), connection.certificate_ends
        if ends is None or ends <= now:
            return
        days = next((days for days in _NOTICES if ends - now <= days * _DAY), None)
        if days is None:
            return
        key = f"certificate#{connection.tenant}#{connection.id}#{int(ends)}#{days}"
        if self._claims.held(key):
            return
        left = int((ends - now) // _DAY)
        text = f"The client certificate expires at {iso_time(ends)}, in {left} day(s). Set a new certificate and key."
        details = {"ends": iso_time(ends), "days": left}
        # Before the claim: a function that is killed in between repeats it, and the outbox stores it once.
        self._outbox.add(Change(NotificationKind.CERTIFICATE, connection, now, key, text, details, now // _DAY * _DAY))
        if self._claims.claim(key, ends + _DAY):
            self._monitoring.event(connection, Level.WARNING, EventType.CERTIFICATE_EXPIRES, text, details)
