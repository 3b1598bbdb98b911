"""Exchanges, queues and bindings at a tenant's broker. Existing ones are used unchanged and never redeclared.

The broker closes the channel of a refused request, so each request that it may refuse gets a separate channel.
"""

from collections.abc import Sequence

import pika.exceptions
from pika.channel import Channel

from chalicelib.adapters.amqp.connection import AmqpConnection
from chalicelib.adapters.amqp.refusals import exchange_not_made
from chalicelib.adapters.amqp.reply_codes import ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED

Binding = tuple[str, str]
"""(exchange, binding key)."""


def downlink_queue(connection_id: str) -> str:
    """Return the name of a connection's downlink queue."""
    return f"iot-flow.{connection_id}.downlink"


async def ensure_exchange(amqp: AmqpConnection, exchange: str) -> None:
    """Find the exchange, or declare it (topic, durable). Raises BrokerFault when the user may not declare it."""
    if not exchange or await exchange_exists(amqp, exchange):
        return
    channel = await amqp.channel()
    try:
        await amqp.call(
            channel,
            lambda done: channel.exchange_declare(exchange, exchange_type="topic", durable=True, callback=done),
        )
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code == ACCESS_REFUSED:
            raise exchange_not_made(str(error.reply_text), amqp.operation) from error
        # Another client has just declared it with another type. That exchange is used.
        if error.reply_code != PRECONDITION_FAILED:
            raise
    else:
        channel.close()


async def exchange_exists(amqp: AmqpConnection, exchange: str) -> bool:
    """Check for the exchange without changing it."""
    channel = await amqp.channel()
    try:
        await amqp.call(channel, lambda done: channel.exchange_declare(exchange, passive=True, callback=done))
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND:
            return False
        raise
    channel.close()
    return True


async def delete_queue(amqp: AmqpConnection, queue: str) -> None:
    """Delete the downlink queue and its messages. A missing queue is not an error."""
    channel = await amqp.channel()
    try:
        await amqp.call(channel, lambda done: channel.queue_delete(queue, callback=done))
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise


async def ensure_queue(amqp: AmqpConnection, queue: str) -> None:
    """Find the downlink queue, or declare it: durable, with a single active consumer.

    A queue that another client declares meanwhile with other arguments is used. A limit of queues has the same code.
    """
    channel = await amqp.channel()
    try:
        await amqp.call(channel, lambda done: channel.queue_declare(queue, passive=True, callback=done))
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise
    else:
        channel.close()
        return
    channel = await amqp.channel()
    try:
        await amqp.call(
            channel,
            lambda done: channel.queue_declare(
                queue, durable=True, arguments={"x-single-active-consumer": True}, callback=done
            ),
        )
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != PRECONDITION_FAILED or "queue limit" in str(error.reply_text):
            raise
    else:
        channel.close()


async def bind(amqp: AmqpConnection, channel: Channel, queue: str, new: Binding, old: Sequence[Binding]) -> None:
    """Bind the queue, then remove its ``old`` bindings. Bindings of the default exchange cannot change."""
    if new[0]:
        await amqp.call(channel, lambda done: channel.queue_bind(queue, new[0], new[1], callback=done))
    for exchange, key in old:
        if exchange and (exchange, key) != new:
            await _unbind(amqp, queue, exchange, key)


async def _unbind(amqp: AmqpConnection, queue: str, exchange: str, key: str) -> None:
    channel = await amqp.channel()
    try:
        await amqp.call(channel, lambda done: channel.queue_unbind(queue, exchange, key, callback=done))
    except pika.exceptions.ChannelClosedByBroker as error:
        # The broker removed the bindings together with their exchange.
        if error.reply_code != NOT_FOUND:
            raise
    else:
        channel.close()
