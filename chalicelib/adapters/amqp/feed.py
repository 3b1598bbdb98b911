"""Feed of one connection's downlinks, from connecting to closing, on a loop that serves many connections."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pika.channel import Channel
from pika.exceptions import ProtocolSyntaxError

from chalicelib.adapters.amqp.connection import AmqpConnection, Role
from chalicelib.adapters.amqp.error_translation import translate
from chalicelib.adapters.amqp.loop import Loop, Reply, Task
from chalicelib.adapters.amqp.operation import ConsumerCancelledByBroker
from chalicelib.adapters.amqp.topology import Binding, bind, delete_queue, downlink_queue, ensure_exchange, ensure_queue
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.topic_patterns import binding_key
from chalicelib.domain.validation.broker_addresses import Network
from chalicelib.errors import BrokerFault
from chalicelib.ports.consuming import ReceivedDownlink, Verdict

PREFETCH = 100
"""Unacknowledged downlinks of one connection."""
CLOSE = 5.0
"""Time limit in seconds for each step of closing."""


@dataclass(frozen=True)
class Opening:
    """A connection to open. ``old_bindings``: earlier bindings to remove from its queue."""

    connection: Connection
    secrets: ConnectionSecrets
    old_bindings: Sequence[Binding]


@dataclass(frozen=True)
class FeedEvents:
    """Callbacks of a feed, called in the loop's thread. ``on_closed`` gets the fault, or None after an orderly end."""

    dispatch: Callable[["Feed", Sequence[ReceivedDownlink]], None]
    on_opened: Callable[[], None]
    on_closed: Callable[["Feed", BrokerFault | None], None]


