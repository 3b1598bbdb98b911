"""``make downlink-delay``: measures the delay of downlinks from the customer's broker to the network server.

One downlink a second is published through several hand-overs of the polls, without a scaled minute. The results are the
median, the 99th percentile and the maximum of the time from publish to the network server's double. The exit code is 1
when the 99th percentile misses its goal or a downlink is missing.
"""

import argparse
import json
import math
import statistics
import sys
import time
from datetime import datetime
from pathlib import Path

import pika
import urllib3

from infra.chaos.downlink_publisher import payload_of
from infra.chaos.plan import PlaceOf
from infra.chaos.stage import Stage, running_stage
from infra.local.errors import StackFailed
from infra.local.waiting import wait_until
from infra.measurements.results import exit_code

GOAL = 2.0
"""Seconds."""
_SECONDS = 300
_DEVICES = 10
_DRAIN = 120.0
_PORT_BASE = 9280


def measure(directory: Path, port_base: int, seconds: int) -> bool:
    """Prints the delays. True when the goal is met."""
    with running_stage(directory, [PlaceOf(0, 0, proxied=False, tls=False)], port_base, time_scale=1) as stage:
        published = _publish(stage, seconds)
        wait_until(lambda: len(_received(stage)) >= len(published), _DRAIN)
        received = _received(stage)
    delays = sorted(received[payload] - at for payload, at in published.items() if payload in received)
    missing = len(published) - len(delays)
    if not delays:
        raise StackFailed("No downlink reached the network server.")
    percentile = delays[math.ceil(len(delays) * 0.99) - 1]
    print(
        f"{len(published)} downlinks, {missing} missing; delay median {statistics.median(delays):.2f} s, "
        f"99th percentile {percentile:.2f} s (goal {GOAL:.0f} s), maximum {delays[-1]:.2f} s",
        flush=True,
    )
    return not missing and percentile < GOAL


def _publish(stage: Stage, seconds: int) -> dict[str, float]:
    """Publishes one downlink a second. Returns the Unix time of each publish by payload."""
    place, node = stage.places[0], stage.nodes[0]
    credentials = pika.PlainCredentials(node.username, node.password)
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", node.port, place.vhost, credentials))
    published = {}
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        began = time.monotonic()
        for number in range(seconds):
            connection.sleep(max(0.0, began + number - time.monotonic()))
            device = f"{number % _DEVICES:016X}"
            body = {"DevEUI_downlink": {"DevEUI": device, "FPort": 3, "payload_hex": payload_of(number)}}
            published[payload_of(number)] = time.time()
            properties = pika.BasicProperties(delivery_mode=2)
            channel.basic_publish(
                place.exchange, f"down.{device}", json.dumps(body).encode(), properties, mandatory=True
            )
    finally:
        if connection.is_open:
            connection.close()
    return published


def _received(stage: Stage) -> dict[str, float]:
    """The Unix time at which the network server received each payload first."""
    answer = urllib3.request("GET", stage.info["networkServer"]["downlinksUrl"], timeout=30)
    times: dict[str, float] = {}
    for downlink in json.loads(answer.data):
        times.setdefault(downlink["Payload"], datetime.fromisoformat(downlink["receivedAt"]).timestamp())
    return times


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.measurements.downlink_delay", description=__doc__)
    parser.add_argument("--port-base", type=int, default=_PORT_BASE, help="the first of 20 ports")
    parser.add_argument("--directory", type=Path, default=Path(".measured/downlink-delay"))
    parser.add_argument("--seconds", type=int, default=_SECONDS, help="the number of downlinks, one a second")
    arguments = parser.parse_args()
    return exit_code(lambda: measure(arguments.directory.absolute(), arguments.port_base, arguments.seconds))


if __name__ == "__main__":
    sys.exit(main())
