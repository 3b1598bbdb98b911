"""A TCP relay that a test can block, and a TLS listener with a certificate of the test."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Passage:
    """A TCP relay to the broker. Clearing ``open`` blocks it; ``reset`` is set when the client sends RST."""

    def __init__(self, server: socket.socket, target: int) -> None:
        self.port: int = server.getsockname()[1]
        self.open = threading.Event()
        self.open.set()
        self.reset = threading.Event()
        self.passed = 0
        self._server = server
        self._target = target

    def serve(self) -> None:
        client, _ = self._server.accept()
        with client, socket.create_connection(("127.0.0.1", self._target)) as broker:
            back = threading.Thread(target=self._back, args=(broker, client), daemon=True)
            back.start()
            try:
                while self.open.wait(10) and (data := client.recv(65536)):
                    self.passed += len(data)
                    broker.sendall(data)
            except ConnectionResetError:
                self.reset.set()
            broker.close()
            back.join(5)

    def _back(self, broker: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):  # the end of either side ends both
            while data := broker.recv(65536):
                client.sendall(data)


@contextmanager
def passing_on(target: int, host: str = "127.0.0.1") -> Iterator[Passage]:
    """Listen on a loopback address and relay one connection to a port of 127.0.0.1."""
    with socket.create_server((host, 0)) as server:
        passage = Passage(server, target)
        thread = threading.Thread(target=passage.serve, daemon=True)
        thread.start()
        yield passage
    thread.join(10)


class TlsListener:
    """A TLS server. ``received``: the bytes that clients sent after the handshake."""

    def __init__(self, server: socket.socket, context: ssl.SSLContext) -> None:
        self.port: int = server.getsockname()[1]
        self.received = b""
        self._server = server
        self._context = context

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return  # closed by the test
            with client, suppress(OSError), self._context.wrap_socket(client, server_side=True) as talk:
                self.received += talk.recv(65536)


@contextmanager
def listening_with_tls(context: ssl.SSLContext) -> Iterator[TlsListener]:
    """Run a TLS server with the certificate of ``context`` on a loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = TlsListener(server, context)
        thread = threading.Thread(target=listener.serve, daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
