"""``make unkind``: measures drains with an SQS that answers as AWS's may (``SQS_UNKIND=1``), without TIME_SCALE.

- ``WAITING`` reports wait for a stopped broker. The result is the time from ``POST restart``, after the broker is back,
  to the last arrival.
- ``SINGLE`` reports come one at a time. The result is the 99th percentile of their delay, from acceptance to arrival.

The exit code is 1 when a goal is missed.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from infra.chaos import collector
from infra.chaos.plan import PlaceOf
from infra.chaos.poster import device_of, report
from infra.chaos.records import Arrival, read
from infra.chaos.run import child_of
from infra.chaos.stage import Stage, running_stage
from infra.local.errors import StackFailed
from infra.local.waiting import wait_until
from infra.measurements.results import exit_code, goal, percentile

WAITING, WITHIN = 500, 30.0
SINGLE, SINGLE_WITHIN = 200, 3.0
SINGLE_PERIOD = 0.5
"""Seconds between two single reports."""
_DEVICES = 50
_DRAIN = 900.0
_PORT_BASE = 9300


class Measurement:
    """Reports of one connection, with the times at which they were accepted."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._api = stage.api
        self.accepted: dict[tuple[str, int], float] = {}

    def backlog(self) -> float:
        """Return the seconds from the restart of the connection to the last arrival of ``WAITING`` reports."""
        broker = self._stage.brokers[1]
        broker.stop()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(self._post, range(WAITING)))
        if not wait_until(lambda: self._state() != "OPENED", 60):
            raise StackFailed("The stopped broker's connection stays OPENED.")
        broker.start()
        self._stage.management(1).ready()
        began = time.time()
        self._api.call("POST", f"/connections/{self._stage.places[0].id}/restart")
        self._settle()
        return max(arrival.at for arrival in self._arrivals()) - began

    def single(self) -> float:
        """Return the 99th percentile of the delay of ``SINGLE`` reports. Print the faults during each late one."""
        began = time.monotonic()
        for number in range(SINGLE):
            time.sleep(max(0.0, began + number * SINGLE_PERIOD - time.monotonic()))
            self._post(WAITING + number)
        self._settle()
        arrivals = {(arrival.device, arrival.counter): arrival.at for arrival in reversed(self._arrivals())}
        singles = {key: at for key, at in self.accepted.items() if key[1] >= WAITING}
        for key, at in singles.items():
            if arrivals[key] - at > SINGLE_WITHIN:
                print(f"report {key[1]} of {key[0]}: {arrivals[key] - at:.2f} s")
                for fault_at, fault in self._faults():
                    if at - 1 <= fault_at <= arrivals[key]:
                        print(f"  {fault_at - at:+.2f} s {fault}")
        return percentile([arrivals[key] - at for key, at in singles.items()])

    def _faults(self) -> Iterator[tuple[float, str]]:
        """Yield time and text of the faults of SQS at the queues of reports and wakes."""
        queues = (self._stage.places[0].id, "wakes")
        for line in (self._stage.local / "logs" / "aws.log").read_text(encoding="utf-8").splitlines():
            at, _, fault = line.partition(" ")
            if fault.startswith(("lost answer", "empty receive")) and any(name in fault for name in queues):
                yield float(at), fault

    def _post(self, number: int) -> None:
        device = device_of(number % _DEVICES)
        self._api.call("POST", "/uplinks", report(device, number))
        self.accepted[device, number] = time.time()

    def _state(self) -> str:
        return str(self._api.call("GET", f"/connections/{self._stage.places[0].id}")["state"])

    def _settle(self) -> None:
        def lost() -> int:
            return len(self.accepted.keys() - {(arrival.device, arrival.counter) for arrival in self._arrivals()})

        if not wait_until(lambda: lost() == 0, _DRAIN, 0.2):
            raise StackFailed(f"{lost()} reports did not arrive within {_DRAIN:.0f} s.")

    def _arrivals(self) -> list[Arrival]:
        return read(self._stage.directory / collector.ARRIVALS, Arrival)


def measure(directory: Path, port_base: int) -> bool:
    """Print the results. True when both goals are met."""
    places = [PlaceOf(0, 1, proxied=False, tls=False)]
    with running_stage(directory, places, port_base, time_scale=1) as stage:
        collecting = child_of(stage, collector.__name__)
        try:
            measurement = Measurement(stage)
            drained = measurement.backlog()
            single = measurement.single()
        finally:
            collecting.stop(10)
    return all(
        [
            goal(f"{WAITING} waiting reports drained", drained, WITHIN),
            goal(f"{SINGLE} single reports, 99th percentile", single, SINGLE_WITHIN),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.measurements.unkind", description=__doc__)
    parser.add_argument("--port-base", type=int, default=_PORT_BASE, help="the first of 20 ports")
    parser.add_argument("--directory", type=Path, default=Path(".measured/unkind"))
    arguments = parser.parse_args()
    print(f"An SQS that answers short, late, empty or not at all, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", flush=True)
    os.environ["SQS_UNKIND"] = "1"
    return exit_code(lambda: measure(arguments.directory.absolute(), arguments.port_base))


if __name__ == "__main__":
    sys.exit(main())
