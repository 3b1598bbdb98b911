"""One AMQP connection to a tenant's broker: its address checked, its TLS verified, named so that its owner is seen.

Everything here runs on a ``Loop``; nothing blocks. Errors are raised as they come and translated by the callers.
"""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any

import pika.exceptions
from pika import ConnectionParameters, SelectConnection, SSLOptions
from pika.channel import Channel
from pika.credentials import ExternalCredentials, PlainCredentials

from chalicelib import __version__
from chalicelib.adapters.amqp.loop import Loop, Reply
from chalicelib.adapters.amqp.operation import AddressForbidden, BrokerOperation, CertificateUnusable, ConnectionBlocked
from chalicelib.adapters.amqp.tls import tls_context
from chalicelib.adapters.amqp.transport import Transport
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import DEFAULT_PORTS, BrokerProtocol
from chalicelib.domain.validation.broker_addresses import Address, Network, forbidden, literal_address, parse_host_port

BLOCKED_SECONDS = 30.0
"""A connection that the broker keeps blocked for longer is given up."""
CLOSE_SECONDS = 1.0
RESET_SECONDS = 1.0
"""The longest that a reset may take to be seen by its own loop."""


class Role(StrEnum):
    """Purposes of a connection; the value ends its name at the broker."""

    PUBLISHER = "publisher"
    CONSUMER = "consumer"
    TEST = "test"
    REMOVAL = "removal"

    @property
    def heartbeat(self) -> int:
        """Seconds. A consumer's is short: a killed consumer must not hold downlinks back for long."""
        return {Role.CONSUMER: 10, Role.TEST: 30}.get(self, 60)


class AmqpConnection:
    """A connection on the way, open, or lost. ``role`` ends its name: ``publisher``, ``consumer``, ``test``.

    ``on_step`` hears of ``resolve``, ``connect``, ``tls``, ``authenticate`` and ``vhost`` as each begins.
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
        self._amqp: SelectConnection | None = None
        self._transport: Transport | None = None
        self._waiting: dict[Channel, set[Reply[Any]]] = {}
        self.closed: Reply[None] = Reply()
        self.operation = BrokerOperation.of(connection, secrets)
        self.error: BaseException | None = None
        """Why it was lost."""
        self.blocked: ConnectionBlocked | None = None
        """Set while the broker's alarm is on."""
        self.on_lost: Callable[[BaseException], None] | None = None

    @property
    def is_open(self) -> bool:
        return self._amqp is not None and self._amqp.is_open and self.error is None

    async def open(self) -> None:
        """Resolves, connects, logs in. Whoever stops waiting has to call ``abort``."""
        self._begin("resolve")
        configuration = self._connection.configuration
        try:
            host, port = parse_host_port(configuration.host_name, DEFAULT_PORTS[configuration.protocol])
            addresses = await self._resolve(host, port)
        except ValueError as error:  # also a name that cannot be written in the domain name system
            raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
        self._begin("connect")
        self._transport = Transport(self._loop, addresses, port, self._begin)
        opened: Reply[None] = Reply()
        self._amqp = SelectConnection(
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
        """A new channel."""
        opened: Reply[Channel] = Reply()
        if self._amqp is None or not self.is_open:
            raise self.error or ConnectionResetError("the connection is closed")
        channel = self._amqp.channel(on_open_callback=opened.set)
        self._waiting[channel] = {opened}
        channel.add_on_close_callback(self._on_channel_closed)
        return await opened

    def call(self, channel: Channel, request: Callable[[Callable[[Any], None]], object]) -> Reply[Any]:
        """Sends a request that has an answer; fails when the channel or the connection closes instead."""
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

    async def close(self) -> None:
        """Closes in order; done once the broker has answered."""
        if self._amqp is not None and self.is_open:
            self._amqp.close()
            await self.closed

    def abort(self) -> None:
        """Ends the connection with a reset, in whatever state it is. The loop has to turn for it to be gone."""
        if self._amqp is None or self._amqp.is_closed:
            self.closed.set(None)
        elif self._transport is not None and self._transport.linked:
            # Also while it logs in: there pika 1.4.4's close() ends in an assertion (its workflow reports a class
            # where an exception is awaited).
            self._transport.reset()
        elif not self._amqp.is_closing:
            self._amqp.close()

    def _begin(self, step: str) -> None:
        self.operation = self.operation.at(step)
        if self._on_step is not None:
            self._on_step(step)

    async def _resolve(self, host: str, port: int) -> list[Address]:
        """Every address that the name stands for, each checked; those are the ones connected to."""
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
            # A function, for pika copies its parameters in depth.
            heartbeat=lambda _connection, _proposed: self._on_tune(),
            ssl_options=SSLOptions(self._tls(), _certified_name(host))
            if configuration.protocol is BrokerProtocol.SSL
            else None,
            # One address that swallows packets leaves time for the others.
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
        """pika asks for the heartbeat once the login was accepted, right before it opens the virtual host."""
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
    """The name, or the address, as certificates have it, however it is spelled."""
    literal = literal_address(host)
    return host.removesuffix(".") if literal is None else str(literal)


def end(loop: Loop, amqp: AmqpConnection, *, in_order: bool = False) -> None:
    """Closes a connection, at the latest after a second by a reset, and lets go of its loop."""
    if in_order:
        # It is given up: the reset that follows ends it, whatever the broker said.
        with suppress(TimeoutError, pika.exceptions.AMQPError):
            loop.run(amqp.close(), time.monotonic() + CLOSE_SECONDS)
    amqp.abort()
    loop.run_until(lambda: amqp.closed.done, time.monotonic() + RESET_SECONDS)
    loop.deactivate_poller()
    loop.close()
