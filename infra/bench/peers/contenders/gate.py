"""A TCP proxy between a broker and one consumer, which holds the consumer's acks back while it is closed.

A broker delivers at most as many unacked messages as the consumer's prefetch allows. So a batch that waits in the queue
is delivered when the acks of the one before pass the gate.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from infra.bench.peers.contenders.confirms import (
    ACK,
    CONSUMING,
    Confirms,
    Frames,
    acknowledged,
    arguments_of,
    method_of,
)  # fmt: skip
from infra.bench.peers.contenders.serving import NotDelivered
from infra.bench.peers.job import HOST

PATIENCE = 60.0
_BUFFER = 65536
_PROTOCOL_HEADER = 8


class Gate:
    """A listener on ``port``. It serves one connection after the other."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._link: _Link | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def wait_for_consumer(self) -> None:
        self._wait_for(lambda: self._link is not None and self._link.consuming, "no consumer came to the gate")

    def forget_consumer(self) -> None:
        """Let ``wait_for_consumer`` wait for another connection."""
        with self._changed:
            self._link = None

    def wait_for_acks(self, messages: int) -> None:
        """Return when the consumer has acked so many messages of its connection."""
        self._wait_for(lambda: self._link is not None and self._link.acked >= messages, "a batch was not acked")

    def release(self) -> None:
        """Send the acks to the broker that are held back, and no later ones."""
        if self._link is not None:
            self._link.release()

    def close(self) -> None:
        self._listener.close()

    def _wait_for(self, condition: Callable[[], bool], problem: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, PATIENCE):
                raise NotDelivered(f"{problem} within {PATIENCE:.0f} s; see the broker's log")

    def _serve(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                consumer, _ = self._listener.accept()
                link = _Link(consumer, socket.create_connection((HOST, self._broker_port)), self._changed)
                with self._changed:
                    self._link = link
                link.start()


class _Link:
    """One connection through the gate."""

    def __init__(self, consumer: socket.socket, broker: socket.socket, changed: threading.Condition) -> None:
        self._consumer, self._broker, self._changed = consumer, broker, changed
        for peer in (consumer, broker):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""
        self._confirms = Confirms()
        self.consuming = False

    @property
    def acked(self) -> int:
        return self._confirms.settled

    def start(self) -> None:
        threading.Thread(target=self._from_broker, daemon=True).start()
        threading.Thread(target=self._from_consumer, daemon=True).start()

    def release(self) -> None:
        with self._changed:
            held, self._held = self._held, b""
        self._broker.sendall(held)

    def _from_broker(self) -> None:
        frames = Frames()
        with suppress(OSError), self._consumer:  # the end of the other direction closes both sockets
            while data := self._broker.recv(_BUFFER):
                self._consumer.sendall(data)
                # Deliveries need no reading.
                if not self.consuming and CONSUMING in [name for name, _ in frames.methods(data)]:
                    with self._changed:
                        self.consuming = True
                        self._changed.notify_all()

    def _from_consumer(self) -> None:
        frames = Frames()
        with suppress(OSError), self._broker:
            self._broker.sendall(self._consumer.recv(_PROTOCOL_HEADER, socket.MSG_WAITALL))
            while data := self._consumer.recv(_BUFFER):
                acks: list[bytes] = []
                others: list[bytes] = []
                for frame in frames.split(data):
                    (acks if method_of(frame) == ACK else others).append(frame)
                if others:
                    self._broker.sendall(b"".join(others))
                with self._changed:
                    self._held += b"".join(acks)
                    for frame in acks:
                        self._confirms.add(*acknowledged(arguments_of(frame)))
                    self._changed.notify_all()
