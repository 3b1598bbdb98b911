"""From what pika, the socket and TLS raise to a BrokerFault: what failed, and what to do about it, in one sentence.

What a broker says is untrusted text: one line, 300 characters, without control characters and without our secrets.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pika.exceptions as px
from pika.adapters.utils import connection_workflow as workflow

from chalicelib.adapters.amqp.operation import (
    AddressForbidden,
    BrokerOperation,
    CertificateUnusable,
    ConfirmTimeout,
    ConnectionBlocked,
    ConsumerCancelledByBroker,
)
from chalicelib.adapters.amqp.refusals import channel_closed, closed_by_broker, login_refused, virtual_host_refused
from chalicelib.errors import BrokerFault, BrokerMisconfigured, BrokerRefused, BrokerUnreachable
from chalicelib.vocabulary import EventType

_NAME_MISMATCH = {62, 64}
"""OpenSSL's codes for a host's name and for an address."""
_NOT_VALID_YET, _EXPIRED = 9, 10
_CERTIFICATE_ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "TLSV1_ALERT_UNKNOWN_CA",
    "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV1_ALERT_DECRYPT_ERROR",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
}
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}


def translate(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    """The fault that an exception stands for. One that has nothing to do with a broker is raised again."""
    error = _cause(error)
    if isinstance(error, BrokerFault):
        return error
    for class_ in type(error).__mro__:
        rule = RULES.get(class_)
        if rule is not None:
            return rule(error, operation)
    raise error


def _cause(error: BaseException) -> BaseException:
    """What is inside pika's wrappers: the last attempt's own error."""
    while True:
        if isinstance(error, workflow.AMQPConnectionWorkflowFailed) and error.exceptions:
            error = error.exceptions[-1]
        elif isinstance(error, workflow.AMQPConnectorPhaseErrorBase):
            error = error.exception
        elif isinstance(error, px.AMQPConnectionError) and error.args and isinstance(error.args[0], BaseException):
            error = error.args[0]
        else:
            return error


def _dns(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(EventType.DNS_FAILURE, f"The name of {operation.host} cannot be resolved: check hostName.")


def _forbidden(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.ADDRESS_FORBIDDEN,
        f"{operation.host} has an address that is local, private or reserved: use the broker's public name.",
    )


def _timeout(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    what, remedy = {
        "resolve": ("be resolved", "check hostName and its name servers"),
        "connect": ("be connected to", "check hostName, its port and the firewall"),
        "tls": ("finish the TLS handshake", "check that the port is the broker's TLS port"),
        # Another protocol's server may wait for the rest of what it takes for a request.
        "authenticate": (
            "answer in AMQP 0-9-1",
            "check that the port is the broker's AMQP port, and whether the broker is overloaded or stopped",
        ),
    }.get(operation.step, ("answer", "check whether the broker is overloaded or stopped"))
    kind = EventType.DNS_TIMEOUT if operation.step == "resolve" else EventType.CONNECTION_TIMEOUT
    return BrokerUnreachable(kind, f"{operation.host} could not {what} in time (step {operation.step}): {remedy}.")


def _refused(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.CONNECTION_REFUSED,
        f"{operation.host} refused the connection: check the port and whether the broker runs.",
    )


def _socket(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    said = operation.quote(getattr(error, "strerror", None) or error)
    if operation.step == "tls":
        return BrokerUnreachable(
            EventType.TLS_FAILURE,
            f"{operation.host} ended the TLS handshake ({said}): check that the port is the broker's TLS port.",
        )
    if operation.step == "connect":
        return BrokerUnreachable(
            EventType.CONNECTION_FAILED, f"Cannot connect to {operation.host}: {said}. Check hostName."
        )
    return _lost(error, operation)


def _lost(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.CONNECTION_LOST,
        f"The connection to {operation.host} was lost ({operation.quote(error)}): check the broker and the network.",
    )


def _heartbeat(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.HEARTBEAT_MISSED, f"{operation.host} stopped sending heartbeats: check the broker and the network."
    )


def _blocked(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.BROKER_BLOCKED,
        f"{operation.host} takes no messages because of a memory or disk alarm ({operation.quote(error)}): "
        "free memory or disk space there.",
    )


def _confirm(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.CONFIRM_TIMEOUT,
        f"{operation.host} did not confirm a message in time: check the broker's load, or raise actionTimeout "
        f"({operation.action_timeout} ms).",
    )


def _incompatible(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    said = str(error)
    if operation.tls and any(sign in said for sign in ("SSL", "EOF", "ConnectionReset", "BrokenPipe")):
        # With TLS 1.3 the client has finished its handshake when the server looks at the certificate.
        return _certificate_refused(error, operation)
    remedy = "check that the broker runs, and that the port is its AMQP port" + (
        "" if operation.tls else " for TCP, or choose protocol SSL for its TLS port"
    )
    return BrokerUnreachable(EventType.PROTOCOL_MISMATCH, f"{operation.host} does not answer in AMQP 0-9-1: {remedy}.")


def _tls(error: Any, operation: BrokerOperation) -> BrokerFault:
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _NAME_MISMATCH:
            return BrokerUnreachable(
                EventType.CERTIFICATE_NAME,
                f"{operation.host} shows a certificate for another name: use the name in the certificate.",
            )
        return _untrusted(error, operation)
    if reason in _CERTIFICATE_ALERTS or (
        reason == "SSLV3_ALERT_HANDSHAKE_FAILURE" and not operation.client_certificate
    ):
        return _certificate_refused(error, operation)
    if reason in _NO_TLS:
        return BrokerUnreachable(
            EventType.TLS_NOT_SPOKEN,
            f"{operation.host} does not speak TLS on this port: choose protocol TCP or the TLS port.",
        )
    return BrokerUnreachable(
        EventType.TLS_FAILURE,
        f"The TLS handshake with {operation.host} failed ({operation.quote(reason or error)}): check that the port is "
        "the broker's TLS port and that it takes TLS 1.2 or 1.3.",
    )


def _untrusted(error: ssl.SSLCertVerificationError, operation: BrokerOperation) -> BrokerFault:
    said = operation.quote(error.verify_message)
    if error.verify_code in {_NOT_VALID_YET, _EXPIRED}:
        sentence = (
            f"{operation.host} shows a certificate that is not valid today ({said}): renew it at the broker, and set "
            "trustedCaCertificate anew if its authority is another one."
        )
    elif operation.own_authority:
        sentence = (
            f"{operation.host} shows a certificate that trustedCaCertificate does not vouch for ({said}): set "
            "trustedCaCertificate to the authority that issued it."
        )
    else:
        sentence = (
            f"{operation.host} shows a certificate that no public authority vouches for ({said}): set "
            "trustedCaCertificate to the authority that issued it."
        )
    return BrokerUnreachable(EventType.CERTIFICATE_UNTRUSTED, sentence)


def _own_certificate(_error: BaseException, _operation: BrokerOperation) -> BrokerFault:
    return BrokerRefused(
        EventType.CERTIFICATE_UNUSABLE,
        "The certificate, private key or authority of the connection cannot be used: set them anew.",
    )


def _certificate_refused(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    if operation.client_certificate:
        return BrokerRefused(
            EventType.CLIENT_CERTIFICATE_REFUSED,
            f"{operation.host} refused the client certificate: check that it is valid and issued by an authority that "
            "the broker trusts.",
        )
    return BrokerRefused(
        EventType.CLIENT_CERTIFICATE_MISSING,
        f"{operation.host} asks for a client certificate: set certificate and privateKey.",
    )


def _cancelled(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerMisconfigured(
        EventType.CONSUMER_CANCELLED,
        f"{operation.host} ended the consumer, so the downlink queue was deleted or moved: restart the connection.",
    )


def _named(error: BaseException, operation: BrokerOperation) -> str:
    return operation.quote(f"{type(error).__name__}: {error}")


def _protocol(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.PROTOCOL_ERROR,
        f"{operation.host} sent what is not AMQP 0-9-1 ({_named(error, operation)}): check the port.",
    )


def _unusable(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    """A request that cannot be encoded, or made in this state of a connection: it is opened anew."""
    return BrokerUnreachable(
        EventType.CONNECTION_UNUSABLE,
        f"The connection to {operation.host} cannot be used ({_named(error, operation)}): retry.",
    )


Rule = Callable[[Any, BrokerOperation], BrokerFault]

RULES: dict[type[BaseException], Rule] = {
    AddressForbidden: _forbidden,
    CertificateUnusable: _own_certificate,
    ConsumerCancelledByBroker: _cancelled,
    ConnectionBlocked: _blocked,
    ConfirmTimeout: _confirm,
    socket.gaierror: _dns,
    TimeoutError: _timeout,
    ConnectionRefusedError: _refused,
    ssl.SSLError: _tls,
    OSError: _socket,
    workflow.AMQPConnectorStackTimeout: _timeout,
    workflow.AMQPConnectorException: _unusable,
    px.AMQPError: _unusable,
    px.AMQPConnectionError: _lost,
    px.ConnectionOpenAborted: _timeout,
    px.StreamLostError: _lost,
    px.IncompatibleProtocolError: _incompatible,
    px.AuthenticationError: login_refused,
    px.ProbableAuthenticationError: login_refused,
    px.ProbableAccessDeniedError: virtual_host_refused,
    px.NoFreeChannels: _unusable,
    px.ConnectionWrongStateError: _unusable,
    px.ConnectionClosed: closed_by_broker,
    px.ConnectionClosedByBroker: closed_by_broker,
    px.ConnectionClosedByClient: _unusable,
    px.ConnectionBlockedTimeout: _blocked,
    px.AMQPHeartbeatTimeout: _heartbeat,
    px.AMQPChannelError: _unusable,
    px.ChannelWrongStateError: _unusable,
    px.ChannelClosed: channel_closed,
    px.ChannelClosedByBroker: channel_closed,
    px.ChannelClosedByClient: _unusable,
    px.DuplicateConsumerTag: _unusable,
    px.ConsumerCancelled: _cancelled,
    px.UnroutableError: _unusable,
    px.NackError: _unusable,
    px.InvalidChannelNumber: _unusable,
    px.ProtocolSyntaxError: _protocol,
    px.UnexpectedFrameError: _protocol,
    px.ProtocolVersionMismatch: _incompatible,
    px.BodyTooLongError: _protocol,
    px.InvalidFrameError: _protocol,
    px.InvalidFieldTypeException: _protocol,
    px.UnsupportedAMQPFieldException: _protocol,
    px.MethodNotImplemented: _protocol,
    px.ChannelError: _unusable,
    px.ReentrancyError: _unusable,
    px.ShortStringTooLong: _unusable,
    px.DuplicateGetOkCallback: _unusable,
}
"""Every class that pika raises, and those of the socket and of TLS; the nearest base class counts."""
