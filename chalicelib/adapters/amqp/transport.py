"""I/O services for pika that use only checked addresses, send once a turn of the loop and end with a reset.

Each connection has a separate ``Transport``; the loop below it may serve many connections.
"""

import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from pika.adapters.utils.nbio_interface import AbstractIOReference, AbstractStreamProtocol, AbstractStreamTransport
from pika.adapters.utils.selector_ioloop_adapter import AbstractSelectorIOLoop, SelectorIOServicesAdapter

from chalicelib.adapters.amqp.loop import Loop
from chalicelib.domain.validation.broker_addresses import Address

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: close() sends RST."""

Linked = tuple[AbstractStreamTransport, AbstractStreamProtocol] | BaseException


class Transport(SelectorIOServicesAdapter):
    """I/O services of one connection. ``on_step``: called with ``connect``, ``tls`` and ``authenticate``.

    It holds a duplicate of pika's socket, because pika does not expose the socket that options and resets need.
    """

    def __init__(self, loop: Loop, addresses: Sequence[Address], port: int, on_step: Callable[[str], None]) -> None:
        super().__init__(cast("AbstractSelectorIOLoop[object]", loop))  # the type of any loop in the stubs
        self._own_loop = loop
        self._addresses = addresses
        self._port = port
        self._on_step = on_step
        self._twin: socket.socket | None = None
        self._sending = False
        self._unsent: tuple[int, Callable[[], None]] | None = None
        self.stream: JoiningStream | None = None
        """The stream of pika's frames, for the frames that the publisher encodes itself."""
        self.linked = False
        """True once TCP and TLS are established and pika's protocol has begun."""

    def getaddrinfo(self, host: Any, port: Any, on_done: Any, *_hints: Any, **_named: Any) -> AbstractIOReference:  # noqa: ARG002
        """Return the checked addresses without a DNS lookup."""
        found = [
            (
                socket.AF_INET if address.version == 4 else socket.AF_INET6,  # noqa: PLR2004  # IPv4
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (str(address), self._port),
            )
            for address in self._addresses
        ]
        pending = _Pending(lambda: on_done(found))
        self.add_callback_threadsafe(pending.call)
        return pending

    def connect_socket(self, sock: socket.socket, resolved_addr: Any, on_done: Any) -> Any:
        self._on_step("connect")
        self._close_twin()
        # pika does not expose its socket. A duplicate shares the options of the connection.
        self._twin = sock.dup()
        return super().connect_socket(sock, resolved_addr, on_done)

    def create_streaming_connection(
        self,
        protocol_factory: Callable[[], AbstractStreamProtocol],
        sock: socket.socket,
        on_done: Callable[[Linked], None],
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> AbstractIOReference:
        self._on_step("authenticate" if ssl_context is None else "tls")

        def joining() -> AbstractStreamProtocol:
            return _JoiningProtocol(protocol_factory(), self._join)

        def linked(result: Linked) -> None:
            if isinstance(result, tuple):
                self.linked = True
                self._on_step("authenticate")
                # pika takes its protocol from the result.
                result = result[0], cast("_JoiningProtocol", result[1]).inner
            on_done(result)

        return super().create_streaming_connection(joining, sock, linked, ssl_context, server_hostname)

    def _join(self, stream: AbstractStreamTransport) -> "JoiningStream":
        self.stream = JoiningStream(self._own_loop, stream, self.send)
        return self.stream

    def send(self, write: Callable[[], None]) -> None:
        """Call ``write``, which writes to pika's stream, and send at once as much as the socket takes.

        pika sends when the loop finds the socket writable. That costs a turn and two system calls per write.
        """
        self._sending = True
        try:
            write()
            if self._unsent is not None:
                self._unsent[1]()
        finally:
            self._sending = False
            unsent, self._unsent = self._unsent, None
        if unsent is not None:
            super().set_writer(*unsent)

    def set_writer(self, fd: int, on_writable: Callable[[], None]) -> None:
        if self._sending:
            self._unsent = fd, on_writable
        else:
            super().set_writer(fd, on_writable)

    def remove_writer(self, fd: int) -> bool:
        if self._unsent is not None:
            self._unsent = None
            return True
        return super().remove_writer(fd)

    def reset(self) -> None:
        """End the connection with RST, so that buffered data is dropped.

        pika has no public abort. This simulates the end of input; pika then closes its socket in the next turn of the
        loop, and closing the last duplicate sends the RST.
        """
        if self.stream is not None:
            self.stream.discard()
        twin, self._twin = self._twin, None
        if twin is not None:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with suppress(OSError):  # already reset by the peer, which pika notices
                twin.shutdown(socket.SHUT_RD)
            twin.close()

    def release(self) -> None:
        """Close the duplicate after pika has closed its socket."""
        self._close_twin()

    def _close_twin(self) -> None:
        twin, self._twin = self._twin, None
        if twin is not None:
            twin.close()


class JoiningStream(AbstractStreamTransport):
    """A stream that joins everything that is written in one turn of the loop and sends it before the next.

    pika writes each frame on its own, which would be three system calls for a message.
    """

    def __init__(self, loop: Loop, inner: AbstractStreamTransport, send: Callable[[Callable[[], None]], None]) -> None:
        self._loop = loop
        self._inner = inner
        self._send = send
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.before_poll(self.flush)
        self._parts.append(data)

    def flush(self) -> None:
        """Send what was written."""
        if self._parts:
            data = b"".join(self._parts)
            self._parts.clear()
            self._send(lambda: self._inner.write(data))

    def discard(self) -> None:
        """Forget what was written and not sent."""
        self._parts.clear()

    def abort(self) -> None:
        self.discard()
        self._inner.abort()

    def get_protocol(self) -> AbstractStreamProtocol:
        return self._inner.get_protocol()

    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size() + sum(map(len, self._parts))


class _JoiningProtocol(AbstractStreamProtocol):
    """pika's protocol, which gets a joining stream instead of pika's own."""

    def __init__(
        self, inner: AbstractStreamProtocol, join: Callable[[AbstractStreamTransport], AbstractStreamTransport]
    ) -> None:
        self.inner = inner
        self._join = join

    def connection_made(self, transport: AbstractStreamTransport) -> None:
        self.inner.connection_made(self._join(transport))

    def connection_lost(self, error: BaseException | None) -> None:
        self.inner.connection_lost(error)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def data_received(self, data: bytes) -> None:
        self.inner.data_received(data)


class _Pending(AbstractIOReference):
    """A scheduled callback that can be cancelled."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def call(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def cancel(self) -> bool:
        pending, self._callback = self._callback is not None, None
        return pending
