"""``make outage``: stops a broker for a day, then measures how the connector drains the backlog.

With TIME_SCALE, a day passes in a minute. The API accepts reports of many devices during the outage. The goals: no
report is lost, each device's reports arrive in order, and the drain reaches a share of the rate of bare receives and
deletes of the same messages on the same SQS (the median of three). The collector consumes only after the drain, because
a tenant's consumer runs on another machine. The exit code is 1 when a goal is missed.
"""

import argparse
import json
import statistics
import sys
import threading
import time
import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3

from chalicelib.adapters.aws.clients import client_configuration
from chalicelib.uplinks.drain import HELPERS
from infra.chaos import collector
from infra.chaos.plan import PlaceOf
from infra.chaos.poster import device_of, report
from infra.chaos.records import Arrival, read
from infra.chaos.run import child_of
from infra.chaos.stage import Stage, running_stage
from infra.local.errors import StackFailed
from infra.local.network_server.lrc import Lrc
from infra.local.stack_config import REGION
from infra.local.waiting import wait_until
from infra.measurements.results import exit_code

TIME_SCALE = 1440
DAY = 86400 / TIME_SCALE
"""Seconds."""
LEAST_SHARE = 0.6
"""Minimum share of the rate of bare receives and deletes."""
_DRAINS = 1 + HELPERS
_ROUNDS = 3
_THREADS = 8
_BATCH = 10
_DRAIN = 300.0
_LOOK = 0.1
_VISIBLE = "ApproximateNumberOfMessages"
_NOT_VISIBLE = "ApproximateNumberOfMessagesNotVisible"
_PORT_BASE = 9280


def _client(stage: Stage) -> Any:
    return boto3.client(
        "sqs",
        config=client_configuration(),
        endpoint_url=stage.info["sqsEndpointUrl"],
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106  # the emulation needs no real one
    )


def accept(stage: Stage, counters: range, devices: int) -> None:
    """Posts a report of each device for each counter, in order for each device."""
    server = stage.info["applicationServer"]
    lrc = Lrc(stage.info["apiUrl"], server["asId"], server["asKey"], timeout=10.0)

    def post(number: int) -> None:
        device = device_of(number)
        for counter in counters:
            status = lrc.post(report(device, counter))
            if status != 200:  # noqa: PLR2004  # OK
                raise StackFailed(f"The API answered {status} to a report.")

    with ThreadPoolExecutor(_THREADS) as executor:
        list(executor.map(post, range(devices)))


def bare_rate(sqs: Any, messages: int, devices: int) -> float:
    """Received and deleted messages per second, with as many threads as there are concurrent drains."""
    url = sqs.create_queue(QueueName="bare.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "60"})[
        "QueueUrl"
    ]
    body = json.dumps(report(device_of(0), 0))
    for first in range(0, messages, _BATCH):
        entries = [
            {
                "Id": str(number),
                "MessageBody": body,
                "MessageGroupId": device_of(number % devices),
                "MessageDeduplicationId": uuid.uuid4().hex,
            }
            for number in range(first, first + _BATCH)
        ]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    lock, taken = threading.Lock(), [0]

    def take(_: int) -> None:
        while True:
            received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=_BATCH).get("Messages", [])
            if received:
                entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(received)]
                sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            with lock:
                taken[0] += len(received)
                if taken[0] >= messages:
                    return

    began = time.monotonic()
    with ThreadPoolExecutor(_DRAINS) as executor:
        list(executor.map(take, range(_DRAINS)))
    return messages / (time.monotonic() - began)


def watch_drain(sqs: Any, url: str) -> tuple[float, float]:
    """Polls a full queue and returns the Unix seconds of the first receive and of the end of the backlog.

    Raises StackFailed when the backlog lasts too long.
    """
    deadline = time.monotonic() + _DRAIN
    full: int | None = None
    began: float | None = None
    while time.monotonic() < deadline:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[_VISIBLE, _NOT_VISIBLE])["Attributes"]
        now = time.time()
        visible = int(attributes[_VISIBLE])
        full = visible if full is None else full
        if began is None and visible < full:
            began = now
        if began is not None and visible + int(attributes[_NOT_VISIBLE]) == 0:
            return began, now
        time.sleep(_LOOK)  # the pause between two polls
    raise StackFailed(f"The backlog was not drained within {_DRAIN:.0f} s.")