class Feed:
    """Consumes one connection's downlinks in order.

    At most one batch is in flight: ``events.dispatch`` gets it, its verdicts return through ``on_verdicts``, and only
    then the feed dispatches the next one.
    """

    def __init__(self, loop: Loop, opening: Opening, allowed: Sequence[Network], events: FeedEvents) -> None:
        connection = opening.connection
        self._loop = loop
        self._old_bindings = opening.old_bindings
        self._dispatch = events.dispatch
        self._on_opened = events.on_opened
        self._events = events
        self.id = connection.id
        configuration = connection.configuration
        self.binding = (configuration.exchange_name, binding_key(configuration.downlink_topic_pattern or ""))
        self._queue = downlink_queue(connection.id)
        self._consumer_tag = f"iot-flow.{connection.id}"
        self._seconds = configuration.connection_timeout / 1000
        self._amqp = AmqpConnection(loop, connection, opening.secrets, role=Role.CONSUMER, allowed=allowed)
        self._amqp.on_lost = self._fail
        self._channel: Channel | None = None
        self._inbox: deque[ReceivedDownlink] = deque()
        self._batch_in_flight = False
        self._unsettled = 0
        self._cancelled = False
        self._drop_inbox = False
        self._deleting = False
        self._failure: BaseException | None = None
        self._end: Reply[None] = Reply()
        self._drained: Reply[None] = Reply()

    def start(self) -> None:
        task = Task(self._run())
        # Deferred to the next turn: pika takes any exception raised inside its callbacks for a lost connection.
        task.then(lambda: self._loop.add_callback_threadsafe(lambda: self._ended(task)))

    def end(self, *, delete_queue: bool = False) -> None:
        """Start an orderly close, also while the feed is still connecting."""
        self._deleting = self._deleting or delete_queue
        self._end.set(None)

    def abort(self) -> None:
        """Reset the connection. The broker requeues every unacknowledged message."""
        self._amqp.abort()

    def on_verdicts(self, messages: Sequence[ReceivedDownlink], verdicts: Sequence[Verdict]) -> None:
        """Settle a dispatched batch and dispatch the next one."""
        self._batch_in_flight = False
        self._unsettled -= len(messages)
        channel = self._channel
        if channel is None or not channel.is_open:
            return  # the broker redelivers them
        tags = [message.tag for message in messages]
        if settle_batch(channel, tags, verdicts):
            # Messages in the inbox must not overtake the requeued ones.
            self._drop_inbox = True
            self.end()
        self._next_batch()

    async def _run(self) -> None:
        await self._loop.start_task(self._amqp.open(), self._seconds)
        if not self._end.done:
            await self._loop.start_task(self._subscribe(), self._seconds)
            self._on_opened()
        await self._end
        if self._deleting:
            await self._loop.start_task(self._delete(), CLOSE)
        elif self._channel is not None:
            await self._loop.start_task(self._cancel(self._channel), CLOSE)
            await self._drained
        self._amqp.on_lost = None
        await self._loop.start_task(self._amqp.close(), CLOSE)

    async def _subscribe(self) -> None:
        amqp = self._amqp
        amqp.operation = amqp.operation.at("exchange")
        await ensure_exchange(amqp, self.binding[0])
        amqp.operation = amqp.operation.at("downlink")
        await ensure_queue(amqp, self._queue)
        channel = await amqp.channel()
        channel.add_on_close_callback(lambda _channel, error: self._fail(error))
        channel.add_on_cancel_callback(lambda _frame: self._fail(ConsumerCancelledByBroker()))
        await bind(amqp, channel, self._queue, self.binding, self._old_bindings)
        await amqp.call(channel, lambda done: channel.basic_qos(prefetch_count=PREFETCH, callback=done))
        self._channel = channel
        tag = self._consumer_tag
        await amqp.call(
            channel, lambda done: channel.basic_consume(self._queue, self._on_message, consumer_tag=tag, callback=done)
        )

    async def _cancel(self, channel: Channel) -> None:
        tag = self._consumer_tag
        await self._amqp.call(channel, lambda done: channel.basic_cancel(tag, callback=done))
        self._cancelled = True
        self._next_batch()

    async def _delete(self) -> None:
        self._drop_inbox = True
        await delete_queue(self._amqp, self._queue)

    def _on_message(self, _channel: Channel, method: Any, properties: Any, body: bytes) -> None:
        self._unsettled += 1
        if self._unsettled > PREFETCH:
            self._fail(ProtocolSyntaxError(f"more than {PREFETCH} unacknowledged messages"))
            return
        if not self._inbox:
            # Messages of the same read from the socket belong to the same batch.
            self._loop.add_callback_threadsafe(self._next_batch)
        self._inbox.append(
            ReceivedDownlink(
                connection_id=self.id,
                tag=method.delivery_tag,
                routing_key=_text(method.routing_key) or "",
                body=body,
                message_id=_text(properties.message_id),
                app_id=_text(properties.app_id),
                redelivered=method.redelivered,
            )
        )

    def _next_batch(self) -> None:
        if self._batch_in_flight:
            return
        if self._drop_inbox:
            self._inbox.clear()
        if self._inbox and self._failure is None:
            batch = list(self._inbox)
            self._inbox.clear()
            self._batch_in_flight = True
            self._dispatch(self, batch)
        elif self._cancelled:
            self._drained.set(None)

    def _fail(self, error: BaseException) -> None:
        """End the feed after an unexpected end of its connection, channel or consumer."""
        if self._deleting and isinstance(error, ConsumerCancelledByBroker):
            return  # the broker confirms that the queue is deleted
        if self._failure is None:
            self._failure = error
        self._end.fail(error)
        self._drained.fail(error)

    def _ended(self, task: Task[None]) -> None:
        error = task.error
        if error is None:
            self._events.on_closed(self, None)
            return
        fault = translate(self._failure or self._amqp.error or error, self._amqp.operation)
        self._amqp.on_lost = None
        self._amqp.abort()
        self._events.on_closed(self, fault)


def settle_batch(channel: Channel, tags: Sequence[int], verdicts: Sequence[Verdict]) -> bool:
    """Ack and reject a batch with as few frames as possible. True when the broker must requeue messages.

    Every tag below the first of ``tags`` must be settled already, because acks cover all earlier tags.
    """
    requeue, ready = False, 0
    for tag, verdict in zip(tags, verdicts, strict=True):
        if verdict is Verdict.ACK and not requeue:
            ready = tag
            continue
        if ready:
            channel.basic_ack(ready, multiple=True)
            ready = 0
        if verdict is Verdict.ACK:
            channel.basic_ack(tag)
        elif verdict is Verdict.REJECT:
            channel.basic_reject(tag, requeue=False)
        else:
            requeue = True
    if ready:
        channel.basic_ack(ready, multiple=True)
    return requeue


def _text(value: str | bytes | None) -> str | None:
    """Return a short string as text: pika returns bytes for one that is not UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
