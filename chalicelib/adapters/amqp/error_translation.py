"""Translation of exceptions from pika, sockets and TLS into a BrokerFault that names the failure and the remedy.

Text from a broker is untrusted. ``BrokerOperation.quote`` reduces it to one line of at most 300 characters without
control characters and without the connection's secrets.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pika.exceptions as px
from pika.adapters.utils import connection_workflow as workflow

from chalicelib.adapters.amqp.limits import queue_refused
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
from chalicelib.monitoring import log
from chalicelib.vocabulary import EventType

_NAME_MISMATCH = {62, 64}
"""OpenSSL's verify codes for a mismatch of the host name (62) and of the IP address (64)."""
_NOT_VALID_YET, _EXPIRED = 9, 10
"""OpenSSL's verify codes."""
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
    """Return the fault for an exception of a broker operation.

    An exception that no rule covers is a fault, too: a hostile broker can provoke it inside the AMQP client, and it
    must cost that connection only. Raises a BaseException that is no Exception unchanged.
    """
    error = _cause(error)
    if isinstance(error, BrokerFault):
        return error
    for class_ in type(error).__mro__:
        rule = RULES.get(class_)
        if rule is not None:
            return rule(error, operation)
    if not isinstance(error, Exception):
        raise error
    log.error("unexpected error of a broker connection", exc_info=error)
    return _unusable(error, operation)


def _cause(error: BaseException) -> BaseException:
    """Unwrap pika's exceptions down to the error of the last connection attempt."""
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
    return BrokerUnreachable(EventType.DNS_FAILURE, f"Cannot resolve the name of {operation.host}. Check hostName.")


def _forbidden(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.ADDRESS_FORBIDDEN,
        f"The address of {operation.host} is local, private or reserved. Use the broker's public name.",
    )