def measure(directory: Path, port_base: int, reports: int, devices: int) -> bool:
    """Prints the results. True when nothing is lost, all is in order and the rate is reached."""
    with running_stage(directory, [PlaceOf(0, 0, proxied=False, tls=False)], port_base, TIME_SCALE) as stage:
        collecting = child_of(stage, collector.__name__)
        try:
            (place,) = stage.places
            counters = range(1 + reports // devices)
            # One report of each device before the outage, because the first call of a function is slower.
            accept(stage, counters[:1], devices)
            wait_until(lambda: len(_arrived(stage)) >= devices, _DRAIN)
            pause = collector.pause_file(stage.directory, place.index)
            pause.touch()
            stage.brokers[0].kill()
            down = time.monotonic()
            accept(stage, counters[1:], devices)
            print(f"{reports} reports accepted in {time.monotonic() - down:.0f} s; the broker is down ...", flush=True)
            sqs = _client(stage)
            bare = statistics.median(bare_rate(sqs, reports, devices) for _ in range(_ROUNDS))
            time.sleep(max(0.0, down + DAY - time.monotonic()))  # the rest of the day
            seen = stage.api.call("GET", f"/connections/{place.id}")
            print(f"after a day: {seen['state']}, {seen['stateReason']}", flush=True)
            url = sqs.get_queue_url(QueueName=stage.settings.queue(f"uplinks-{place.id}.fifo"))["QueueUrl"]
            with ThreadPoolExecutor(1) as executor:
                # The broker accepts messages before its start is complete.
                draining = executor.submit(watch_drain, sqs, url)
                stage.brokers[0].start()
                up = time.time()
                began, ended = draining.result()
            pause.unlink()
            complete = wait_until(lambda: len(_arrived(stage)) >= devices + reports, _DRAIN, step=0.5)
        finally:
            collecting.stop(10)
        arrivals = read(stage.directory / collector.ARRIVALS, Arrival)
        orders: dict[str, list[int]] = defaultdict(list)
        for each in arrivals:
            if each.counter not in orders[each.device]:
                orders[each.device].append(each.counter)
        lost = sum(counter not in orders[device_of(number)] for number in range(devices) for counter in counters)
        unordered = sum(order != sorted(order) for order in orders.values())
        rate = reports / (ended - began)
        share = rate / bare
        duplicates = len(arrivals) - sum(len(order) for order in orders.values())
        print(f"the drain began {began - up:.1f} s after the broker's start")
        print(f"lost {lost}, out of order {unordered}, duplicates {duplicates}")
        verdict = "met" if share >= LEAST_SHARE else "MISSED"
        print(
            f"drained at {rate:.0f}/s, bare {bare:.0f}/s, share {share:.2f}, goal {LEAST_SHARE}: {verdict}", flush=True
        )
        return complete and lost == 0 and unordered == 0 and share >= LEAST_SHARE


def _arrived(stage: Stage) -> set[tuple[str, int]]:
    return {(each.device, each.counter) for each in read(stage.directory / collector.ARRIVALS, Arrival)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.measurements.long_outage", description=__doc__)
    parser.add_argument("--reports", type=int, default=8000, metavar="N")
    parser.add_argument("--devices", type=int, default=200, metavar="N")
    parser.add_argument("--port-base", type=int, default=_PORT_BASE, help="the first of 20 ports")
    parser.add_argument("--directory", type=Path, default=Path(".measured/outage"))
    arguments = parser.parse_args()
    return exit_code(
        lambda: measure(arguments.directory.absolute(), arguments.port_base, arguments.reports, arguments.devices)
    )


if __name__ == "__main__":
    sys.exit(main())
