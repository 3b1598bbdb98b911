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
    DRIVER_FAILED = "DRIVER_FAILED", "The driver of the flow cannot encode payload."
    EXPIRED = "EXPIRED", "The uplink is older than uplinkTimeValidity: counted as lost, and not kept."
    VALIDITY_PASSED = "VALIDITY_PASSED", "The network server did not accept the downlink within its validity."
    NO_APPLICATION_SERVER = "NO_APPLICATION_SERVER", "No AS key is known for the downlink."
    REJECTED = "REJECTED", "The network server rejected the downlink."
    NOT_HANDLED = "NOT_HANDLED", "The message failed because of an internal error."

    @property
    def downlink_event(self) -> "EventType":
        """The event that reports a downlink with this reason."""
        own = self in {FailureReason.PAYLOAD_NOT_ENCODABLE, FailureReason.DRIVER_FAILED}
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
    # Drivers of flows, for uplinks and downlinks
    DRIVER_FAILED = "DRIVER_FAILED"
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


class NotificationKind(_Described):
    """Changes of state that a tenant can be notified of. The value is the ``type`` of the notification's body."""

    OPENED = "connection.opened", "The connection opened first since it was created, activated or changed."
    FAULTY = "connection.faulty", "The connection has been without its broker for longer than faultyAfter."
    RECOVERED = "connection.recovered", "The connection opened after an outage that was longer than faultyAfter."
    LOW_RATE = "uplinks.low_rate", "The uplinks of the last hour are fewer than an alarm of the connection requires."
    CERTIFICATE = "certificate.expires", "The client certificate expires within 30 or 7 days."
    EXPIRE = "messages.expire", "Queued uplinks will be deleted within a day."


class DeliveryStatus(StrEnum):
    """States of a notification on its way to a tenant's webhook or topic."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Unit(StrEnum):
    """Units of metrics, as CloudWatch names them."""

    COUNT = "Count"
    SECONDS = "Seconds"
    MILLISECONDS = "Milliseconds"


class Metric(StrEnum):
    """Metrics of a stage. Counts are added up per invocation; times are values, of which each one counts.

    Each metric has the dimension ``Stage``, and those with ``by`` that dimension, too.
    """

    unit: Unit
    sentence: str
    by: str | None

    def __new__(cls, value: str, unit: Unit, sentence: str, by: str | None = None) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.unit, member.sentence, member.by = unit, sentence, by
        return member

    # The API
    API_2XX = "Api2xx", Unit.COUNT, "Responses below 400."
    API_4XX = "Api4xx", Unit.COUNT, "Responses from 400 to 499 except 429: mistakes of callers."
    API_429 = "Api429", Unit.COUNT, "Responses 429: a tenant reached its limit of connection tests."
    API_5XX = "Api5xx", Unit.COUNT, "Responses from 500 on: failures of this program or of AWS."
    API_LATENCY = (
        "ApiLatency",
        Unit.MILLISECONDS,
        "Duration of a request, without the cold start.",
        "Routes",
    )
    # Uplinks
    UPLINKS_ACCEPTED = "UplinksAccepted", Unit.COUNT, "Reports stored in a connection's queue."
    UPLINKS_DELIVERED = "UplinksDelivered", Unit.COUNT, "Uplinks confirmed by their broker."
    UPLINKS_FAILED = "UplinksFailed", Unit.COUNT, "Uplinks kept as failed messages, such as unroutable ones."
    UPLINKS_EXPIRED = "UplinksExpired", Unit.COUNT, "Uplinks discarded because of uplinkTimeValidity."
    UPLINKS_LOST = "UplinksLost", Unit.COUNT, "Uplinks deleted after 14 days of waiting for their broker."
    UPLINKS_EXPIRE = "UplinksExpire", Unit.COUNT, "Warnings that uplinks will be lost or discarded within a day."
    UPLINKS_STUCK = "UplinksStuck", Unit.COUNT, "Uplinks received ten times, or a multiple, when an attempt begins."
    UPLINKS_RETURNED = (
        "UplinksReturned",
        Unit.COUNT,
        "Those of UplinksStuck whose attempt ended, such as with the broker's nack. The others ended the function.",
    )
    DELIVERY_DELAY = "DeliveryDelay", Unit.SECONDS, "Longest time in a drain from acceptance to the broker's confirm."
    DRAINS_HELD = (
        "DrainsHeld",
        Unit.COUNT,
        "Drains that the slow lane's limits for a connection or tenant held back.",
    )
    # Downlinks
    DOWNLINKS_ACCEPTED = "DownlinksAccepted", Unit.COUNT, "Downlinks stored in the downlink queue."
    DOWNLINKS_SENT = "DownlinksSent", Unit.COUNT, "Downlinks that the network server accepted."
    DOWNLINKS_FAILED = "DownlinksFailed", Unit.COUNT, "Downlinks kept as failed messages or rejected, for any reason."
    DOWNLINKS_REJECTED = "DownlinksRejected", Unit.COUNT, "Downlinks that the network server rejected."
    DOWNLINKS_DELAYED = "DownlinksDelayed", Unit.COUNT, "Downlinks at whose first attempt the network server failed."
    # Notifications
    NOTIFICATIONS_DUE = "NotificationsDue", Unit.COUNT, "Notifications that were due at a run of the reconciler."
    NOTIFICATIONS_DELIVERED = "NotificationsDelivered", Unit.COUNT, "Notifications that their target accepted."
    NOTIFICATIONS_FAILED = (
        "NotificationsFailed",
        Unit.COUNT,
        "Notifications that were given up, such as after two days without an answer of the tenant's webhook.",
    )
    # Faults of this program
    NOT_HANDLED = "NotHandled", Unit.COUNT, "Messages kept as failed because of an internal error."
    UNREADABLE = "Unreadable", Unit.COUNT, "Records and queued items that this release cannot read."
    EVENTS_LOST = "EventsLost", Unit.COUNT, "Events of tenants that DynamoDB did not store."
    # The reconciler, once per run
    CONNECTIONS = "Connections", Unit.COUNT, "Active connections.", "State"
    BREAKERS_OPEN = "BreakersOpen", Unit.COUNT, "Active connections whose breaker is open."
    TENANTS = "Tenants", Unit.COUNT, "Tenants with an active connection."
    TENANTS_BROKEN = "TenantsBroken", Unit.COUNT, "Tenants with an open breaker."
    CERTIFICATES_ENDING = "CertificatesEnding", Unit.COUNT, "Client certificates that end within seven days."
    WAKE_OVERDUE = "WakeOverdue", Unit.SECONDS, "Time since the oldest pending wake-up was due."
    QUEUED = "Queued", Unit.COUNT, "Reports found in the queues swept by this run, most of them on their way."
    SWEPT = "Swept", Unit.COUNT, "Connections whose queued reports had neither a wake nor a forwarder."
    RECONCILER_DURATION = "ReconcilerDuration", Unit.SECONDS, "Duration of the run."
    RECONCILER_LAG = "ReconcilerLag", Unit.SECONDS, "Time from the schedule's event to the start of the run."
