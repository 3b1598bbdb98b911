"""Every exception of an AMQP connection becomes a fault with a sentence that is safe to show."""

import inspect
import socket
import ssl
from dataclasses import replace
from typing import Any

import pika.exceptions
import pytest
from pika.adapters.utils import connection_workflow as workflow

from chalicelib.adapters.amqp.error_translation import RULES, translate
from chalicelib.adapters.amqp.operation import AddressForbidden, BrokerOperation, ConfirmTimeout, one_line
from chalicelib.errors import BrokerFault, BrokerMisconfigured, BrokerRefused, BrokerUnreachable
from chalicelib.vocabulary import EventType

OPERATION = BrokerOperation(
    host="broker.example.com:5671",
    tls=False,
    user="me",
    virtual_host="/",
    exchange="amq.topic",
    client_certificate=False,
    connection_timeout=5000,
    action_timeout=1000,
    secrets=("s3cret-password",),
    step="publish",
)
CLASSES = [
    class_ for _, class_ in inspect.getmembers(pika.exceptions, inspect.isclass) if issubclass(class_, Exception)
]


def example(class_: type[Exception]) -> Exception:
    arguments: dict[str, Any] = {"reply_code": 404, "reply_text": "NOT_FOUND - no exchange", "messages": []}
    named = [name for name in inspect.signature(class_.__init__).parameters if name in arguments]
    return class_(*[arguments[name] for name in named]) if named else class_("text", "text", "text")


@pytest.mark.parametrize("class_", CLASSES, ids=lambda class_: class_.__name__)
def test_every_pika_exception_has_a_rule(class_: type[Exception]) -> None:
    assert class_ in RULES
    fault = translate(example(class_), OPERATION)
    assert type(fault) in {BrokerUnreachable, BrokerRefused, BrokerMisconfigured}
    assert str(fault).endswith(".")


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    error.verify_message = "something is wrong"
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "step", "class_", "type_"),
    [
        (socket.gaierror(-2, "Name or service not known"), "resolve", BrokerUnreachable, "DNS_FAILURE"),
        (TimeoutError(), "resolve", BrokerUnreachable, "DNS_TIMEOUT"),
        (TimeoutError(), "tls", BrokerUnreachable, "CONNECTION_TIMEOUT"),
        (AddressForbidden(), "resolve", BrokerUnreachable, "ADDRESS_FORBIDDEN"),
        (ConnectionRefusedError(111, "Connection refused"), "connect", BrokerUnreachable, "CONNECTION_REFUSED"),
        (ConnectionResetError(104, "reset"), "connect", BrokerUnreachable, "CONNECTION_REFUSED"),
        (OSError(113, "No route to host"), "connect", BrokerUnreachable, "CONNECTION_FAILED"),
        (ConnectionResetError(104, "reset"), "tls", BrokerUnreachable, "TLS_FAILURE"),
        (ConnectionResetError(104, "reset"), "publish", BrokerUnreachable, "CONNECTION_LOST"),
        (certificate_error(62), "tls", BrokerUnreachable, "CERTIFICATE_NAME"),
        (certificate_error(64), "tls", BrokerUnreachable, "CERTIFICATE_NAME"),
        (certificate_error(10), "tls", BrokerUnreachable, "CERTIFICATE_UNTRUSTED"),
        (tls_error("WRONG_VERSION_NUMBER"), "tls", BrokerUnreachable, "TLS_NOT_SPOKEN"),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), "tls", BrokerRefused, "CLIENT_CERTIFICATE_MISSING"),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), "tls", BrokerUnreachable, "TLS_FAILURE"),
        (ConfirmTimeout(), "publish", BrokerUnreachable, "CONFIRM_TIMEOUT"),
        (
            pika.exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED"),
            "publish",
            BrokerMisconfigured,
            "PERMISSION_REFUSED",
        ),
        (
            pika.exceptions.ChannelClosedByBroker(405, "RESOURCE_LOCKED"),
            "downlink",
            BrokerMisconfigured,
            "RESOURCE_LOCKED",
        ),
        (pika.exceptions.ChannelClosedByBroker(541, "INTERNAL_ERROR"), "publish", BrokerUnreachable, "CHANNEL_CLOSED"),
        (pika.exceptions.ConnectionClosedByBroker(530, "NOT_ALLOWED"), "vhost", BrokerMisconfigured, "NOT_ALLOWED"),
        (pika.exceptions.ConnectionClosedByBroker(403, "REFUSED"), "authenticate", BrokerRefused, "LOGIN_REFUSED"),
        (pika.exceptions.IncompatibleProtocolError("EOF"), "authenticate", BrokerUnreachable, "PROTOCOL_MISMATCH"),
        (
            workflow.AMQPConnectionWorkflowFailed(
                [workflow.AMQPConnectorSocketConnectError(ConnectionRefusedError(111, "refused"))]
            ),
            "connect",
            BrokerUnreachable,
            "CONNECTION_REFUSED",
        ),
    ],
)  # fmt: skip
def test_error_becomes_the_fault_of_its_cause(
    error: Exception, step: str, class_: type[BrokerFault], type_: str
) -> None:
    fault = translate(error, OPERATION.at(step))
    assert type(fault) is class_
    assert fault.type == type_


