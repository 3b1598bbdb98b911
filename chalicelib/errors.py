"""Exceptions of this project, with the HTTP status, connection state or failure reason that each one leads to.

::

    Error
     ├─ InvalidRequest          the request violates the schema or a rule                  → 422
     │   └─ Malformed           the body is not JSON or not UTF-8                          → 400
     ├─ Unauthorized            the token is missing or invalid                            → 401
     ├─ Forbidden               the token lacks the scope                                  → 403
     ├─ NotFound                the object is unknown or belongs to another tenant         → 404
     │   └─ QueueMissing        SQS does not know a connection's queue                     → 404
     ├─ Conflict                a limit is reached or a name is taken                      → 409
     ├─ PreconditionFailed      If-Match names an old version                              → 412
     ├─ TooLarge                the body exceeds its limit                                 → 413
     ├─ UnsupportedEncoding     the body is compressed in a way that is not supported      → 415
     ├─ TooManyRequests         the tenant exceeds a rate limit                            → 429
     ├─ Unfinished              the deployment lacks settings                              → 503
     ├─ Unavailable             an AWS service does not answer; nothing was acknowledged   → 503
     │   └─ Unreadable          the record of a connection is unreadable for this release  → 409
     ├─ PemError                a text is not usable PEM
     ├─ BrokerFault             the tenant's broker or its configuration fails; reports are kept
     │   ├─ BrokerUnreachable   DNS, TCP or TLS fails, or an operation times out           → UNREACHABLE
     │   ├─ BrokerRefused       the broker refuses the login or the certificate            → AUTHENTICATION_FAILED
     │   └─ BrokerMisconfigured virtual host, exchange or permission is missing            → CLOSED
     ├─ PatternError            a topic pattern is invalid
     ├─ NotRoutable             a report has no usable routing key and fails for good
     │   ├─ Unresolved          no alternative of an expression resolves                   → PATTERN_UNRESOLVED
     │   └─ TooLong             the routing key exceeds AMQP's 255 bytes                   → ROUTING_KEY_TOO_LONG
     ├─ NotDelivered            a webhook or a topic does not accept a notification; it is retried
     ├─ DownlinkInvalid         a downlink cannot be sent; rejected without requeue
     ├─ DownlinkRejected        the network server answers 4xx
     └─ DownlinkDelayed         the network server answers 5xx or does not answer

Adapters translate SDK errors into these classes, so no other code handles pika's or botocore's exceptions.
"""

from dataclasses import dataclass

from chalicelib.vocabulary import ConnectionState, EventType, FailureReason, FaultScope


class Error(Exception):
    """The root of the tree. Its text may be shown to a user and contains no secret."""


@dataclass(frozen=True)
class Violation:
    """One violation in a request: a JSON pointer (RFC 6901) and a sentence with the remedy.

    ``line`` and ``column``: the place in a text such as code, from 1; None elsewhere.
    """

    pointer: str
    detail: str
    line: int | None = None
    column: int | None = None


class InvalidRequest(Error):
    """A request that violates the schema or a rule; ``violations`` holds every violation found."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("; ".join(f"{violation.pointer}: {violation.detail}" for violation in violations))
        self.violations = violations


class Malformed(InvalidRequest):
    """A body that is not JSON or not UTF-8."""

    def __init__(self, detail: str) -> None:
        super().__init__([Violation("", detail)])
        self.detail = detail


class Unauthorized(Error):
    """A request whose token is missing or invalid."""


class Forbidden(Error):
    """A request whose token lacks the scope."""


class NotFound(Error):
    """An object that does not exist or belongs to another tenant; the answer does not reveal which."""


class QueueMissing(NotFound):
    """A connection's queue does not exist, or SQS has not propagated its creation yet."""


class PemError(Error):
    """A text that is not usable PEM; the message names the block and the remedy."""


class Conflict(Error):
    """A change that exceeds a limit or uses a name that is taken."""


class PreconditionFailed(Error):
    """A change based on an old version of the object."""


class TooLarge(Error):
    """A body that exceeds its limit."""


class UnsupportedEncoding(Error):
    """A body whose Content-Encoding the API does not decode."""


