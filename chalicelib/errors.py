"""The exceptions of this project.

::

    Error
     ├─ InvalidRequest          the caller's input is wrong; carries every violation with its JSON pointer      422
     │   └─ Malformed           it is not JSON, or not UTF-8                                                400
     ├─ Unauthorized            no token, or a bad one                                                      401
     ├─ Forbidden               the token lacks the scope                                                   403
     ├─ NotFound                unknown, or another tenant's                                                404
     ├─ Conflict                a limit, or a name that is taken                                            409
     ├─ PreconditionFailed      If-Match names an old version                                               412
     ├─ TooLarge                                                                                            413
     ├─ TooManyRequests         the tenant's rate of such calls; says when to come again                    429
     ├─ Unavailable             an AWS service that we need does not answer; nothing was acknowledged       503
     ├─ BrokerFault             the customer's broker or its configuration: an outage, never a lost message
     │   ├─ BrokerUnreachable   DNS, TCP, TLS, time-out                                → UNREACHABLE
     │   ├─ BrokerRefused       login or certificate refused                           → AUTHENTICATION_FAILED
     │   └─ BrokerMisconfigured virtual host, exchange or permission                   → CLOSED
     ├─ PatternError            a topic pattern cannot be used; says where and what to write instead
     ├─ NotRoutable             a report has no usable routing key: failed for good
     │   ├─ Unresolved          no alternative of an expression resolves                → PATTERN_UNRESOLVED
     │   └─ TooLong             more than AMQP's 255 bytes                              → ROUTING_KEY_TOO_LONG
     ├─ DownlinkInvalid         what the customer published cannot be sent to a device: rejected without requeue
     ├─ DownlinkRejected        the network server answered 4xx
     └─ DownlinkDelayed         the network server answered 5xx or not at all

SDK errors are translated where the SDK is used; nothing above an adapter sees pika's or botocore's.
"""

from dataclasses import dataclass

from chalicelib.vocabulary import ConnectionState, EventType, FailureReason


class Error(Exception):
    """The root: its text may be shown to the user and holds no secret."""


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with a request: a JSON pointer (RFC 6901) and a sentence with the remedy."""

    pointer: str
    detail: str


class InvalidRequest(Error):
    """A request with violations, all of them at once."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("; ".join(f"{violation.pointer}: {violation.detail}" for violation in violations))
        self.violations = violations


class Malformed(InvalidRequest):
    """A body that is not JSON or not UTF-8."""

    def __init__(self, detail: str) -> None:
        super().__init__([Violation("", detail)])
        self.detail = detail


class Unauthorized(Error):
    """A request without a valid token."""


class Forbidden(Error):
    """A token without the required scope."""


class NotFound(Error):
    """A thing that does not exist or belongs to another tenant."""


class QueueMissing(NotFound):
    """A connection's queue does not exist, or SQS does not know it everywhere yet."""


class PemError(Error):
    """A text is not usable PEM; says where and what to write instead."""


class Conflict(Error):
    """A limit, or a name that is in use."""


class PreconditionFailed(Error):
    """An If-Match that names an old version."""


class TooLarge(Error):
    """A body over its size limit."""


class TooManyRequests(Error):
    """``retry_after``: whole seconds."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(Error):
    """An AWS service that does not answer. Nothing was acknowledged."""


class BrokerFault(Error):
    """``type`` names the event; the text is one sentence: what failed and what to do about it."""

    state = ConnectionState.UNREACHABLE

    def __init__(self, type_: EventType, reason: str) -> None:
        super().__init__(reason)
        self.type = type_


class BrokerUnreachable(BrokerFault):
    """A failure of DNS, TCP, TLS or time."""

    state = ConnectionState.UNREACHABLE


class BrokerRefused(BrokerFault):
    """A refused login or client certificate."""

    state = ConnectionState.AUTHENTICATION_FAILED


class BrokerMisconfigured(BrokerFault):
    """A wrong virtual host, exchange or permission."""

    state = ConnectionState.CLOSED


class PatternError(Error):
    """``position`` counts the pattern's characters from 0."""

    def __init__(self, detail: str, position: int) -> None:
        super().__init__(f"{detail} (at character {position + 1})")
        self.position = position


class NotRoutable(Error):
    """``reason`` is that of the failed message."""

    reason = FailureReason.PATTERN_UNRESOLVED


class Unresolved(NotRoutable):
    """A report without a value for an expression of the pattern."""

    reason = FailureReason.PATTERN_UNRESOLVED


class TooLong(NotRoutable):
    """A routing key over AMQP's 255 bytes."""

    reason = FailureReason.ROUTING_KEY_TOO_LONG


class DownlinkInvalid(Error):
    """``reason`` is ``MALFORMED``, ``INVALID`` or ``PAYLOAD_NOT_ENCODABLE``; the others are None where unknown."""

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
    """A downlink that the network server answered with 4xx."""


class DownlinkDelayed(Error):
    """A downlink that the network server answered with 5xx or not at all."""
