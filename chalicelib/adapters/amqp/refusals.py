"""Faults for a broker's refusal of a login, a virtual host or a channel, with a remedy that fits the step."""

import re
from typing import Any

from chalicelib.adapters.amqp.limits import unavailable
from chalicelib.adapters.amqp.operation import BrokerOperation, one_line
from chalicelib.adapters.amqp.reply_codes import (
    ACCESS_REFUSED,
    CONNECTION_FORCED,
    NOT_ALLOWED,
    NOT_FOUND,
    PRECONDITION_FAILED,
    RESOURCE_LOCKED,
)
from chalicelib.errors import BrokerFault, BrokerMisconfigured, BrokerRefused, BrokerUnreachable
from chalicelib.vocabulary import EventType


def login_refused(_error: BaseException, operation: BrokerOperation) -> BrokerFault:
    """Return the fault for a refused login; the remedy depends on the kind of login."""
    if operation.user:
        sentence = f"refused the login of the user {one_line(operation.user)}. Check username and password."
    elif operation.client_certificate:
        sentence = (
            "refused the login with the client certificate. Check that the broker accepts SASL EXTERNAL and has a "
            "user with the certificate's name, or set username and password."
        )
    else:
        sentence = "refused the login of the default user guest. Set username and password."
    return BrokerRefused(EventType.LOGIN_REFUSED, f"{operation.host} {sentence}")


