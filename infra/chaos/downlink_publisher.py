"""Publishes downlinks with confirms like a customer's application.

It repeats unconfirmed, nacked and returned downlinks with the same message_id. It runs as a separate process, ``python
-m infra.chaos.downlink_publisher DIRECTORY DOWNLINKS SECONDS``, and ends when all downlinks are confirmed.
"""

import json
import sys
import threading
import time
from pathlib import Path

import pika
import pika.exceptions

from infra.chaos.records import Journal, SentDownlink
from infra.chaos.stage import Node, Place, read_stage

DOWNLINKS = "downlinks.jsonl"
_DEVICES = 20
"""Devices of each connection."""
_PAUSE = 0.3


def payload_of(number: int) -> str:
    return f"{number:08x}"


class Publisher:
    def __init__(self, node: Node, place: Place, journal: Journal) -> None:
        self._node = node
        self._place = place
        self._journal = journal

    def run(self, numbers: list[tuple[float, int]]) -> None:
        """Publishes the downlinks. ``numbers`` has the time in Unix seconds and the number of each."""
        left = list(numbers)
        attempts: dict[int, int] = {}
        while left:
            try:
                self._publish(left, attempts)
            except (pika.exceptions.AMQPError, OSError) as error:
                print(f"{self._place.vhost}: {type(error).__name__}: {error}", flush=True)
                time.sleep(_PAUSE)  # the broker may be killed for seconds

    def _publish(self, left: list[tuple[float, int]], attempts: dict[int, int]) -> None:
        parameters = pika.ConnectionParameters(
            "127.0.0.1",
            self._node.port,
            self._place.vhost,
            pika.PlainCredentials(self._node.username, self._node.password),
            heartbeat=5,
            socket_timeout=5,
            stack_timeout=10,
            blocked_connection_timeout=5,
        )
        connection = pika.BlockingConnection(parameters)
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            while left:
                at, number = left[0]
                connection.sleep(max(0.0, at - time.time()))
                attempts[number] = attempts.get(number, 0) + 1
                device = f"D0{self._place.index:06X}{number % _DEVICES:08X}"
                self._send(channel, number, device)
                self._journal.write(
                    SentDownlink(self._place.index, payload_of(number), device, attempts[number], time.time())
                )
                left.pop(0)
        finally:
            if connection.is_open:
                connection.close()

    def _send(self, channel: "pika.adapters.blocking_connection.BlockingChannel", number: int, device: str) -> None:
        body = {"DevEUI_downlink": {"DevEUI": device, "FPort": 3, "payload_hex": payload_of(number)}}
        channel.basic_publish(
            self._place.exchange,
            f"down.{device}",
            json.dumps(body).encode(),
            pika.BasicProperties(delivery_mode=2, message_id=f"downlink-{number}", content_type="application/json"),
            mandatory=True,
        )


def main() -> None:
    directory = Path(sys.argv[1])
    count, seconds = int(sys.argv[2]), float(sys.argv[3])
    stage = read_stage(directory)
    journal = Journal(directory / DOWNLINKS)
    began = time.time()
    threads = []
    for place in stage.places:
        numbers = [(began + seconds * n / count, n) for n in range(place.index, count, len(stage.places))]
        publisher = Publisher(stage.nodes[place.node], place, journal)
        threads.append(threading.Thread(target=publisher.run, args=(numbers,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
