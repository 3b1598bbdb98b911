"""Circuit breaker of a connection: its next state and the time of the next probe. Pure functions.

The breaker is open while ``outage_since`` is set. Then only a probe connects to the broker, and drains discard
wakes. Discarding loses nothing: ``recovered`` always schedules a pending wake-up, so the reconciler wakes the
connection.
"""

from chalicelib.domain.connection import Connection, Outage
from chalicelib.domain.connectors.common import ReconnectStrategy
from chalicelib.errors import BrokerFault
from chalicelib.kernel.backoff import backoff
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import ConnectionState

_MINUTE = 60.0
_HOUR = 3600.0
_DAY = 86400.0

_PHASES: dict[ReconnectStrategy, tuple[tuple[float, float], ...]] = {
    ReconnectStrategy.CALM: ((12 * _HOUR, 10 * _MINUTE), (_DAY, _HOUR)),
    ReconnectStrategy.NORMAL: ((_HOUR, 5 * _MINUTE), (_DAY, _HOUR), (float("inf"), _DAY)),
    ReconnectStrategy.AGGRESSIVE: ((3 * _HOUR, 3 * _MINUTE), (7 * _DAY, 30 * _MINUTE), (float("inf"), _HOUR)),
}
"""Successive phases of an outage: (duration of the phase, interval between probes), in seconds."""

_SOON = 5 * _MINUTE
_OUTAGES = 5
"""Outages that a record keeps."""
_LONGEST_REASON = 300

MAX_JITTER = _MINUTE
"""The maximum random delay added to an interval, in seconds."""


def interval(strategy: ReconnectStrategy, outage: float) -> float | None:
    """Return the seconds until the next probe after ``outage`` seconds of outage; None if the strategy gives up."""
    for length, period in _PHASES[strategy]:
        if outage < length:
            return period
        outage -= length
    return None


def next_attempt(strategy: ReconnectStrategy, fault: BrokerFault, outage: float) -> float | None:
    """Return the seconds until the next attempt; a fault that may pass soon is tried each minute at first."""
    period = interval(strategy, outage)
    return min(period, _MINUTE) if period is not None and fault.brief and outage < _SOON else period


def failed(connection: Connection, fault: BrokerFault, now: float, jitter: float, scale: float) -> Connection:
    """Return the connection with the breaker opened by ``fault`` and the next probe scheduled.

    ``now`` is in Unix seconds, ``jitter`` is between 0 and 1, and ``scale`` is TIME_SCALE.
    """
    since = now if connection.outage_since is None else connection.outage_since
    period = next_attempt(connection.configuration.reconnect_strategy, fault, (now - since) * scale)
    probe_at = None if period is None else now + (period + jitter * MAX_JITTER) / scale
    return connection.model_copy(
        update={
            "state": fault.state if probe_at is not None else ConnectionState.CLOSED,
            "state_reason": str(fault),
            "epoch": connection.epoch + 1,
            "failures": connection.failures + 1,
            "outage_since": since,
            "faulty_since": since if connection.faulty_since is None else connection.faulty_since,
            "probe_at": probe_at,
            "fast_since": None,
            "fault_scope": fault.scope,
            "fault_type": fault.type.value,
        }
    )


def recovered(connection: Connection, now: float, token: str, wake_at: float, *, fast: bool = False) -> Connection:
    """Return the connection with the breaker closed and a pending wake-up with ``token``.

    The wake-up is due at ``wake_at`` (Unix seconds), or earlier if one was pending already. It replaces the wakes
    that were discarded while the breaker was open. ``fast``: the broker proved to be fast.
    """
    return connection.model_copy(
        update={
            "state": ConnectionState.OPENED,
            "state_reason": None,
            "startup_time": iso_time(now),
            "epoch": connection.epoch + 1,
            "failures": 0,
            "outage_since": None,
            "opened_at": now if connection.opened_at is None else connection.opened_at,
            "faulty_since": None,
            "outages": _outages(connection, now),
            "probe_at": None,
            "fast_since": now if fast else connection.fast_since,
            "fault_scope": None,
            "fault_type": None,
            "wake_at": wake_at if connection.wake_at is None else min(wake_at, connection.wake_at),
            "wake_token": token,
        }
    )


def _outages(connection: Connection, now: float) -> list[Outage]:
    """Return the outages to keep when the connection opens ``now``: the longest ones of a day, in their order."""
    # A record of the previous release has only the start of the outage.
    since = connection.outage_since if connection.faulty_since is None else connection.faulty_since
    kept = [outage for outage in connection.outages if outage.until > now - _DAY]
    if since is not None:
        reason = connection.state_reason
        kept.append(Outage(since=since, until=now, reason=reason and reason[:_LONGEST_REASON]))
    longest = sorted(kept, key=_length, reverse=True)[:_OUTAGES]
    return [outage for outage in kept if outage in longest]


def _length(outage: Outage) -> float:
    return outage.until - outage.since


def nack_delay(attempts: int, scale: float) -> int:
    """Return the seconds that a device backs off after its report was nacked ``attempts`` times.

    The delay starts at 5 s and doubles up to 15 min.
    """
    return backoff(attempts, first=5, longest=900, scale=scale)
