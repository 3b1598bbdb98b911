"""Fault of a connection's downlinks alone, such as a refused queue. Pure functions.

It does not open the breaker, so uplinks go on. Polls are retried by the same schedule as probes.
"""

from chalicelib.domain import breaker
from chalicelib.domain.connection import Connection
from chalicelib.errors import BrokerFault
from chalicelib.vocabulary import ConnectionState

NO_POLL_YET = {
    "downlink_state": None,
    "downlink_reason": None,
    "downlink_fault_type": None,
    "downlink_failures": 0,
    "downlink_since": None,
    "downlink_probe_at": None,
}
"""The fields of a connection whose downlinks were not polled yet."""


def failed(connection: Connection, fault: BrokerFault, now: float, jitter: float, scale: float) -> Connection:
    """Return the connection with the downlinks closed by ``fault`` and the next poll scheduled.

    ``now`` is in Unix seconds, ``jitter`` is between 0 and 1, and ``scale`` is TIME_SCALE.
    """
    since = now if connection.downlink_since is None else connection.downlink_since
    period = breaker.next_attempt(connection.configuration.reconnect_strategy, fault, (now - since) * scale)
    return connection.model_copy(
        update={
            "downlink_state": ConnectionState.CLOSED,
            "downlink_reason": str(fault),
            "downlink_fault_type": fault.type.value,
            "downlink_failures": connection.downlink_failures + 1,
            "downlink_since": since,
            "downlink_probe_at": None if period is None else now + (period + jitter * breaker.MAX_JITTER) / scale,
        }
    )


def opened(connection: Connection) -> Connection:
    """Return the connection with its downlinks opened."""
    return connection.model_copy(update={**NO_POLL_YET, "downlink_state": ConnectionState.OPENED})


def poll_is_due(connection: Connection, now: float) -> bool:
    """Return whether a poll may consume the downlinks at ``now`` (Unix seconds)."""
    if not connection.active or not connection.configuration.downlink_enabled or connection.is_down:
        return False
    probe_at = connection.downlink_probe_at
    return connection.downlink_since is None or (probe_at is not None and probe_at <= now)
