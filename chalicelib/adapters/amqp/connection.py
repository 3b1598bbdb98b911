"""One AMQP connection to a tenant's broker, with a checked address, verified TLS and a name that shows its owner.

Everything here runs on a ``Loop`` and never blocks. Exceptions of pika, sockets and TLS pass through; the callers
translate them.
"""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any

import pika.exceptions
from pika import ConnectionParameters, SSLOptions
from pika.channel import Channel
from pika.credentials import ExternalCredentials, PlainCredentials

from chalicelib import __version__
from chalicelib.adapters.amqp.frames import BoundedAssembler, BoundedConnection
from chalicelib.adapters.amqp.loop import Loop, Reply
from chalicelib.adapters.amqp.operation import AddressForbidden, BrokerOperation, CertificateUnusable, ConnectionBlocked
from chalicelib.adapters.amqp.tls import tls_context
from chalicelib.adapters.amqp.transport import Transport
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import DEFAULT_PORTS, BrokerProtocol
from chalicelib.domain.validation.broker_addresses import Address, Network, forbidden, literal_address, parse_host_port
from chalicelib.network_servers.thingpark.downlinks import MAX_DOWNLINK_SIZE

BLOCKED_SECONDS = 30.0
"""pika closes a connection that the broker blocks for this time."""
LARGEST_MESSAGE = 2**29
"""RabbitMQ's limit of a message's size in bytes."""
LARGEST_RETURN = 2**20
"""Bytes of a returned message, of which we need no body. We publish nothing that is larger."""
CLOSE_SECONDS = 1.0
"""Time limit of an orderly close in ``end``; a reset follows."""
RESET_SECONDS = 1.0
"""Time limit for the loop to notice a reset."""


class Role(StrEnum):
    """The purpose of a connection. The value ends the connection's name at the broker."""

    PUBLISHER = "publisher"
    CONSUMER = "consumer"
    TEST = "test"
    REMOVAL = "removal"

    @property
    def heartbeat(self) -> int:
        """Heartbeat in seconds. A consumer has a short one: a killed consumer must not hold downlinks for long."""
        return {Role.CONSUMER: 10, Role.TEST: 30}.get(self, 60)

    def assembler(self) -> BoundedAssembler:
        """Return the assembler of a channel's messages: downlinks, or our own messages that the broker returns."""
        return (
            BoundedAssembler(MAX_DOWNLINK_SIZE, LARGEST_MESSAGE)
            if self is Role.CONSUMER
            else BoundedAssembler(0, LARGEST_RETURN)
        )


