"""Publisher with confirms: pipelined across devices, with at most one unconfirmed message per device."""

import math
import struct
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pika.exceptions
from pika.channel import Channel

from chalicelib.adapters.amqp.batch import ENDED, Batch, SendWindow
from chalicelib.adapters.amqp.channel_closings import ChannelClosings
from chalicelib.adapters.amqp.connection import AmqpConnection, Role, end
from chalicelib.adapters.amqp.error_translation import translate
from chalicelib.adapters.amqp.frames import PublishEncoder
from chalicelib.adapters.amqp.loop import Loop
from chalicelib.adapters.amqp.operation import ConfirmTimeout
from chalicelib.adapters.amqp.topology import ensure_exchange
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.errors import BrokerFault
from chalicelib.ports.publishing import OutgoingMessage, PublishResult
from chalicelib.vocabulary import RetryReason

if TYPE_CHECKING:
    from chalicelib.domain.delivery import Outcome

IDLE = 5.0
"""Idle seconds after which the publisher checks the connection before it publishes."""
IDLE_CHECK = 1.0
"""Time limit of that check in seconds. A connection that misses it is opened again, which costs less than waiting."""
AWAY = 0.1
"""Seconds between two calls from which the time in between does not count as a wait for the broker."""
ENOUGH = 50
"""Outcomes that are returned although further messages could be sent."""
CHECK = 2.0
"""Time limit in seconds of the check that a probe makes."""
ENCODING_ERRORS = (
    UnicodeError,
    OverflowError,
    struct.error,
    pika.exceptions.ShortStringTooLong,
    pika.exceptions.UnsupportedAMQPFieldException,
)


