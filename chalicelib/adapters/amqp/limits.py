"""Faults of a broker that works but takes no further connection, channel or queue, or no client for a while."""

import re
from dataclasses import dataclass

from chalicelib.adapters.amqp.operation import BrokerOperation, one_line
from chalicelib.errors import BrokerFault, BrokerMisconfigured, BrokerUnreachable
from chalicelib.vocabulary import EventType

CHANNELS = 2
"""The maximum number of channels open at a time in one connection to a broker."""


@dataclass(frozen=True)
class _Limit:
    """A broker's text and its fault. The sentence may name ``{user}``, ``{said}``, ``{host}`` and more."""

    sign: str
    """Regular expression that the broker's text contains."""
    type: EventType
    sentence: str


_OF_THE_CONNECTION = (
    _Limit(
        "user connection limit",
        EventType.CONNECTION_LIMIT_REACHED,
        "{user} has reached the limit of connections ({said}). Raise the user's max-connections, lower "
        "maxConnections (up to {sockets} sockets of this connection are open at a time), or close other connections.",
    ),
    _Limit(
        "node connection limit",
        EventType.CONNECTION_LIMIT_REACHED,
        "The broker node has reached its limit of connections ({said}). Raise connection_max of the node, or close "
        "other connections to it.",
    ),
    _Limit(
        "connection limit",
        EventType.CONNECTION_LIMIT_REACHED,
        "The virtual host {virtual_host} has reached its limit of connections ({said}). Raise max-connections of the "
        "virtual host, or close other connections to it.",
    ),
    _Limit(
        "number of channels opened for user",
        EventType.CHANNEL_LIMIT_REACHED,
        "{user} has reached the limit of channels ({said}). Raise the user's max-channels: the connector opens at most "
        "{channels} channels at a time in each connection to the broker.",
    ),
    _Limit(
        "number of channels opened",
        EventType.CHANNEL_LIMIT_REACHED,
        "The broker node has reached its limit of channels ({said}). Raise channel_max_per_node of the node, or close "
        "other connections to it.",
    ),
    _Limit(
        r"vhost '.*' is down",
        EventType.VIRTUAL_HOST_DOWN,
        "The virtual host {virtual_host} is down at the broker ({said}). Wait, or restart it with rabbitmqctl "
        "restart_vhost.",
    ),
    _Limit(
        "maintenance mode",
        EventType.BROKER_IN_MAINTENANCE,
        "{host} is in maintenance ({said}). Wait until it ends, or set hostName to another node.",
    ),
)


def unavailable(text: str, operation: BrokerOperation, user: str) -> BrokerFault | None:
    """Return the fault for a connection that the broker closed although the configuration may be right.

    ``text`` is the broker's, ``user`` is the subject of a sentence. None for any other close.
    """
    for limit in _OF_THE_CONNECTION:
        if re.search(limit.sign, text):
            sentence = limit.sentence.format(
                user=user,
                said=operation.quote(text),
                host=operation.host,
                virtual_host=one_line(operation.virtual_host),
                channels=CHANNELS,
                sockets=operation.max_connections,
            )
            return BrokerUnreachable(limit.type, sentence)
    return None


def queue_refused(text: str, operation: BrokerOperation) -> BrokerFault | None:
    """Return the fault for a downlink queue that the broker cannot declare, reach or bind; None for any other."""
    said = operation.quote(text)
    if "queue limit" in text:
        return BrokerMisconfigured(
            EventType.QUEUE_LIMIT_REACHED,
            f"Cannot declare the downlink queue because the limit of queues is reached ({said}). Raise max-queues of "
            f"the virtual host {one_line(operation.virtual_host)}, delete unused queues, or set downlinkEnabled to "
            "false.",
        )
    if (home := re.search(r"home node '([^']+)'", text)) is not None:
        return BrokerUnreachable(
            EventType.QUEUE_UNAVAILABLE,
            f"The broker node {operation.quote(home[1])}, which has the downlink queue, is down ({said}). Wait until "
            "it runs again, or repair it.",
        )
    if "binding key must be" in text:
        return BrokerMisconfigured(
            EventType.PRECONDITION_FAILED,
            f"The exchange {one_line(operation.exchange)} accepts no topic pattern as binding key ({said}). Set "
            "downlinkEnabled to false, or use another exchange for downlinks.",
        )
    return None
