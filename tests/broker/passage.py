"""A way to the broker that a test can shut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Passage:
    """A way to the broker that can be shut, and that knows whether the client ended by a reset."""

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
        with suppress(OSError):  # whoever ends first ends both
            while data := broker.recv(65536):
                client.sendall(data)


@contextmanager
def passing_on(target: int, host: str = "127.0.0.1") -> Iterator[Passage]:
    """Listens on a loopback address and passes one connection on to a port of 127.0.0.1."""
    with socket.create_server((host, 0)) as server:
        passage = Passage(server, target)
        thread = threading.Thread(target=passage.serve, daemon=True)
        thread.start()
        yield passage
    thread.join(10)
