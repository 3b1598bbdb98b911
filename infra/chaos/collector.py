"""Consumes the connections' queues like a customer's application and records each message.

It runs as a separate process: ``python -m infra.chaos.collector DIRECTORY``. It acknowledges a message after it has
recorded it. It does not consume a connection's queue while the directory has a file ``pause-<number>``. SIGTERM stops
it.
"""

import hashlib
import json
import signal
import ssl
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pika
import pika.exceptions

from infra.chaos.expectation import without_added
from infra.chaos.records import Arrival, Journal
from infra.chaos.stage import Node, Place, read_stage

ARRIVALS = "arrivals.jsonl"
_UPLINK = "DevEUI_uplink"
_LOOK = 0.2
_PREFETCH = 50


def pause_file(directory: Path, place: int) -> Path:
    return directory / f"pause-{place}"


class Collector:
    def __init__(self, directory: Path, node: Node, place: Place, journal: Journal, stopping: threading.Event) -> None:
        self._node = node
        self._place = place
        self._journal = journal
        self._stopping = stopping
        self._pause = pause_file(directory, place.index)
        self._taken = 0
        """The last recorded delivery tag that is not acknowledged yet, 0 for none."""

    def run(self) -> None:
        """Consumes until it is stopped. Reconnects when the broker goes away."""
        while not self._stopping.is_set():
            if self._pause.exists():
                self._stopping.wait(_LOOK)
                continue
            try:
                self._consume()
            except (pika.exceptions.AMQPError, OSError, ssl.SSLError) as error:
                print(f"{self._place.queue}: {type(error).__name__}: {error}", flush=True)
                self._stopping.wait(_LOOK)

    def _consume(self) -> None:
        self._taken = 0
        parameters = pika.ConnectionParameters(
            "127.0.0.1",
            self._node.port,
            self._place.vhost,
            pika.PlainCredentials(self._node.username, self._node.password),
            # Longer than any freeze, so that a freeze causes no redeliveries.
            heartbeat=30,
            socket_timeout=5,
            stack_timeout=10,
        )
        connection = pika.BlockingConnection(parameters)
        try:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=_PREFETCH)
            channel.basic_consume(self._place.queue, self._take)
            # Ends when the broker cancels the consumer.
            while channel.consumer_tags:
                connection.process_data_events(_LOOK)
                if self._taken:
                    channel.basic_ack(self._taken, multiple=True)
                    self._taken = 0
                if self._stopping.is_set() or self._pause.exists():
                    return
        finally:
            if connection.is_open:
                connection.close()

    def _take(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        document = json.loads(body)
        root, fields = next(iter(document.items()))
        counter = int(fields.get("FCntUp", -1)) if root == _UPLINK else -1
        rest, added = without_added(body.decode())
        self._journal.write(
            Arrival(
                connection=self._place.index,
                device=fields.get("DevEUI", root),
                counter=counter,
                digest=_digest(body),
                message_id=properties.message_id or "",
                at=time.time(),
                redelivered=method.redelivered,
                added=added,
                rest=_digest(rest.encode()),
            )
        )
        self._taken = method.delivery_tag


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def main() -> None:
    directory = Path(sys.argv[1])
    stage = read_stage(directory)
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    journal = Journal(directory / ARRIVALS)
    threads = [
        threading.Thread(target=Collector(directory, stage.nodes[place.node], place, journal, stopping).run)
        for place in stage.places
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
