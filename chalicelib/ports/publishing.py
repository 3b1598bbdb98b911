"""Publishing to a broker with confirms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.delivery import Outcome

APP_ID = "iot-flow"
"""The AMQP ``app_id`` of every message that the connector publishes, by which it recognises them again."""

FIXED_PROPERTIES: Mapping[str, Any] = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "delivery_mode": 2,
    "app_id": APP_ID,
}
"""The AMQP properties that all published messages share. Delivery mode 2: persistent."""


class OutgoingMessage(NamedTuple):
    """One ``basic.publish``. Messages of the same ``group`` are published one after the other, in order."""

    key: str
    """The caller's name for the message; outcomes are keyed by it."""
    group: str
    routing_key: str
    body: bytes
    message_id: str
    type: str
    uplink: bool = False
    """True if a confirm of the message shows that its device is active."""
    timestamp: int | None = None
    headers: Mapping[str, str | int] = MappingProxyType({})


def amqp_properties(message: OutgoingMessage) -> dict[str, Any]:
    """Return the AMQP properties of a message by name, except its headers."""
    return {
        **FIXED_PROPERTIES,
        "message_id": message.message_id,
        "timestamp": message.timestamp,
        "type": message.type,
    }


@dataclass(frozen=True)
class PublishResult:
    """Outcomes of messages.

    ``outcomes``: by the messages' keys. ``fault``: the error that ended the connection or the channel, if one did.
    ``slowest``: seconds that the slowest of their confirms took.
    """

    outcomes: Mapping[str, Outcome]
    fault: Exception | None = None
    slowest: float = 0.0


class Publisher(Protocol):
    """A warm AMQP connection with a channel in confirm mode.

    All methods belong to one thread at a time, except ``wake`` and ``waiting_since``.
    """

    def submit(self, messages: Sequence[OutgoingMessage], deadline: float) -> None:
        """Queue messages behind those without an outcome; ``progress`` sends them. Never fails.

        They are published pipelined, with at most one unconfirmed message of a group. ``deadline``: time.monotonic()
        at which all of them have an outcome.
        """

    def progress(self) -> PublishResult:
        """Send and receive until a message has an outcome, none lacks one, or ``wake`` is called.

        Returns the outcomes since the last call. Never raises for a broker's fault: then every message without an
        outcome gets RETRY, and ``fault`` says why. A message for which the broker closes the channel, but not for
        others, has the outcome FAILED, and the others are published on a new channel.
        """

    def wake(self) -> None:
        """End the running ``progress``, or the next one at once."""

    def check(self, deadline: float) -> None:
        """Make one round trip. Raises BrokerFault when the broker does not answer."""

    @property
    def usable(self) -> bool:
        """True while the connection is open and may publish again."""

    @property
    def is_quick(self) -> bool:
        """Whether the broker has confirmed all that was sent so quickly that more may be sent before its confirms."""

    @property
    def waiting_since(self) -> float:
        """Monotonic time since which the publisher waits for the broker; infinity if it does not. For any thread."""

    def close(self) -> None:
        """Close the channel and the connection."""

    def abort(self) -> None:
        """Reset the socket, so that a thawed environment flushes nothing."""


class PublisherFactory(Protocol):
    """Opens publishers."""

    def open(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> Publisher:
        """Connect, log in, open a channel in confirm mode, find or declare the exchange. Raises BrokerFault."""
