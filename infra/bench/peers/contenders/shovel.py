"""RabbitMQ's shovel: a plugin of the broker that moves messages of a queue to an exchange, acked when confirmed.

A batch waits in the source queue until the clock starts, held back by a gate. The clock stops when the shovel has
received, published and acked it. The shovel runs in the broker, so that its CPU is unknown.
"""

import base64
import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import closing

import pika

from infra.bench.peers.contenders.connecting import ConfirmingSocket, encoded
from infra.bench.peers.contenders.gate import PATIENCE, Gate
from infra.bench.peers.contenders.serving import serve
from infra.bench.peers.job import EXCHANGE, HOST, USER, Job, read_messages

SOURCE = "bench-source"


class Shovel:
    """A shovel from ``SOURCE`` to the exchange whose prefetch is the batch, and the socket that fills ``SOURCE``."""

    version = "part of RabbitMQ"

    def __init__(self, job: Job) -> None:
        self._job = job
        self._messages = read_messages(job)
        self._filling = ConfirmingSocket(job, job.near_port)
        self._gate = Gate(job.near_port)
        login = pika.PlainCredentials(USER, job.password)
        self._connection = pika.BlockingConnection(
            pika.ConnectionParameters(HOST, job.near_port, credentials=login, heartbeat=0)
        )
        self._channel = self._connection.channel()
        self._channel.exchange_declare(SOURCE, "topic", durable=True)
        self._batch = 0
        self._sent = 0

    def prepare(self, messages: int) -> Callable[[], None]:
        if messages != self._batch:
            self._start(messages)
        self._fill(messages)

        def publish() -> None:
            self._gate.release()
            self._gate.wait_for_acks(self._sent)

        return publish

    def _start(self, batch: int) -> None:
        """Replace the shovel, and let it move a batch whose acks are held back."""
        if self._batch:
            self._request("DELETE")
            self._channel.queue_delete(SOURCE)
        self._batch, self._sent = batch, 0
        self._channel.queue_declare(SOURCE, durable=True)
        self._channel.queue_bind(SOURCE, SOURCE, "#")
        self._gate.forget_consumer()
        self._put_shovel(batch)
        self._gate.wait_for_consumer()
        self._fill(batch)
        self._gate.wait_for_acks(batch)

    def _fill(self, batch: int) -> None:
        self._filling.publish(encoded(self._messages[:batch], SOURCE), batch)
        self._sent += batch

    def close(self) -> None:
        with closing(self._connection):
            if self._batch:
                self._request("DELETE")
                self._channel.queue_delete(SOURCE)
            self._channel.exchange_delete(SOURCE)
        self._filling.close()
        self._gate.close()

    def _put_shovel(self, prefetch: int) -> None:
        self._request(
            "PUT",
            {
                "src-protocol": "amqp091",
                "src-uri": self._uri("amqp", self._gate.port),
                "src-queue": SOURCE,
                "src-prefetch-count": prefetch,
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
        with urllib.request.urlopen(request, timeout=PATIENCE):  # noqa: S310
            pass


if __name__ == "__main__":
    serve(Shovel)