class AmqpConnection:
    """One pika connection from connecting to closing. It never connects to an address that is not allowed.

    ``allowed``: private networks that the operator permits. ``on_step``: called with ``resolve``, ``connect``, ``tls``,
    ``authenticate`` and ``vhost`` as each step begins.
    """

    def __init__(
        self,
        loop: Loop,
        connection: Connection,
        secrets: ConnectionSecrets,
        *,
        role: Role,
        allowed: Sequence[Network],
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._secrets = secrets
        self._role = role
        self._allowed = allowed
        self._on_step = on_step
        self._amqp: BoundedConnection | None = None
        self._transport: Transport | None = None
        self._waiting: dict[Channel, set[Reply[Any]]] = {}
        self.closed: Reply[None] = Reply()
        self.operation = BrokerOperation.of(connection, secrets)
        self.error: BaseException | None = None
        """The reason for the loss of the connection; None while it is not lost."""
        self.blocked: ConnectionBlocked | None = None
        """Set while the broker blocks the connection because of an alarm."""
        self.on_lost: Callable[[BaseException], None] | None = None

    @property
    def is_open(self) -> bool:
        return self._amqp is not None and self._amqp.is_open and self.error is None

    @property
    def frame_max(self) -> int:
        """Bytes of the largest frame; negotiated once the connection is open."""
        return 0 if self._amqp is None else self._amqp.params.frame_max

    async def open(self) -> None:
        """Resolve the name, connect and log in. A caller that stops waiting must call ``abort``."""
        self._begin("resolve")
        configuration = self._connection.configuration
        try:
            host, port = parse_host_port(configuration.host_name, DEFAULT_PORTS[configuration.protocol])
            addresses = await self._resolve(host, port)
        except ValueError as error:  # includes the UnicodeError of a name that DNS cannot encode
            raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
        self._begin("connect")
        self._transport = Transport(self._loop, addresses, port, self._begin)
        opened: Reply[None] = Reply()
        self._amqp = BoundedConnection(
            self._parameters(host, port, len(addresses)),
            on_open_callback=lambda _connection: opened.set(None),
            on_open_error_callback=lambda _connection, error: self._lost(error, opened),
            on_close_callback=lambda _connection, error: self._lost(error, opened),
            custom_ioloop=self._transport,
        )
        self._amqp.add_on_connection_blocked_callback(self._on_blocked)
        self._amqp.add_on_connection_unblocked_callback(self._on_unblocked)
        await opened

    async def channel(self) -> Channel:
        """Open a channel."""
        opened: Reply[Channel] = Reply()
        if self._amqp is None or not self.is_open:
            raise self.error or ConnectionResetError("the connection is closed")
        channel: Any = self._amqp.channel(on_open_callback=opened.set)
        channel._content_assembler = self._role.assembler()  # noqa: SLF001  # pika's own keeps a body of any size
        self._waiting[channel] = {opened}
        channel.add_on_close_callback(self._on_channel_closed)
        return await opened

    def call(self, channel: Channel, request: Callable[[Callable[[Any], None]], object]) -> Reply[Any]:
        """Send a request and return its reply, which fails when the channel or the connection closes first."""
        reply: Reply[Any] = Reply()
        waiting = self._waiting.get(channel)
        if waiting is None:
            reply.fail(self.error or ConnectionResetError("the channel is closed"))
            return reply
        waiting.add(reply)

        def answered(frame: Any) -> None:
            waiting.discard(reply)
            reply.set(frame)

        request(answered)
        return reply

    def write(self, frames: bytes) -> None:
        """Write the complete frames of a message; the loop sends them before its next poll."""
        if not self.is_open or self._transport is None or self._transport.stream is None:
            raise self.error or ConnectionResetError("the connection is closed")
        self._transport.stream.write(frames)

    async def close(self) -> None:
        """Close in order and wait for the broker's answer."""
        if self._amqp is not None and self.is_open:
            self._amqp.close()
            await self.closed

    def abort(self) -> None:
        """Reset the connection in any state. The loop must turn before the socket is closed."""
        if self._amqp is None or self._amqp.is_closed:
            self.closed.set(None)
        elif self._transport is not None and self._transport.linked:
            # A reset also works during the login. There close() of pika 1.4.4 fails an assertion, because its workflow
            # reports a class instead of an exception.
            self._transport.reset()
        elif not self._amqp.is_closing:
            self._amqp.close()

    def _begin(self, step: str) -> None:
        self.operation = self.operation.at(step)
        if self._on_step is not None:
            self._on_step(step)

    async def _resolve(self, host: str, port: int) -> list[Address]:
        """Return every address of the name. Raises AddressForbidden if one is not allowed.

        The connection uses exactly these addresses; pika never resolves the name again.
        """
        literal = literal_address(host)
        if literal is not None:
            found = [literal]
        else:
            records = await self._loop.in_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            literals = (literal_address(str(record[4][0])) for record in records)
            found = list(dict.fromkeys(address for address in literals if address is not None))
        if any(forbidden(address, self._allowed) for address in found):
            raise AddressForbidden
        return found

    def _parameters(self, host: str, port: int, addresses: int) -> ConnectionParameters:
        configuration = self._connection.configuration
        seconds = configuration.connection_timeout / 1000
        return ConnectionParameters(
            host=host,
            port=port,
            virtual_host=configuration.virtual_host,
            credentials=self._credentials(),
            # A function, because pika deep-copies its parameters.
            heartbeat=lambda _connection, _proposed: self._on_tune(),
            ssl_options=SSLOptions(self._tls(), _certified_name(host))
            if configuration.protocol is BrokerProtocol.SSL
            else None,
            # An address that drops packets must leave time for the others.
            socket_timeout=max(0.1, seconds / addresses),
            stack_timeout=None,  # the callers' deadlines are shorter
            blocked_connection_timeout=BLOCKED_SECONDS,
            client_properties={
                "connection_name": f"{self._connection.tenant}/ConnectionId.{self._connection.id}#{self._role.value}",
                "product": "iot-flow-amqp",
                "version": __version__,
            },
        )

    def _credentials(self) -> PlainCredentials | ExternalCredentials:
        username = self._connection.configuration.username
        if username:
            return PlainCredentials(username, self._secrets.password or "")
        if self._secrets.certificate:
            return ExternalCredentials()
        return PlainCredentials("guest", "guest")

    def _tls(self) -> ssl.SSLContext:
        try:
            return tls_context(self._secrets)
        except (ssl.SSLError, ValueError) as error:
            raise CertificateUnusable from error

    def _on_tune(self) -> int:
        """Return the heartbeat. pika calls this after the login and right before it opens the virtual host."""
        self._begin("vhost")
        return self._role.heartbeat

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self.blocked = ConnectionBlocked(frame.method.reason)

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self.blocked = None

    def _on_channel_closed(self, channel: Channel, error: Exception) -> None:
        for reply in self._waiting.pop(channel, ()):
            reply.fail(error)

    def _lost(self, error: BaseException, opened: Reply[None]) -> None:
        self.error = error
        if self._transport is not None:
            self._transport.release()
        opened.fail(error)
        if self.on_lost is not None:
            self.on_lost(error)
        self.closed.set(None)


def _certified_name(host: str) -> str:
    """Return the host in the form that certificates contain: without a final dot, addresses normalised."""
    literal = literal_address(host)
    return host.removesuffix(".") if literal is None else str(literal)


def end(loop: Loop, amqp: AmqpConnection, *, in_order: bool = False) -> None:
    """Close a connection and its loop. ``in_order``: try an orderly close for a second before the reset."""
    if in_order:
        # An error does not matter here: the reset below ends the connection anyway.
        with suppress(TimeoutError, pika.exceptions.AMQPError):
            loop.run(amqp.close(), time.monotonic() + CLOSE_SECONDS)
    amqp.abort()
    loop.run_until(lambda: amqp.closed.done, time.monotonic() + RESET_SECONDS)
    loop.deactivate_poller()
    loop.close()