@pytest.mark.parametrize(
    ("error", "step", "changes", "sentence"),
    [
        (
            pika.exceptions.ProbableAuthenticationError("ConnectionClosedByBroker: (403) 'no'"),
            "authenticate",
            {},
            "broker.example.com:5671 refused the login of the user me. Check username and password.",
        ),
        (
            pika.exceptions.AuthenticationError("EXTERNAL"),
            "authenticate",
            {"user": None, "client_certificate": True},
            ("broker.example.com:5671 refused the login with the client certificate. Check that the broker accepts "
            "SASL EXTERNAL and has a user with the certificate's name, or set username and password."),
        ),
        (
            pika.exceptions.ProbableAuthenticationError("ConnectionClosedByBroker: (403) 'no'"),
            "authenticate",
            {"user": None},
            "broker.example.com:5671 refused the login of the default user guest. Set username and password.",
        ),
        (
            certificate_error(10),
            "tls",
            {"own_authority": True},
            ("The certificate of broker.example.com:5671 is not valid today (something is wrong). Renew it at the "
            "broker. If another authority issues the new one, set trustedCaCertificate to that authority."),
        ),
        (
            certificate_error(19),
            "tls",
            {"own_authority": True},
            ("The certificate of broker.example.com:5671 cannot be verified with trustedCaCertificate (something is "
            "wrong). Set trustedCaCertificate to the authority that issued it."),
        ),
        (
            certificate_error(19),
            "tls",
            {},
            ("The certificate of broker.example.com:5671 cannot be verified with the public authorities (something is "
            "wrong). Set trustedCaCertificate to the authority that issued it."),
        ),
        (
            pika.exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED - exchange 'amq.topic'"),
            "publish",
            {},
            ("The user me may not publish to the exchange amq.topic (ACCESS_REFUSED - exchange 'amq.topic'). Grant "
            "write permission on it."),
        ),
        (
            pika.exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED - cannot publish to internal exchange 'x'"),
            "publish",
            {"exchange": "x"},
            ("The exchange x accepts no messages from clients (ACCESS_REFUSED - cannot publish to internal exchange "
            "'x'). Set exchangeName to another one."),
        ),
        (
            pika.exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED - queue 'q'"),
            "downlink",
            {"user": None, "client_certificate": True},
            ("The client certificate's user may not use a downlink queue (ACCESS_REFUSED - queue 'q'). Grant "
            "configure, write and read on iot-flow.*, and read on the exchange amq.topic, or set downlinkEnabled to "
            "false."),
        ),
        (
            pika.exceptions.ProbableAccessDeniedError(
                repr(pika.exceptions.ConnectionClosedByBroker(530, "NOT_ALLOWED - vhost '/' refused for user 'me'"))
            ),
            "vhost",
            {},
            ("Cannot open the virtual host / (NOT_ALLOWED - vhost '/' refused for user 'me'). Check virtualHost and "
            "the user's access to it."),
        ),
    ],
)  # fmt: skip
def test_sentence_names_the_failure_and_the_remedy(
    error: Exception, step: str, changes: dict[str, Any], sentence: str
) -> None:
    assert str(translate(error, replace(OPERATION, step=step, **changes))) == sentence


def test_unforeseen_error_is_a_fault_of_its_connection() -> None:
    fault = translate(KeyError("bug"), OPERATION)
    assert (type(fault), fault.type) == (BrokerUnreachable, EventType.CONNECTION_UNUSABLE)


def test_end_of_the_process_is_no_fault() -> None:
    with pytest.raises(KeyboardInterrupt):
        translate(KeyboardInterrupt(), OPERATION)


def test_fault_is_returned_unchanged() -> None:
    fault = BrokerUnreachable(EventType.CONNECTION_LOST, "Because.")
    assert translate(fault, OPERATION) is fault


def test_broker_text_becomes_one_line_without_secrets() -> None:
    evil = "a\r\nINFO forged\x1b[31m\u202e\u2028 s3cret-password " + "z" * 5000
    fault = translate(pika.exceptions.ConnectionClosedByBroker(320, evil), OPERATION)
    text = str(fault)
    assert "s3cret-password" not in text
    assert not any(character in text for character in "\r\n\x1b\u202e\u2028")
    assert len(text) < 500


def test_line_is_cut_at_300_characters() -> None:
    assert len(one_line("x" * 301)) == 300
    assert one_line("x" * 300) == "x" * 300
    assert one_line("  a \t b  ") == "a b"