def _timeout(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    failure, remedy = {
        "resolve": (f"Cannot resolve the name of {operation.host}", "Check hostName and its name servers"),
        "connect": (f"Cannot connect to {operation.host}", "Check hostName, its port and the firewall"),
        "tls": (
            f"Cannot finish the TLS handshake with {operation.host}",
            "Check that the port is the broker's TLS port",
        ),
        # A server of another protocol may take the AMQP header for an unfinished request and wait for the rest.
        "authenticate": (
            f"{operation.host} does not answer in AMQP 0-9-1",
            "Check that the port is the broker's AMQP port and that the broker is not overloaded or stopped",
        ),
        # The broker has answered requests for the exchange: the fault is that of the queue.
        "downlink": (
            f"{operation.host} does not answer a request for the downlink queue",
            "Check whether the queue's node is overloaded or stopped",
        ),
    }.get(operation.step, (f"{operation.host} does not answer", "Check whether the broker is overloaded or stopped"))
    kinds = {"resolve": EventType.DNS_TIMEOUT, "downlink": EventType.QUEUE_UNAVAILABLE}
    kind = kinds.get(operation.step, EventType.CONNECTION_TIMEOUT)
    return BrokerUnreachable(kind, f"{failure}: timeout in step {operation.step}. {remedy}.")


def _refused(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.CONNECTION_REFUSED,
        f"Cannot connect to {operation.host}: connection refused. Check the port and that the broker is running.",
    )


def _socket(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    said = operation.quote(getattr(error, "strerror", None) or error)
    if operation.step == "tls":
        return BrokerUnreachable(
            EventType.TLS_FAILURE,
            f"{operation.host} ended the TLS handshake ({said}). Check that the port is the broker's TLS port.",
        )
    if operation.step == "connect" and isinstance(error, ConnectionResetError):
        # The broker was killed while the kernel still accepted connections for it.
        return BrokerUnreachable(
            EventType.CONNECTION_REFUSED,
            f"Cannot connect to {operation.host}: connection reset. Check the port and that the broker is running.",
        )
    if operation.step == "connect":
        return BrokerUnreachable(
            EventType.CONNECTION_FAILED, f"Cannot connect to {operation.host}: {said}. Check hostName."
        )
    return _lost(error, operation)


def _lost(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.CONNECTION_LOST,
        f"The connection to {operation.host} was lost ({operation.quote(error)}). Check the broker and the network.",
    )


def _heartbeat(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.HEARTBEAT_MISSED, f"{operation.host} stopped sending heartbeats. Check the broker and the network."
    )


def _blocked(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.BROKER_BLOCKED,
        f"{operation.host} blocks publishing because of a memory or disk alarm ({operation.quote(error)}). "
        "Free memory or disk space on the broker.",
    )


def _confirm(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.CONFIRM_TIMEOUT,
        f"{operation.host} did not confirm a message within actionTimeout ({operation.action_timeout} ms). "
        "Check the broker's load, or raise actionTimeout.",
    )


def _incompatible(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    said = str(error)
    if operation.tls and any(sign in said for sign in ("SSL", "EOF", "ConnectionReset", "BrokenPipe")):
        # With TLS 1.3 the server verifies the client certificate after the client has finished its handshake.
        return _certificate_refused(error, operation)
    remedy = "Check that the broker is running and that the port is its AMQP port" + (
        "" if operation.tls else " for TCP, or choose protocol SSL for its TLS port"
    )
    return BrokerUnreachable(EventType.PROTOCOL_MISMATCH, f"{operation.host} does not answer in AMQP 0-9-1. {remedy}.")


def _tls(error: Any, operation: BrokerOperation) -> BrokerFault:
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _NAME_MISMATCH:
            return BrokerUnreachable(
                EventType.CERTIFICATE_NAME,
                f"The certificate of {operation.host} is for another name. Set hostName to the certified name.",
            )
        return _untrusted(error, operation)
    if reason in _CERTIFICATE_ALERTS or (
        reason == "SSLV3_ALERT_HANDSHAKE_FAILURE" and not operation.client_certificate
    ):
        return _certificate_refused(error, operation)
    if reason in _NO_TLS:
        return BrokerUnreachable(
            EventType.TLS_NOT_SPOKEN,
            f"{operation.host} does not speak TLS on this port. Choose protocol TCP or the TLS port.",
        )
    return BrokerUnreachable(
        EventType.TLS_FAILURE,
        f"The TLS handshake with {operation.host} failed ({operation.quote(reason or error)}). Check that the port is "
        "the broker's TLS port and that the broker accepts TLS 1.2 or 1.3.",
    )


def _untrusted(error: ssl.SSLCertVerificationError, operation: BrokerOperation) -> BrokerFault:
    said = operation.quote(error.verify_message)
    if error.verify_code in {_NOT_VALID_YET, _EXPIRED}:
        sentence = (
            f"The certificate of {operation.host} is not valid today ({said}). Renew it at the broker. If another "
            "authority issues the new one, set trustedCaCertificate to that authority."
        )
    elif operation.own_authority:
        sentence = (
            f"The certificate of {operation.host} cannot be verified with trustedCaCertificate ({said}). Set "
            "trustedCaCertificate to the authority that issued it."
        )
    else:
        sentence = (
            f"The certificate of {operation.host} cannot be verified with the public authorities ({said}). Set "
            "trustedCaCertificate to the authority that issued it."
        )
    return BrokerUnreachable(EventType.CERTIFICATE_UNTRUSTED, sentence)


def _own_certificate(_error: BaseException, _operation: BrokerOperation) -> BrokerFault:
    return BrokerRefused(
        EventType.CERTIFICATE_UNUSABLE,
        "Cannot use the certificate, private key or authority of the connection. Set them again.",
    )


def _certificate_refused(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    if operation.client_certificate:
        return BrokerRefused(
            EventType.CLIENT_CERTIFICATE_REFUSED,
            f"{operation.host} refused the client certificate. Check that it is valid and issued by an authority that "
            "the broker trusts.",
        )
    return BrokerRefused(
        EventType.CLIENT_CERTIFICATE_MISSING,
        f"{operation.host} requires a client certificate. Set certificate and privateKey.",
    )


def _cancelled(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerMisconfigured(
        EventType.CONSUMER_CANCELLED,
        f"{operation.host} cancelled the consumer because the downlink queue was deleted or moved. "
        "Restart the connection.",
    )


def _named(error: BaseException, operation: BrokerOperation) -> str:
    return operation.quote(f"{type(error).__name__}: {error}")


def _protocol(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.PROTOCOL_ERROR,
        f"{operation.host} sent invalid AMQP 0-9-1 data ({_named(error, operation)}). Check the port.",
    )


def _unusable(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    """Translate a request that pika cannot encode or refuses in this state of the connection."""
    return BrokerUnreachable(
        EventType.CONNECTION_UNUSABLE,
        f"Cannot use the connection to {operation.host} ({_named(error, operation)}). Try again.",
    )


def _no_confirms(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerMisconfigured(
        EventType.CONFIRMS_MISSING,
        f"{operation.host} does not support publisher confirms. Use a broker that confirms messages, such as RabbitMQ.",
    )


def _channel(error: Any, operation: BrokerOperation) -> BrokerFault:
    refused = queue_refused(str(error.reply_text), operation) if operation.step == "downlink" else None
    return refused or channel_closed(error, operation)


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
    px.ChannelClosed: _channel,
    px.ChannelClosedByBroker: _channel,
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
    px.MethodNotImplemented: _no_confirms,
    px.ChannelError: _unusable,
    px.ReentrancyError: _unusable,
    px.ShortStringTooLong: _unusable,
    px.DuplicateGetOkCallback: _unusable,
}
"""A rule for every exception class of pika, sockets and TLS. ``translate`` uses the nearest base class."""