def virtual_host_refused(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    """Return the fault for a virtual host that the broker does not open at present or for this user."""
    code, text = _broker_answer(error)
    fault = unavailable(text, operation, _user(operation))
    if fault is not None:
        return fault
    if code == CONNECTION_FORCED:
        return _shut_down(operation.quote(text), operation)
    return BrokerMisconfigured(
        EventType.VIRTUAL_HOST_REFUSED,
        f"Cannot open the virtual host {one_line(operation.virtual_host)} "
        f"({operation.quote(text)}). Check virtualHost and the user's access to it.",
    )


def _broker_answer(error: BaseException) -> tuple[int | None, str]:
    """Extract the broker's code and text. pika keeps them as the repr of the exception that it replaced."""
    text = str(error.args[0]) if error.args else ""
    found = re.search(r"\((\d+)\) (['\"]?)(.*)\2", text, re.DOTALL)
    return (int(found[1]), found[3]) if found else (None, text)


def _shut_down(said: str, operation: BrokerOperation) -> BrokerFault:
    return BrokerUnreachable(
        EventType.CONNECTION_CLOSED,
        f"{operation.host} closed the connection ({said}). Check whether the broker was shut down.",
    )


def closed_by_broker(error: Any, operation: BrokerOperation) -> BrokerFault:
    """Return the fault for a connection that the broker closed with ``error.reply_code``."""
    said = operation.quote(error.reply_text)
    fault = unavailable(str(error.reply_text), operation, _user(operation))
    if fault is not None:
        return fault
    if error.reply_code == ACCESS_REFUSED and operation.step in {"authenticate", "tls", "connect"}:
        return login_refused(error, operation)
    if error.reply_code == NOT_ALLOWED:
        return BrokerMisconfigured(
            EventType.NOT_ALLOWED,
            f"{operation.host} refused the operation ({said}). Check virtualHost and the user's permissions.",
        )
    if error.reply_code == CONNECTION_FORCED:
        return _shut_down(said, operation)
    return BrokerUnreachable(
        EventType.CONNECTION_CLOSED, f"{operation.host} closed the connection ({said}). See the broker's log."
    )


def broker_text(error: Any) -> str:
    """Return the text with which the broker closed a channel. pika keeps bytes that are no UTF-8 as they are."""
    text = error.reply_text
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


_EXPIRED_LOGIN = re.compile(r"\b(?:jwt|oauth2?|token|credentials?)\b.*\bexpired\b", re.IGNORECASE)


def login_expired(error: Any) -> bool:
    """Return True if the broker closed a channel because the token with which the user logged in has expired."""
    text = broker_text(error)
    if "access to " in text:
        # A name in the text, such as a topic, may contain the words.
        text = text.partition("', backend ")[2]
    return error.reply_code == ACCESS_REFUSED and _EXPIRED_LOGIN.search(text) is not None


def channel_closed(error: Any, operation: BrokerOperation) -> BrokerFault:
    """Return the fault for a channel that the broker closed with ``error.reply_code``."""
    said = operation.quote(broker_text(error))
    exchange = one_line(operation.exchange)
    if error.reply_code == ACCESS_REFUSED:
        if login_expired(error):
            sentence = f"{operation.host} no longer accepts the login ({said}). Set a new password."
            fault: BrokerFault = BrokerRefused(EventType.LOGIN_REFUSED, sentence)
        else:
            fault = BrokerMisconfigured(EventType.PERMISSION_REFUSED, _permission(said, exchange, operation))
        return fault
    if error.reply_code == NOT_FOUND:
        if operation.step == "downlink" and "no queue" in said:
            return BrokerMisconfigured(
                EventType.QUEUE_MISSING, f"The downlink queue is missing ({said}). Restart the connection."
            )
        return BrokerMisconfigured(
            EventType.EXCHANGE_MISSING, f"The exchange {exchange} is missing ({said}). Create it."
        )
    if error.reply_code == RESOURCE_LOCKED:
        return BrokerMisconfigured(
            EventType.RESOURCE_LOCKED, f"Another connection uses a queue exclusively ({said}). Close that connection."
        )
    if error.reply_code == PRECONDITION_FAILED:
        return BrokerMisconfigured(
            EventType.PRECONDITION_FAILED,
            f"{operation.host} reports a failed precondition ({said}). Check the exchange and the queue at the broker.",
        )
    return BrokerUnreachable(
        EventType.CHANNEL_CLOSED, f"{operation.host} closed the channel ({said}). See the broker's log."
    )


def _permission(said: str, exchange: str, operation: BrokerOperation) -> str:
    user = _user(operation)
    if operation.step == "publish":
        if "internal exchange" in said:
            return (
                f"The exchange {exchange} accepts no messages from clients ({said}). Set exchangeName to another one."
            )
        return f"{user} may not publish to the exchange {exchange} ({said}). Grant write permission on it."
    if operation.step == "downlink":
        return (
            f"{user} may not use a downlink queue ({said}). Grant configure, write and read on iot-flow.*, and read "
            f"on the exchange {exchange}, or set downlinkEnabled to false."
        )
    return f"{user} lacks a permission ({said}). Grant configure, write and read as needed."


def exchange_not_made(said: str, operation: BrokerOperation) -> BrokerFault:
    """Return the fault for a missing exchange that the broker refused to declare. ``said``: the broker's text."""
    exchange, text = one_line(operation.exchange), operation.quote(said)
    if is_reserved(exchange):
        sentence = (
            f"The exchange {exchange} is missing, and only the broker creates exchanges named amq.* ({text}). "
            f"{USE_EXISTING_EXCHANGE}."
        )
    else:
        sentence = (
            f"The exchange {exchange} is missing, and {_user(operation)[:1].lower()}{_user(operation)[1:]} may not "
            f"declare it ({text}). Create it, or grant configure permission on it."
        )
    return BrokerMisconfigured(EventType.PERMISSION_REFUSED, sentence)


USE_EXISTING_EXCHANGE = "Set exchangeName to an existing exchange such as amq.topic"


def is_reserved(exchange: str) -> bool:
    """Return True for a name that AMQP reserves for the broker's exchanges."""
    return exchange.startswith("amq.")


def _user(operation: BrokerOperation) -> str:
    """Return the user of the operation as the subject of a sentence."""
    if operation.user:
        return f"The user {one_line(operation.user)}"
    return "The client certificate's user" if operation.client_certificate else "The user guest"
