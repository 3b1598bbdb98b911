"""Changes of a connection's record. Pure functions."""

from typing import Any

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.topic_patterns import binding_key
from chalicelib.domain.validation.certificates import certificate_end
from chalicelib.vocabulary import ConnectionState

_MAX_BINDINGS = 8
"""Changes of pattern or exchange that are remembered while the broker is unreachable."""


def any_secret(secrets: ConnectionSecrets) -> bool:
    return secrets != ConnectionSecrets()


def certificate_ends(secrets: ConnectionSecrets) -> float | None:
    return None if secrets.certificate is None else certificate_end(secrets.certificate)


def first_state(active: bool) -> ConnectionState:
    return ConnectionState.OPENING if active else ConnectionState.DEACTIVATED


def fresh(now: float, *, active: bool) -> dict[str, Any]:
    """The breaker as in a connection just made; the epoch is another matter."""
    return {
        "state": first_state(active),
        "state_reason": None,
        "startup_time": None,
        "failures": 0,
        "outage_since": None,
        "probe_at": now if active else None,
    }


def old_bindings(stored: Connection, configuration: AmqpConfiguration) -> list[tuple[str, str]]:
    """Return the bindings that the downlink queue may still have and must lose."""
    had = [*stored.old_bindings, _binding(stored.configuration)]
    return [binding for binding in dict.fromkeys(had) if binding and binding != _binding(configuration)][
        -_MAX_BINDINGS:
    ]


def _binding(configuration: AmqpConfiguration) -> tuple[str, str] | None:
    if not configuration.downlink_topic_pattern:
        return None
    return configuration.exchange_name, binding_key(configuration.downlink_topic_pattern)
