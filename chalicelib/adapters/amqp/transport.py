"""What pika asks of the system, on our terms: only checked addresses, a corked socket, a reset at the end.

pika takes any implementation of its I/O services; each connection has one of its own, on a loop that may be shared.
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
"""Linux only; elsewhere each frame goes out by itself, which is slower and not wrong."""
_RESET = struct.pack("ii", 1, 0)

Linked = tuple[AbstractStreamTransport, AbstractStreamProtocol] | BaseException


class Transport(SelectorIOServicesAdapter):
    """One connection's I/O services. ``on_step`` hears ``connect``, ``tls`` and ``authenticate`` as each begins."""

    def __init__(self, loop: Loop, addresses: Sequence[Address], port: int, on_step: Callable[[str], None]) -> None:
        super().__init__(cast("AbstractSelectorIOLoop[object]", loop))  # what the stubs have for any loop
        self._addresses = addresses
        self._port = port
        self._on_step = on_step
        self._twin: socket.socket | None = None
        self.linked = False
        """Whether TCP and TLS are done, so that pika's protocol has begun."""

    def getaddrinfo(self, host: Any, port: Any, on_done: Any, *_hints: Any, **_named: Any) -> AbstractIOReference:  # noqa: ARG002
        """No look-up: the addresses that were checked are the ones connected to."""
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
        # pika keeps its socket to itself; a duplicate shares the options of the connection.
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
        # pika calls send() three times a message: corked, they leave in full segments once the buffer is empty.
        self._cork(1)
        super().set_writer(fd, on_writable)

    def remove_writer(self, fd: int) -> bool:
        removed = super().remove_writer(fd)
        self._cork(0)
        return removed

    def reset(self) -> None:
        """Ends the connection with RST: nothing of what is still to be sent goes out.

        pika's own abort is not for callers. So the end of input is feigned; pika closes its socket in the next turn
        of the loop, and that is the last one, which resets.
        """
        twin, self._twin = self._twin, None
        if twin is not None:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with suppress(OSError):  # already reset by the peer: pika sees that itself
                twin.shutdown(socket.SHUT_RD)
            twin.close()

    def release(self) -> None:
        """Lets go of the duplicate; pika has closed its own socket."""
        self._close_twin()

    def _cork(self, value: int) -> None:
        if self._twin is not None and self.linked and _CORK is not None:
            self._twin.setsockopt(socket.IPPROTO_TCP, _CORK, value)

    def _close_twin(self) -> None:
        twin, self._twin = self._twin, None
        if twin is not None:
            twin.close()


class _Pending(AbstractIOReference):
    """A callback that is to come, unless it is cancelled before."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def call(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def cancel(self) -> bool:
        pending, self._callback = self._callback is not None, None
        return pending
