"""A scripted AMQP server: a hostile broker that answers what a test wants."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pika import frame, spec

Answer = Callable[["Peer", Any], bool]
"""(peer, received frame) → whether the script has answered it; otherwise the peer answers as a broker does."""

CAPABILITIES = {"publisher_confirms": True, "basic.nack": True, "consumer_cancel_notify": True}


class Peer:
    """One connection to the scripted server."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = b""

    def send(self, channel: int, method: Any) -> None:
        self.send_bytes(frame.Method(channel, method).marshal())

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def serve(self, server_properties: dict[str, Any], answer: Answer) -> None:
        """Answer frames until the client closes."""
        self._socket.recv(8)
        self.send(0, spec.Connection.Start(0, 9, server_properties, "PLAIN", "en_US"))
        for received in self._frames():
            if not answer(self, received):
                self._answer(received)

    def _answer(self, received: Any) -> None:
        method: Any = getattr(received, "method", None)
        name = getattr(method, "NAME", "")
        replies: dict[str, Any] = {
            "Connection.StartOk": lambda: spec.Connection.Tune(2047, 131072, 60),
            "Connection.Open": spec.Connection.OpenOk,
            "Connection.Close": spec.Connection.CloseOk,
            "Channel.Open": spec.Channel.OpenOk,
            "Channel.Close": spec.Channel.CloseOk,
            "Confirm.Select": spec.Confirm.SelectOk,
            "Exchange.Declare": spec.Exchange.DeclareOk,
            "Queue.Declare": lambda: spec.Queue.DeclareOk(method.queue, 0, 0),
            "Queue.Bind": spec.Queue.BindOk,
            "Queue.Unbind": spec.Queue.UnbindOk,
            "Basic.Qos": spec.Basic.QosOk,
            "Basic.Consume": lambda: spec.Basic.ConsumeOk(method.consumer_tag),
            "Basic.Cancel": lambda: spec.Basic.CancelOk(method.consumer_tag),
        }
        if name in replies:
            self.send(received.channel_number, replies[name]())

    def _frames(self) -> Iterator[Any]:
        while True:
            length, received = frame.decode_frame(self._buffer)
            if length:
                self._buffer = self._buffer[length:]
                yield received
                continue
            data = self._socket.recv(65536)
            if not data:
                return
            self._buffer += data


@contextmanager
def scripted_server(
    answer: Answer = lambda _peer, _frame: False, *, capabilities: object = CAPABILITIES
) -> Iterator[int]:
    """Serve connections on a port of 127.0.0.1, which is the context's value."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                sock, _ = listener.accept()
                accepted.append(sock)
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

    def serve(sock: socket.socket) -> None:
        with suppress(OSError):  # the client resets the connection
            Peer(sock).serve({"capabilities": capabilities, "product": "scripted"}, answer)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for sock in accepted:
            sock.close()