class AmqpPublisherFactory:
    """Opens AMQP publishers. Implements ``ports.PublisherFactory``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> "AmqpPublisher":
        """Connect, then find or declare the exchange. Each of the two may take the connection's ``connectionTimeout``.

        Raises BrokerFault.
        """
        loop = Loop()
        amqp = AmqpConnection(
            loop, connection, secrets, role=Role.PUBLISHER,
            allowed=self._settings.allowed_private_networks,
        )  # fmt: skip
        seconds = connection.configuration.connection_timeout / 1000
        try:
            loop.run(amqp.open(), min(deadline, time.monotonic() + seconds))
            publisher = AmqpPublisher(loop, amqp, connection)
            loop.run(publisher.prepare(), min(deadline, time.monotonic() + seconds))
        except Exception as error:
            fault = translate(amqp.error or error, amqp.operation)
            end(loop, amqp)
            raise fault from error
        return publisher


class AmqpPublisher:
    """A warm connection with a channel in confirm mode, for one thread at a time. Implements ``ports.Publisher``.

    A fault ends the publisher: it resets the connection and stays unusable.
    """

    def __init__(self, loop: Loop, amqp: AmqpConnection, connection: Connection) -> None:
        self._loop = loop
        self._amqp = amqp
        self._exchange = connection.configuration.exchange_name
        pattern = connection.configuration.uplink_topic_pattern
        self._common_key = None if "{" in pattern else pattern
        self._confirm_seconds = connection.configuration.action_timeout / 1000
        self._window = SendWindow(self._confirm_seconds)
        self._channel: Channel | None = None
        self._encoder: PublishEncoder | None = None
        self._published = 0
        self._batch: Batch | None = None
        self._closings: ChannelClosings | None = None
        self._deadline = self._last_start = 0.0
        self._woken = self._waiting = False
        self._failure: BaseException | None = None
        self._ended = False
        self.waiting_since = math.inf
        self._quiet_since = _now()

    async def prepare(self) -> None:
        """Find or declare the exchange and open the channel."""
        self._amqp.operation = self._amqp.operation.at("exchange")
        await ensure_exchange(self._amqp, self._exchange)
        await self._open_channel()
        self._amqp.operation = self._amqp.operation.at("publish")
        self._quiet_since = _now()

    async def _open_channel(self) -> None:
        """Open a channel in confirm mode, in place of the one that the broker closed."""
        self._failure = None
        self._published = 0
        channel = await self._amqp.channel()
        await self._amqp.call(channel, lambda done: channel.confirm_delivery(self._on_confirm, callback=done))
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_closed)
        self._channel = channel
        self._encoder = PublishEncoder(channel.channel_number, self._exchange, self._amqp.frame_max)

    @property
    def usable(self) -> bool:
        return not self._ended and self._failure is None and self._amqp.is_open

    @property
    def is_quick(self) -> bool:
        return self._window.is_wide

    def publish(self, messages: Sequence[OutgoingMessage], deadline: float) -> PublishResult:
        """Publish messages and wait until each has an outcome, as ``submit`` and ``progress`` do."""
        self.submit(messages, deadline)
        outcomes: dict[str, Outcome] = {}
        slowest = 0.0
        while self._batch is not None:
            result = self.progress()
            outcomes.update(result.outcomes)
            slowest = max(slowest, result.slowest)
        return PublishResult(outcomes, result.fault, slowest)

    def submit(self, messages: Sequence[OutgoingMessage], deadline: float) -> None:
        self._deadline = deadline
        self._last_start = deadline - min(self._confirm_seconds, (deadline - time.monotonic()) / 2)
        if self._batch is None:
            self._batch = Batch(self._window)
        self._batch.add(messages)

    def progress(self) -> PublishResult:
        batch, fault = self._batch, None
        if batch is None:
            return PublishResult({})
        try:
            if self._closings is None:
                self._ensure_ready()
                self._closings = ChannelClosings(batch, self._amqp.operation, self._common_key)
            elif (away := time.monotonic() - self._quiet_since[0]) > AWAY:
                batch.postpone(away)
            self._run(batch, self._closings)
        except Exception as error:  # noqa: BLE001  # translate raises other exceptions again
            self._batch = None
            fault = self._fault(error)
            batch.settle_rest(fault.type, str(fault))
            self.abort()
        finally:
            self.waiting_since = math.inf
            self._woken = False
        if batch.done:
            self._batch = self._closings = None
        self._quiet_since = _now()
        outcomes, slowest = batch.take_outcomes()
        return PublishResult(outcomes, fault, slowest)

    def wake(self) -> None:
        self._woken = True
        if self._waiting:
            self._loop.add_callback_threadsafe(_nothing)

    def check(self, deadline: float) -> None:
        channel = self._channel
        self.waiting_since = time.monotonic()
        try:
            self._must_be_usable()
            if channel is not None:
                request: Callable[[Any], object] = lambda done: channel.basic_qos(callback=done)  # noqa: E731
                self._loop.run(_call(self._amqp, channel, request), min(deadline, time.monotonic() + CHECK))
        except Exception as error:
            fault = self._fault(error)
            self.abort()
            raise fault from error
        finally:
            self.waiting_since = math.inf
        self._quiet_since = _now()

    def close(self) -> None:
        """Close in order, and reset the connection after a second."""
        self._end(in_order=True)

    def abort(self) -> None:
        self._end(in_order=False)

    def _end(self, *, in_order: bool) -> None:
        if not self._ended:
            self._ended = True
            end(self._loop, self._amqp, in_order=in_order)

    def _fault(self, error: Exception) -> BrokerFault:
        """Translate the cause: an error of the connection or channel explains more than the timeout that it caused."""
        if isinstance(error, BrokerFault):
            return error
        if isinstance(error, TimeoutError) and self._amqp.blocked is not None:
            # During an alarm the broker reads nothing from connections that publish.
            return translate(self._amqp.blocked, self._amqp.operation)
        return translate(self._amqp.error or self._failure or error, self._amqp.operation)

    def _ensure_ready(self) -> None:
        """Check an idle connection before publishing: a thawed environment may have missed the loss."""
        self._must_be_usable()
        if any(now - then > IDLE for now, then in zip(_now(), self._quiet_since, strict=True)):
            self.check(min(self._deadline, time.monotonic() + IDLE_CHECK))
        if self._amqp.blocked is not None:
            # The alarm may be over: the broker's unblocked frame can be unread.
            self.check(self._deadline)
            if self._amqp.blocked is not None:
                raise self._amqp.blocked

    def _must_be_usable(self) -> None:
        if not self.usable:
            raise self._failure or self._amqp.error or ConnectionResetError("the connection is closed")

    def _run(self, batch: Batch, closings: ChannelClosings) -> None:
        """Send what may be sent, and receive until there are outcomes or another thread calls ``wake``."""
        while len(batch.outcomes) < ENOUGH:
            if (batch.outcomes or self._woken) and not batch.can_send:
                break
            self._pump(batch)
            if not batch.unconfirmed and not batch.sendable:
                break
            self.waiting_since = batch.oldest_sent
            if not self._serve(batch, min(self._deadline, self.waiting_since + self._confirm_seconds)):
                if self._amqp.blocked is None and self._deadline < batch.oldest_sent + self._confirm_seconds:
                    # Our deadline passed, but the broker still had time to confirm. Late confirms must not settle
                    # messages of the next batch.
                    self._give_up(batch)
                    break
                raise self._amqp.blocked or ConfirmTimeout()
            if self._failure is not None:
                closings.add(self._failure)
                if not self._reopened():
                    self._give_up(batch)
                    break
                if closings.exhausted:
                    batch.stop()
                    break
        if not batch.unconfirmed and not batch.sendable:
            closings.end()
            batch.settle_rest(RetryReason.DEADLINE, ENDED.detail)

    def _give_up(self, batch: Batch) -> None:
        self.abort()
        batch.settle_rest(RetryReason.DEADLINE, ENDED.detail)

    def _reopened(self) -> bool:
        """Open a channel in place of the closed one. False if the time to start a publish ends first."""
        now = time.monotonic()
        try:
            self._loop.run(self._open_channel(), min(self._last_start, now + self._confirm_seconds))
        except TimeoutError:
            if self._last_start < now + self._confirm_seconds:
                return False
            raise
        return True

    def _pump(self, batch: Batch) -> None:
        encoder = self._encoder
        if encoder is None:
            raise ConnectionResetError("the channel is closed")
        if time.monotonic() >= self._last_start:
            batch.stop()
        for message in batch.next_turn():
            try:
                frames = encoder.encode(message)
            except ENCODING_ERRORS as error:
                batch.invalid(message, self._amqp.operation.quote(repr(error)))
            else:
                self._amqp.write(frames)
                self._published += 1
                batch.sent(self._published, message)

    def _serve(self, batch: Batch, limit: float) -> bool:
        """Send what was encoded and read confirms. False when ``limit`` (monotonic) passes without any.

        It waits only if no message may be sent and ``wake`` was not called: confirms are then read between turns."""
        if batch.can_send or self._woken:
            self._loop.turn()
            return time.monotonic() < limit
        seen = batch.progress
        self._waiting = True
        try:
            return self._loop.run_until(
                lambda: batch.progress != seen or self._failure is not None or self._woken, limit
            )
        finally:
            self._waiting = False

    def _on_confirm(self, frame: Any) -> None:
        if self._batch is not None:
            method = frame.method
            self._batch.confirmed(method.delivery_tag, multiple=method.multiple, ack=method.NAME == "Basic.Ack")

    def _on_return(self, _channel: Channel, method: Any, properties: Any, _body: bytes) -> None:
        if self._batch is not None:
            text = self._amqp.operation.quote(f"{method.reply_code} {method.reply_text}")
            self._batch.returned(properties.message_id, text)

    def _on_closed(self, _channel: Channel, error: Exception) -> None:
        self._failure = error


def _nothing() -> None:
    """Do nothing: the call itself ends the wait of the loop."""


async def _call(amqp: AmqpConnection, channel: Channel, request: Callable[[Any], object]) -> Any:
    return await amqp.call(channel, request)


def _now() -> tuple[float, float]:
    """Return both clocks: a freeze may stop the monotonic one, and the wall clock may be set."""
    return time.monotonic(), time.time()
