"""I/O services for pika that use only checked addresses, cork the socket and end with a reset.

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

_CORK = getattr(socket, "TCP_CORK", None)
"""Linux only. Other systems send each frame separately, which is slower but correct."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: close() sends RST."""

Linked = tuple[AbstractStreamTransport, AbstractStreamProtocol] | BaseException


class Transport(SelectorIOServicesAdapter):
    """I/O services of one connection. ``on_step``: called with ``connect``, ``tls`` and ``authenticate``.

    It holds a duplicate of pika's socket, because pika does not expose the socket that options and resets need.
    """

    def __init__(self, loop: Loop, addresses: Sequence[Address], port: int, on_step: Callable[[str], None]) -> None:
        super().__init__(cast("AbstractSelectorIOLoop[object]", loop))  # the type of any loop in the stubs
        self._addresses = addresses
        self._port = port
        self._on_step = on_step
        self._twin: socket.socket | None = None
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

        def linked(result: Linked) -> None:
            if isinstance(result, tuple):
                self.linked = True
                self._on_step("authenticate")
            on_done(result)

        return super().create_streaming_connection(protocol_factory, sock, linked, ssl_context, server_hostname)

    def set_writer(self, fd: int, on_writable: Callable[[], None]) -> None:
        # pika calls send() three times per message. The cork collects them into full segments.
        self._cork(1)
        super().set_writer(fd, on_writable)

    def remove_writer(self, fd: int) -> bool:
        removed = super().remove_writer(fd)
        self._cork(0)
        return removed

    def reset(self) -> None:
        """End the connection with RST, so that buffered data is dropped.

        pika has no public abort. This simulates the end of input; pika then closes its socket in the next turn of the
        loop, and closing the last duplicate sends the RST.
        """
        twin, self._twin = self._twin, None
        if twin is not None:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with suppress(OSError):  # already reset by the peer, which pika notices
                twin.shutdown(socket.SHUT_RD)
            twin.close()

    def release(self) -> None:
        """Close the duplicate after pika has closed its socket."""
        self._close_twin()

    def _cork(self, value: int) -> None:
        if self._twin is not None and self.linked and _CORK is not None:
            self._twin.setsockopt(socket.IPPROTO_TCP, _CORK, value)

    def _close_twin(self) -> None:
        twin, self._twin = self._twin, None
        if twin is not None:
            twin.close()


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
