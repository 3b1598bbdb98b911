"""RabbitMQ's shovel: a plugin of the broker that moves messages of a queue to an exchange, acked when confirmed.

A gate between the source queue and the shovel holds a batch back until the clock starts. The clock stops when the
shovel has acked the whole batch. The shovel runs in the broker, so that its CPU is unknown.
"""

import base64
import json
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress

import pika

from infra.bench.peers.contenders.confirms import ACK, CONSUMING, DELIVER, Confirms, Frames, acknowledged
from infra.bench.peers.contenders.serving import NotDelivered, serve
from infra.bench.peers.job import EXCHANGE, HOST, USER, Job, read_messages

SOURCE = "bench-source"
PREFETCH = 1000
_PATIENCE = 60.0
_BUFFER = 65536


class Gate:
    """A TCP proxy between the broker and the shovel. While it is closed, it keeps deliveries back."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._closed = False
        self._kept = b""
        self._shovel: socket.socket | None = None
        self._confirms = Confirms()
        self.delivered = 0
        self.consuming = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def acked(self) -> int:
        return self._confirms.settled

    def close_gate(self) -> None:
        with self._changed:
            self._closed = True

    def open_gate(self) -> None:
        """Send on what was kept back."""
        with self._changed:
            self._closed, kept, self._kept = False, self._kept, b""
            if self._shovel is not None:
                self._shovel.sendall(kept)

    def wait_for(self, condition: Callable[[], bool], problem: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, _PATIENCE):
                raise NotDelivered(problem)

    def end(self) -> None:
        self._listener.close()
        if self._shovel is not None:
            with suppress(OSError):
                self._shovel.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        self._shovel, _ = self._listener.accept()
        self._shovel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        broker = socket.create_connection((HOST, self._broker_port))
        threading.Thread(target=self._from_broker, args=(broker, self._shovel), daemon=True).start()
        self._from_shovel(self._shovel, broker)

    def _from_broker(self, broker: socket.socket, shovel: socket.socket) -> None:
        frames = Frames()
        with suppress(OSError):
            while data := broker.recv(_BUFFER):
                names = [name for name, _ in frames.methods(data)]
                with self._changed:
                    if self._closed:
                        self._kept += data
                    else:
                        shovel.sendall(data)
                    self.delivered += names.count(DELIVER)
                    self.consuming = self.consuming or CONSUMING in names
                    self._changed.notify_all()

    def _from_shovel(self, shovel: socket.socket, broker: socket.socket) -> None:
        frames = Frames()
        header = _read_protocol_header(shovel)
        with suppress(OSError):
            broker.sendall(header)
            while data := shovel.recv(_BUFFER):
                tags = [acknowledged(arguments) for name, arguments in frames.methods(data) if name == ACK]
                broker.sendall(data)
                if tags:
                    with self._changed:
                        for tag, multiple in tags:
                            self._confirms.add(tag, multiple)
                        self._changed.notify_all()
            broker.close()


def _read_protocol_header(peer: socket.socket) -> bytes:
    header = b""
    while len(header) < 8:  # noqa: PLR2004  # AMQP's protocol header
        header += peer.recv(8 - len(header))
    return header


class Shovel:
    """A shovel from ``SOURCE`` to the exchange, and the channel that fills ``SOURCE``."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._messages = [
            (message.routing_key, message.body, pika.BasicProperties(**message.properties))
            for message in read_messages(job)
        ]
        self._gate = Gate(job.near_port)
        self._connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                HOST, job.near_port, credentials=pika.PlainCredentials(USER, job.password), heartbeat=0
            )
        )
        self._channel = self._connection.channel()
        self._channel.exchange_declare(SOURCE, "topic", durable=True)
        self._channel.queue_declare(SOURCE, durable=True)
        self._channel.queue_bind(SOURCE, SOURCE, "#")
        self._channel.queue_purge(SOURCE)
        self._put_shovel()
        self._gate.wait_for(lambda: self._gate.consuming, "The shovel did not start. See the broker's log.")
        self._sent = 0
        self.version = "rabbitmq_shovel"

    def prepare(self, messages: int) -> Callable[[], None]:
        self._gate.close_gate()
        for key, body, properties in self._messages[:messages]:
            self._channel.basic_publish(SOURCE, key, body, properties)
        self._sent += messages
        self._gate.wait_for(lambda: self._gate.delivered == self._sent, "The shovel did not receive the batch.")
        sent = self._sent

        def publish() -> None:
            self._gate.open_gate()
            self._gate.wait_for(lambda: self._gate.acked >= sent, "The shovel did not ack the batch.")

        return publish

    def close(self) -> None:
        self._request("DELETE")
        self._gate.end()
        with closing(self._connection):
            self._channel.queue_delete(SOURCE)
            self._channel.exchange_delete(SOURCE)

    def _put_shovel(self) -> None:
        self._request(
            "PUT",
            {
                "src-protocol": "amqp091",
                "src-uri": self._uri("amqp", self._gate.port),
                "src-queue": SOURCE,
                "src-prefetch-count": PREFETCH,
                "dest-protocol": "amqp091",
                "dest-uri": self._destination(),
                "dest-exchange": EXCHANGE,
                "ack-mode": "on-confirm",
                "add-forward-headers": False,
                "reconnect-delay": 1,
            },
        )

    def _destination(self) -> str:
        tls = self._job.tls
        if tls is None:
            return self._uri("amqp", self._job.port)
        files = {"cacertfile": tls.authority, "certfile": tls.certificate, "keyfile": tls.key, "verify": "verify_peer"}
        # Erlang looks for the name of SNI among the certificate's DNS names only, which have no address.
        return self._uri("amqps", self._job.port, **files, server_name_indication="localhost")

    def _uri(self, scheme: str, port: int, **options: str) -> str:
        query = urllib.parse.urlencode({"heartbeat": "0", **options})
        return f"{scheme}://{USER}:{self._job.password}@{HOST}:{port}?{query}"

    def _request(self, method: str, value: object = None) -> None:
        token = base64.b64encode(f"{USER}:{self._job.password}".encode()).decode()
        request = urllib.request.Request(  # a fixed scheme
            f"http://{HOST}:{self._job.management_port}/api/parameters/shovel/%2f/bench",
            data=None if value is None else json.dumps({"value": value}).encode(),
            headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=_PATIENCE):  # noqa: S310
            pass


if __name__ == "__main__":
    serve(Shovel)
