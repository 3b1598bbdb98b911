"""Exchanges, queues and bindings at a tenant's broker. What exists is used as it is, never declared anew otherwise.

A refused request closes its channel, so each question that may be answered with no is asked on a channel of its own.
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
    """The name of a connection's downlink queue at its broker."""
    return f"iot-flow.{connection_id}.downlink"


async def ensure_exchange(amqp: AmqpConnection, exchange: str) -> None:
    """Finds the exchange, or declares it (topic, durable) where it is missing. Raises BrokerFault if it may not."""
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
        # Somebody else was faster, with another type: that one is used.
        if error.reply_code != PRECONDITION_FAILED:
            raise
    else:
        channel.close()


async def exchange_exists(amqp: AmqpConnection, exchange: str) -> bool:
    """Looks without touching."""
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
    """Deletes the downlink queue with what is in it. No error when there is none."""
    channel = await amqp.channel()
    try:
        await amqp.call(channel, lambda done: channel.queue_delete(queue, callback=done))
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise


async def ensure_queue(amqp: AmqpConnection, queue: str) -> None:
    """Finds the downlink queue, or declares it: durable, one active consumer at a time."""
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
        if error.reply_code != PRECONDITION_FAILED:
            raise
    else:
        channel.close()


async def bind(amqp: AmqpConnection, channel: Channel, queue: str, new: Binding, old: Sequence[Binding]) -> None:
    """Binds the queue and then removes the bindings that it had before. Those of the default exchange are fixed."""
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
        # The exchange is gone, and its bindings with it.
        if error.reply_code != NOT_FOUND:
            raise
    else:
        channel.close()