class TooManyRequests(Error):
    """A tenant's call above a rate limit; ``retry_after`` is the time to wait in whole seconds."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unfinished(Error):
    """A deployment whose settings have no value, or still that of the example."""


class Unavailable(Error):
    """An AWS service that does not answer. Nothing was acknowledged, so the caller can retry."""


class Unreadable(Unavailable):
    """A connection whose stored record this release cannot read. Its reports and downlinks stay queued."""


_OF_A_CHANNEL = {
    EventType.CHANNEL_CLOSED,
    EventType.CONFIRMS_MISSING,
    EventType.CONSUMER_CANCELLED,
    EventType.EXCHANGE_MISSING,
    EventType.PERMISSION_REFUSED,
    EventType.PRECONDITION_FAILED,
    EventType.QUEUE_LIMIT_REACHED,
    EventType.QUEUE_MISSING,
    EventType.QUEUE_UNAVAILABLE,
    EventType.RESOURCE_LOCKED,
}
"""Faults with which a broker ends a channel; other channels and the connection go on."""
_BRIEF = {
    EventType.BROKER_IN_MAINTENANCE,
    EventType.CHANNEL_LIMIT_REACHED,
    EventType.CONNECTION_LIMIT_REACHED,
    EventType.QUEUE_UNAVAILABLE,
    EventType.VIRTUAL_HOST_DOWN,
}


class BrokerFault(Error):
    """A failure of the tenant's broker or its configuration; queued reports are kept.

    ``type`` is the event type and ``state`` the connection state. The text is one sentence with the failure and
    the remedy.
    """

    state = ConnectionState.UNREACHABLE

    def __init__(self, type_: EventType, reason: str) -> None:
        super().__init__(reason)
        self.type = type_

    @property
    def scope(self) -> FaultScope:
        """The direction that met the fault if it ended a channel only, otherwise the whole connection."""
        return FaultScope.DIRECTION if self.type in _OF_A_CHANNEL else FaultScope.CONNECTION

    @property
    def brief(self) -> bool:
        """True where the fault may pass by itself within minutes."""
        return self.type in _BRIEF


class BrokerUnreachable(BrokerFault):
    """DNS, TCP or TLS failed, or an operation timed out."""

    state = ConnectionState.UNREACHABLE


class BrokerRefused(BrokerFault):
    """The broker refused the login or the certificate."""

    state = ConnectionState.AUTHENTICATION_FAILED


class BrokerMisconfigured(BrokerFault):
    """The virtual host, the exchange or a permission is missing."""

    state = ConnectionState.CLOSED


class PatternError(Error):
    """An invalid topic pattern; ``position`` is the index of the wrong character, counted from 0.

    The text counts characters from 1 and names the remedy.
    """

    def __init__(self, detail: str, position: int) -> None:
        super().__init__(f"{detail} (at character {position + 1})")
        self.position = position


class NotRoutable(Error):
    """A report without a usable routing key; ``reason`` becomes that of the failed message."""

    reason = FailureReason.PATTERN_UNRESOLVED


class Unresolved(NotRoutable):
    """No alternative of an expression resolves for this report."""

    reason = FailureReason.PATTERN_UNRESOLVED


class TooLong(NotRoutable):
    """A routing key above AMQP's 255 bytes."""

    reason = FailureReason.ROUTING_KEY_TOO_LONG


class NotDelivered(Error):
    """A webhook or a topic that does not accept a notification; the notification is retried.

    ``status``: the webhook's HTTP status, None without an answer. The text is one sentence with the remedy.
    ``silent``: the next notification would wait in vain, too.
    """

    def __init__(self, detail: str, status: int | None = None, *, silent: bool = False) -> None:
        super().__init__(detail)
        self.status = status
        self.silent = silent


class DownlinkInvalid(Error):
    """A published downlink that cannot be sent to a device; the consumer rejects it without requeue.

    ``reason`` is ``MALFORMED``, ``INVALID``, ``PAYLOAD_NOT_ENCODABLE`` or ``DRIVER_FAILED``. ``dev_eui``, ``f_port``
    and ``correlation_id`` are None if unknown.
    """

    def __init__(
        self,
        reason: FailureReason,
        detail: str,
        dev_eui: str | None = None,
        f_port: int | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.dev_eui = dev_eui
        self.f_port = f_port
        self.correlation_id = correlation_id


class DownlinkRejected(Error):
    """The network server answered a downlink with 4xx; the downlink is not retried."""


class DownlinkDelayed(Error):
    """The network server answered a downlink with 5xx or did not answer; the downlink is retried."""
