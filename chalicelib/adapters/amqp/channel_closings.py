"""Search for the message because of which the broker closed the channel.

A broker closes the channel, not the connection, for one message that it refuses: its topic is not permitted, or it is
too large. The confirms of all messages in flight are lost with the channel, although only one message is refused.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import pika.exceptions

from chalicelib.adapters.amqp.batch import Batch
from chalicelib.adapters.amqp.operation import BrokerOperation
from chalicelib.adapters.amqp.refusals import broker_text, login_expired
from chalicelib.adapters.amqp.reply_codes import NOT_FOUND, RESOURCE_LOCKED
from chalicelib.ports.publishing import OutgoingMessage

MAX_CLOSINGS = 20
"""Channels that one publish may lose. Each costs some round trips; later messages wait for the next publish."""

_TOPIC = re.compile(r"\b(?:topic|routing key) '", re.IGNORECASE)
_SIZE = re.compile(r"\b(?:message|body) size (\d+)\b", re.IGNORECASE)
_EVERY_MESSAGE = re.compile(r"\baccess to exchange '|\binternal exchange\b|', backend \S+ returned an error\b")
"""Texts for a permission that all messages need, and for an authorization server that RabbitMQ cannot ask."""


class ChannelClosings:
    """Closings of the channel during the publish of one batch.

    A message is refused if the broker's text names its routing key or its size and those of no other message in flight.
    For any other text, the messages are published one by one on new channels. A message is refused if it closes a
    channel a second time, alone, and the broker confirms another one on a new channel. Otherwise it is an outage: a
    login that expires or a lost permission also closes the channel, and no message may fail because of it.

    ``common_key``: the routing key of every message of the connection, None if the keys differ.
    """

    def __init__(self, batch: Batch, operation: BrokerOperation, common_key: str | None) -> None:
        self._batch = batch
        self._operation = operation
        self._common_key = common_key
        self._last: BaseException | None = None
        self._number = 0
        self._progress = math.inf
        self._acks_before: dict[str, int] = {}

    @property
    def exhausted(self) -> bool:
        return self._number >= MAX_CLOSINGS

    def add(self, error: BaseException) -> None:
        """Refuse the message that closed the channel, or prepare the search for it. Raises ``error`` for an outage."""
        in_flight = self._batch.in_flight
        if not isinstance(error, pika.exceptions.ChannelClosedByBroker) or not in_flight:
            raise error
        named = named_messages(broker_text(error), in_flight)
        if self._concerns_every_message(error, named):
            raise error
        if self._last is None:
            self._progress = self._batch.progress
        self._last = error
        self._number += 1
        self._batch.take_back()
        if len(named) == 1:
            self._batch.refuse(named[0], self._sentence(error))
        else:
            self._compare(in_flight, self._sentence(error))

    def end(self) -> None:
        """End the search. Raises the last closing if the broker answered nothing but closings on the new channels."""
        if self._last is not None and self._number > 1 and self._batch.progress == self._progress:
            raise self._last

    def _compare(self, in_flight: Sequence[OutgoingMessage], detail: str) -> None:
        first = in_flight[0]
        if len(in_flight) > 1 or first.key not in self._acks_before:
            for message in in_flight:
                self._acks_before.setdefault(message.key, self._batch.acks)
        elif self._batch.acks > self._acks_before[first.key]:
            self._batch.refuse(first, detail)
        else:
            self._batch.suspect(first, detail)

    def _concerns_every_message(self, error: Any, named: Sequence[OutgoingMessage]) -> bool:
        if error.reply_code in {NOT_FOUND, RESOURCE_LOCKED}:
            return True
        if named:
            return named[0].routing_key == self._common_key
        text = broker_text(error)
        return login_expired(error) or _EVERY_MESSAGE.search(text) is not None

    def _sentence(self, error: Any) -> str:
        text = broker_text(error)
        if _TOPIC.search(text):
            remedy = "Permit the user to write to this topic, then replay."
        elif _SIZE.search(text):
            remedy = "Raise the broker's limit of the message size, then replay."
        else:
            remedy = "See the broker's log, then replay."
        return f"{self._operation.host} refused the message ({self._operation.quote(text)}). {remedy}"


def named_messages(text: str, messages: Sequence[OutgoingMessage]) -> list[OutgoingMessage]:
    """Return the messages whose routing key or body size the broker's text names.

    A text that names a routing key counts only if it ends with a quoted name, as "... refused for user 'u'" does.
    RabbitMQ appends the cause when it could not check the permission, such as an expired token, and it cuts texts of
    more than 255 bytes.
    """
    topic = _TOPIC.search(text)
    if topic:
        rest = text[topic.end() :] if text.endswith("'") and not _EVERY_MESSAGE.search(text) else ""
        return [message for message in messages if f"{rest} ".startswith(f"{message.routing_key}' ")]
    size = _SIZE.search(text)
    return [message for message in messages if size and len(message.body) == int(size[1])]
