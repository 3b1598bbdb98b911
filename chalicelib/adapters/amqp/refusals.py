"""What a broker refuses to a user, a virtual host or a channel: the fault, with a remedy that fits the step."""

import re
from typing import Any

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
    if operation.user:
        sentence = f"refused the login of the user {one_line(operation.user)}: check username and password."
    elif operation.client_certificate:
        sentence = (
            "refused the login with the client certificate: check that it takes SASL EXTERNAL and knows the "
            "certificate's name as a user, or set username and password."
        )
    else:
        sentence = "refused the user guest, who is tried where no username is set: set username and password."
    return BrokerRefused(EventType.LOGIN_REFUSED, f"{operation.host} {sentence}")


def virtual_host_refused(error: BaseException, operation: BrokerOperation) -> BrokerFault:
    return BrokerMisconfigured(
        EventType.VIRTUAL_HOST_REFUSED,
        f"The virtual host {one_line(operation.virtual_host)} cannot be opened "
        f"({operation.quote(_broker_text(error))}): check virtualHost and the user's access to it.",
    )


def _broker_text(error: BaseException) -> str:
    """pika keeps the broker's text as the repr of the exception it replaced."""
    text = str(error.args[0]) if error.args else ""
    found = re.search(r"\(\d+\) (['\"]?)(.*)\1", text, re.DOTALL)
    return found[2] if found else text


def closed_by_broker(error: Any, operation: BrokerOperation) -> BrokerFault:
    said = operation.quote(error.reply_text)
    if error.reply_code == ACCESS_REFUSED and operation.step in {"authenticate", "tls", "connect"}:
        return login_refused(error, operation)
    if error.reply_code == NOT_ALLOWED:
        return BrokerMisconfigured(
            EventType.NOT_ALLOWED,
            f"{operation.host} refused the operation ({said}): check virtualHost and the user's permissions.",
        )
    if error.reply_code == CONNECTION_FORCED:
        return BrokerUnreachable(
            EventType.CONNECTION_CLOSED,
            f"{operation.host} closed the connection ({said}): check whether it was shut down.",
        )
    return BrokerUnreachable(
        EventType.CONNECTION_CLOSED, f"{operation.host} closed the connection ({said}): see the broker's log."
    )


def channel_closed(error: Any, operation: BrokerOperation) -> BrokerFault:
    said = operation.quote(error.reply_text)
    exchange = one_line(operation.exchange)
    if error.reply_code == ACCESS_REFUSED:
        return BrokerMisconfigured(EventType.PERMISSION_REFUSED, _permission(said, exchange, operation))
    if error.reply_code == NOT_FOUND:
        if operation.step == "downlink" and "no queue" in said:
            return BrokerMisconfigured(
                EventType.QUEUE_MISSING, f"The downlink queue is gone ({said}): restart the connection."
            )
        return BrokerMisconfigured(
            EventType.EXCHANGE_MISSING, f"The exchange {exchange} is missing ({said}): create it."
        )
    if error.reply_code == RESOURCE_LOCKED:
        return BrokerMisconfigured(
            EventType.RESOURCE_LOCKED, f"Somebody else holds a queue exclusively ({said}): end that other connection."
        )
    if error.reply_code == PRECONDITION_FAILED:
        return BrokerMisconfigured(
            EventType.PRECONDITION_FAILED,
            f"{operation.host} refused a condition ({said}): check exchange and queue there.",
        )
    return BrokerUnreachable(
        EventType.CHANNEL_CLOSED, f"{operation.host} closed the channel ({said}): see the broker's log."
    )


def _permission(said: str, exchange: str, operation: BrokerOperation) -> str:
    who = _who(operation)
    if operation.step == "publish":
        if "internal exchange" in said:
            return f"The exchange {exchange} takes no messages from clients ({said}): set exchangeName to another one."
        return f"{who} may not publish to the exchange {exchange} ({said}): grant write on it."
    if operation.step == "downlink":
        return (
            f"{who} may not use a downlink queue ({said}): grant configure, write and read on iot-flow.*, and read on "
            f"the exchange {exchange}, or set downlinkEnabled to false."
        )
    return f"{who} may not do this ({said}): grant configure, write and read as needed."


def exchange_not_made(said: str, operation: BrokerOperation) -> BrokerFault:
    """The exchange is missing, and the broker refused to make it; ``said``: its words."""
    exchange, text = one_line(operation.exchange), operation.quote(said)
    if is_reserved(exchange):
        sentence = f"The exchange {exchange} is missing, and only the broker makes such names ({text}): {OTHER_NAME}."
    else:
        sentence = (
            f"The exchange {exchange} is missing, and {_who(operation)[:1].lower()}{_who(operation)[1:]} may not "
            f"make it ({text}): create it, or grant configure on it."
        )
    return BrokerMisconfigured(EventType.PERMISSION_REFUSED, sentence)


OTHER_NAME = "set exchangeName to one that exists, such as amq.topic"


def is_reserved(exchange: str) -> bool:
    """Whether the name is one of those that AMQP keeps for the broker."""
    return exchange.startswith("amq.")


def _who(operation: BrokerOperation) -> str:
    if operation.user:
        return f"The user {one_line(operation.user)}"
    return "The client certificate's user" if operation.client_certificate else "The user guest"
