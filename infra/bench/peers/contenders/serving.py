"""Loop of a contender's process: reads a job and commands on standard input, publishes, answers with times.

``pause`` in a command: seconds before each measured batch, in which it is prepared.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Protocol

from infra.bench.peers.job import Job


class Contender(Protocol):
    """A client that is connected to the broker."""

    version: str

    def prepare(self, messages: int) -> Callable[[], None]:
        """Return the function to measure. It publishes that many messages and returns when all are confirmed."""

    def close(self) -> None: ...


class NotDelivered(Exception):
    """The broker returned or refused a message."""


def serve(connect: Callable[[Job], Contender]) -> None:
    """Serve commands until standard input ends. The clocks run only while messages are published and confirmed."""
    line = sys.stdin.readline()
    if not line:
        return  # the comparison ended before this contender's turn
    contender = connect(Job.read(line))
    try:
        _say({"version": contender.version})
        for line in sys.stdin:
            command = json.loads(line)
            for _ in range(command["warmUps"]):
                contender.prepare(command["batch"])()
            seconds = processor = 0.0
            for _ in range(command["batches"]):
                begin = time.monotonic() + command["pause"]
                publish = contender.prepare(command["batch"])
                time.sleep(max(0.0, begin - time.monotonic()))
                used, began = time.process_time(), time.perf_counter()
                publish()
                seconds += time.perf_counter() - began
                processor += time.process_time() - used
            _say({"seconds": seconds, "processor": processor})
    finally:
        contender.close()


def _say(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)
