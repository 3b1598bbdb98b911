"""Fields of a connection's record that follow from a change of its configuration. Pure functions."""

from typing import Any

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.downlink_fault import NO_POLL_YET
from chalicelib.domain.topic_patterns import binding_key
from chalicelib.domain.validation.certificates import certificate_end
from chalicelib.errors import PatternError
from chalicelib.vocabulary import ConnectionState

_MAX_BINDINGS = 8
"""The maximum number of old bindings kept while the broker is unreachable; older ones are dropped."""


def any_secret(secrets: ConnectionSecrets) -> bool:
    """Return whether at least one secret is set."""
    return secrets != ConnectionSecrets()


def certificate_ends(secrets: ConnectionSecrets) -> float | None:
    """Return the expiry of the client certificate in Unix seconds; None if there is no certificate."""
    return None if secrets.certificate is None else certificate_end(secrets.certificate)


def first_state(active: bool) -> ConnectionState:
    """Return the state before the first attempt to connect."""
    return ConnectionState.OPENING if active else ConnectionState.DEACTIVATED


def fresh(now: float, *, active: bool) -> dict[str, Any]:
    """Return the fields of both directions' state for a new connection, except its epoch.

    A probe is due ``now`` if it is active. The start of an outage stays for an active one: only its success ends it.
    """
    forgotten = {} if active else {"faulty_since": None}
    return {
        "state": first_state(active),
        "state_reason": None,
        "startup_time": None,
        "failures": 0,
        "outage_since": None,
        "probe_at": now if active else None,
        "fault_scope": None,
        "fault_type": None,
        "opened_at": None,
        **forgotten,
        **NO_POLL_YET,
    }


def again(stored: Connection, now: float) -> dict[str, Any]:
    """Return the fields of ``fresh`` for a restart, which changes nothing but the schedule."""
    return {**fresh(now, active=True), "opened_at": stored.opened_at}


def old_bindings(stored: Connection, configuration: AmqpConfiguration) -> list[tuple[str, str]]:
    """Return the obsolete bindings that the downlink queue may still have after a change to ``configuration``."""
    had = [*stored.old_bindings, _binding(stored.configuration)]
    return [binding for binding in dict.fromkeys(had) if binding and binding != _binding(configuration)][
        -_MAX_BINDINGS:
    ]


def _binding(configuration: AmqpConfiguration) -> tuple[str, str] | None:
    if not configuration.downlink_topic_pattern:
        return None
    try:
        return configuration.exchange_name, binding_key(configuration.downlink_topic_pattern)
    except PatternError:
        # Another release stored the pattern; this one has bound nothing for it.
        return None
