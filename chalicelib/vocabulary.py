"""The product's closed sets: connection states, event types and failure reasons.

Every value that the API shows is listed here once. README's tables and the OpenAPI document are checked against it.
"""

from enum import StrEnum
from typing import Self


class ConnectionState(StrEnum):
    """States of a connection, as the API shows them."""

    OPENING = "OPENING"
    AUTHENTICATING = "AUTHENTICATING"
    OPENED = "OPENED"
    AUTHENTICATION_FAILED = "AUTHENTICATION_FAILED"
    UNREACHABLE = "UNREACHABLE"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"
    DEACTIVATED = "DEACTIVATED"


class FaultScope(StrEnum):
    """Scopes of a broker fault: it stops the whole connection, or only the direction that met it."""

    CONNECTION = "CONNECTION"
    DIRECTION = "DIRECTION"


class _Described(StrEnum):
    """A set whose members have a sentence."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


class FailureReason(_Described):
    """Reasons why a message fails for good. The sentence explains the reason where nothing more specific is known."""

    UNROUTABLE = "UNROUTABLE", "No queue is bound to the exchange with this routing key."
    REFUSED_BY_BROKER = "REFUSED_BY_BROKER", "The broker refuses this message, such as for its topic or its size."
    PATTERN_UNRESOLVED = "PATTERN_UNRESOLVED", "The report has no value for an expression of uplinkTopicPattern."
    ROUTING_KEY_TOO_LONG = "ROUTING_KEY_TOO_LONG", "The routing key is longer than AMQP's 255 bytes."
    MESSAGE_INVALID = "MESSAGE_INVALID", "AMQP cannot carry a property of the message."
    INVALID = "INVALID", "The message is not valid."
    MALFORMED = "MALFORMED", "The message is not JSON."
    PAYLOAD_NOT_ENCODABLE = "PAYLOAD_NOT_ENCODABLE", "No encoder exists for payload: send payload_hex."
    EXPIRED = "EXPIRED", "The uplink is older than uplinkTimeValidity: counted as lost, and not kept."
    VALIDITY_PASSED = "VALIDITY_PASSED", "The network server did not accept the downlink within its validity."
    NO_APPLICATION_SERVER = "NO_APPLICATION_SERVER", "No AS key is known for the downlink."
    REJECTED = "REJECTED", "The network server rejected the downlink."
    NOT_HANDLED = "NOT_HANDLED", "The message failed because of an internal error."

    @property
    def downlink_event(self) -> "EventType":
        """The event that reports a downlink with this reason."""
        own = self is FailureReason.PAYLOAD_NOT_ENCODABLE
        return EventType(self.value if own else f"DOWNLINK_{self.value}")

    @property
    def uplink_event(self) -> "EventType":
        """The event that reports uplinks with this reason."""
        own = self in {FailureReason.EXPIRED, FailureReason.NOT_HANDLED}
        return EventType(f"UPLINK_{self.value}" if own else self.value)


class RetryReason(StrEnum):
    """Reasons, besides a broker fault, why a message is published again."""

    NACKED = "NACKED"
    HELD_BACK = "HELD_BACK"
    DEADLINE = "DEADLINE"


class EventType(StrEnum):
    """Types of events in the event log. Each broker fault has the type of its event."""

    # Changes by the owner
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    ACTIVATED = "ACTIVATED"
    DEACTIVATED = "DEACTIVATED"
    RESTARTED = "RESTARTED"
    DELETED = "DELETED"
    MESSAGES_REPLAYED = "MESSAGES_REPLAYED"
    MESSAGES_PURGED = "MESSAGES_PURGED"
    # The connection to the broker
    OPENED = "OPENED"
    ADDRESS_FORBIDDEN = "ADDRESS_FORBIDDEN"
    DNS_FAILURE = "DNS_FAILURE"
    DNS_TIMEOUT = "DNS_TIMEOUT"
    CONNECTION_FAILED = "CONNECTION_FAILED"
    CONNECTION_REFUSED = "CONNECTION_REFUSED"
    CONNECTION_TIMEOUT = "CONNECTION_TIMEOUT"
    CONNECTION_LOST = "CONNECTION_LOST"
    CONNECTION_CLOSED = "CONNECTION_CLOSED"
    CONNECTION_UNUSABLE = "CONNECTION_UNUSABLE"
    CHANNEL_CLOSED = "CHANNEL_CLOSED"
    HEARTBEAT_MISSED = "HEARTBEAT_MISSED"
    BROKER_BLOCKED = "BROKER_BLOCKED"
    CONFIRM_TIMEOUT = "CONFIRM_TIMEOUT"
    CONFIRMS_MISSING = "CONFIRMS_MISSING"
    PROTOCOL_ERROR = "PROTOCOL_ERROR"
    PROTOCOL_MISMATCH = "PROTOCOL_MISMATCH"
    TLS_FAILURE = "TLS_FAILURE"
    TLS_NOT_SPOKEN = "TLS_NOT_SPOKEN"
    CERTIFICATE_NAME = "CERTIFICATE_NAME"
    CERTIFICATE_UNTRUSTED = "CERTIFICATE_UNTRUSTED"
    CERTIFICATE_UNUSABLE = "CERTIFICATE_UNUSABLE"
    CLIENT_CERTIFICATE_MISSING = "CLIENT_CERTIFICATE_MISSING"
    CLIENT_CERTIFICATE_REFUSED = "CLIENT_CERTIFICATE_REFUSED"
    LOGIN_REFUSED = "LOGIN_REFUSED"
    VIRTUAL_HOST_REFUSED = "VIRTUAL_HOST_REFUSED"
    VIRTUAL_HOST_DOWN = "VIRTUAL_HOST_DOWN"
    CONNECTION_LIMIT_REACHED = "CONNECTION_LIMIT_REACHED"
    CHANNEL_LIMIT_REACHED = "CHANNEL_LIMIT_REACHED"
    BROKER_IN_MAINTENANCE = "BROKER_IN_MAINTENANCE"
    PERMISSION_REFUSED = "PERMISSION_REFUSED"
    NOT_ALLOWED = "NOT_ALLOWED"
    EXCHANGE_MISSING = "EXCHANGE_MISSING"
    QUEUE_MISSING = "QUEUE_MISSING"
    QUEUE_LIMIT_REACHED = "QUEUE_LIMIT_REACHED"
    QUEUE_UNAVAILABLE = "QUEUE_UNAVAILABLE"
    CONSUMER_CANCELLED = "CONSUMER_CANCELLED"
    RESOURCE_LOCKED = "RESOURCE_LOCKED"
    PRECONDITION_FAILED = "PRECONDITION_FAILED"
    # Uplinks
    UNROUTABLE = "UNROUTABLE"
    REFUSED_BY_BROKER = "REFUSED_BY_BROKER"
    PATTERN_UNRESOLVED = "PATTERN_UNRESOLVED"
    ROUTING_KEY_TOO_LONG = "ROUTING_KEY_TOO_LONG"
    MESSAGE_INVALID = "MESSAGE_INVALID"
    INVALID = "INVALID"
    UPLINK_EXPIRED = "UPLINK_EXPIRED"
    UPLINK_STUCK = "UPLINK_STUCK"
    UPLINK_NOT_HANDLED = "UPLINK_NOT_HANDLED"
    UPLINKS_EXPIRE = "UPLINKS_EXPIRE"
    UPLINKS_LOST = "UPLINKS_LOST"
    # Downlinks
    DOWNLINK_DELAYED = "DOWNLINK_DELAYED"
    DOWNLINK_INVALID = "DOWNLINK_INVALID"
    DOWNLINK_MALFORMED = "DOWNLINK_MALFORMED"
    PAYLOAD_NOT_ENCODABLE = "PAYLOAD_NOT_ENCODABLE"
    DOWNLINK_VALIDITY_PASSED = "DOWNLINK_VALIDITY_PASSED"
    DOWNLINK_NO_APPLICATION_SERVER = "DOWNLINK_NO_APPLICATION_SERVER"
    DOWNLINK_REJECTED = "DOWNLINK_REJECTED"
    DOWNLINK_NOT_HANDLED = "DOWNLINK_NOT_HANDLED"
    # Checks once a minute
    LOW_UPLINK_RATE = "LOW_UPLINK_RATE"
    CERTIFICATE_EXPIRES = "CERTIFICATE_EXPIRES"
