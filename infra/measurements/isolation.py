"""``make isolation``: measures whether a frozen broker delays the messages of other connections.

Nineteen connections use one broker, the twentieth uses a second one, which freezes for five scaled minutes three times
in a run. The result is the 99th percentile of the nineteen connections' delay, from acceptance to arrival, compared
with a run without freezes, as the median of three pairs. The exit code is 1 when a goal is missed.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.chaos import collector
from infra.chaos.plan import PlaceOf
from infra.chaos.poster import device_of, report
from infra.chaos.records import Arrival, read
from infra.chaos.run import child_of
from infra.chaos.stage import Stage, running_stage
from infra.local.errors import StackFailed
from infra.local.network_server.lrc import Lrc
from infra.local.waiting import wait_until
from infra.measurements.results import exit_code, goal, percentile

NEIGHBOURS = 19
PAIRS = 3
DEVICES = 10
RATE = 0.5
"""Reports per second, each for every connection. The emulation of AWS serves about 20 drains per second on two cores; a
rate near that would measure the emulation."""
SECONDS = 60.0
FREEZES_AT, FREEZE = (5.0, 25.0, 45.0), 5.0
"""Start times and length in seconds; with TIME_SCALE 60, five scaled minutes. All connections get a report at the same
time, so a short run would measure only a few bursts and whatever else the machine did then."""
LONGEST_HELD = 15.0
RESTARTED_WITHIN = 10.0
NEXT_PROBE = 5.0 + 1.0 + 1.0
"""Scaled: five minutes between attempts, a minute of jitter and the reconciler's period."""
_DRAIN = 120.0
_PORT_BASE = 9240
_OPENED = "OPENED"


@dataclass
class Round:
    """Delays in seconds. ``reopened`` is the longest time from a thaw to OPENED, None without a freeze."""

    percentile: float
    reopened: float | None = None


class Measurement:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        server = stage.info["applicationServer"]
        self._lrc = Lrc(stage.info["apiUrl"], server["asId"], server["asKey"], timeout=10.0)
        self._lock = threading.Lock()
        self._counter = 0
        self.accepted: dict[tuple[str, int], float] = {}

    @property
    def _last(self) -> str:
        return self._stage.places[-1].id

    def run(self, *, freeze: bool) -> Round:
        posted: set[tuple[str, int]] = set()
        reopened: list[float] = []
        posting = threading.Thread(target=self._post, args=(posted,))
        began = time.monotonic()
        posting.start()
        for at in FREEZES_AT if freeze else ():
            time.sleep(max(0.0, began + at - time.monotonic()))  # the planned time of the freeze
            # No extra report at the thaw: it would be load that the run without freezes does not have.
            reopened.append(self._freeze(lambda: None, lambda: None))
        posting.join()
        self._settle()
        delays = [
            arrival.at - self.accepted[arrival.device, arrival.counter]
            for arrival in self._arrivals()
            if arrival.connection < NEIGHBOURS and (arrival.device, arrival.counter) in posted
        ]
        return Round(percentile(delays), max(reopened, default=None))

    def restart(self) -> float:
        """Seconds from ``POST restart`` to OPENED after the broker is back, with only one report posted."""
        return self._freeze(
            lambda: self._accept(0, set()),
            lambda: self._stage.api.call("POST", f"/connections/{self._last}/restart"),
        )

    def lost(self) -> int:
        arrived = {(arrival.connection, arrival.device, arrival.counter) for arrival in self._arrivals()}
        return sum((place.index, *key) not in arrived for key in self.accepted for place in self._stage.places)

    def longest_held(self) -> float:
        """Seconds of the longest drain in the forwarders' logs."""
        longest = 0.0
        with (self._stage.local / "logs" / "forward.log").open(encoding="utf-8") as lines:
            for line in lines:
                if '"message": "drained"' in line:
                    longest = max(longest, float(json.loads(line)["seconds"]))
        return longest

    def _post(self, posted: set[tuple[str, int]]) -> None:
        began = time.monotonic()
        for number in range(int(RATE * SECONDS)):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            self._accept(number % DEVICES, posted)

    def _accept(self, number: int, posted: set[tuple[str, int]]) -> None:
        device = device_of(number)
        with self._lock:
            self._counter += 1
            counter = self._counter
        status = self._lrc.post(report(device, counter))
        if status != 200:  # noqa: PLR2004  # OK
            raise StackFailed(f"The API answered {status} to a report.")
        posted.add((device, counter))
        self.accepted[device, counter] = time.time()

    def _freeze(self, meanwhile: Callable[[], Any], then: Callable[[], Any]) -> float:
        """Freezes the second broker, calls ``meanwhile``, thaws it and calls ``then``.

        Returns the seconds from there to OPENED.
        """
        broker = self._stage.brokers[1]
        broker.freeze()
        try:
            time.sleep(FREEZE)  # the five scaled minutes
            meanwhile()
            if not wait_until(lambda: self._state() != _OPENED, 60):
                raise StackFailed("The frozen broker's connection stays OPENED.")
        finally:
            broker.thaw()
        then()
        began = time.monotonic()
        if not wait_until(lambda: self._state() == _OPENED, 60):
            raise StackFailed("The connection did not open again within 60 s.")
        return time.monotonic() - began

    def _state(self) -> str:
        return str(self._stage.api.call("GET", f"/connections/{self._last}")["state"])

    def _settle(self) -> None:
        if not wait_until(lambda: self.lost() == 0, _DRAIN):
            raise StackFailed(f"{self.lost()} reports did not arrive within {_DRAIN:.0f} s.")

    def _arrivals(self) -> list[Arrival]:
        return read(self._stage.directory / collector.ARRIVALS, Arrival)


def measure(directory: Path, port_base: int) -> bool:
    """Prints the results. True when all goals are met."""
    places = [PlaceOf(n, 0, proxied=False, tls=False) for n in range(NEIGHBOURS)]
    places.append(PlaceOf(NEIGHBOURS, 1, proxied=False, tls=False))
    with running_stage(directory, places, port_base) as stage:
        for place in stage.places:
            # Polls that TIME_SCALE makes sixty times as frequent would load the emulation more than the reports do.
            patch = {"configuration": {"downlinkEnabled": False}}
            stage.api_of(place.tenant).call("PATCH", f"/connections/{place.id}", patch)
        collecting = child_of(stage, collector.__name__)
        try:
            measurement = Measurement(stage)
            measurement.run(freeze=False)  # warm-up
            pairs = []
            for number in range(1, PAIRS + 1):
                pairs.append((measurement.run(freeze=False), measurement.run(freeze=True)))
                quiet, frozen = pairs[-1]
                print(
                    f"pair {number}: 99th percentile {quiet.percentile:.2f} s without, {frozen.percentile:.2f} s with "
                    f"a frozen broker, whose connection opened {frozen.reopened:.2f} s after the thaw",
                    flush=True,
                )
            restarted = measurement.restart()
            lost = measurement.lost()
        finally:
            collecting.stop(10)
        without = statistics.median(quiet.percentile for quiet, _ in pairs)
        with_one = statistics.median(frozen.percentile for _, frozen in pairs)
        print(f"accepted {len(measurement.accepted)} for {len(places)} connections, lost {lost}", flush=True)
        return all(
            [
                goal("delay of the neighbours, 99th percentile", with_one, 1.1 * without + 0.1),
                goal("longest drain of a forwarder", measurement.longest_held(), LONGEST_HELD),
                goal("opened by its schedule", max(f.reopened or 0.0 for _, f in pairs), NEXT_PROBE + 2.0),
                goal("opened by a restart", restarted, RESTARTED_WITHIN),
                lost == 0,
            ]
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.measurements.isolation", description=__doc__)
    parser.add_argument("--port-base", type=int, default=_PORT_BASE, help="the first of 20 ports")
    parser.add_argument("--directory", type=Path, default=Path(".measured/isolation"))
    arguments = parser.parse_args()
    print(f"{NEIGHBOURS} connections and a frozen one, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", flush=True)
    # The forwarders log the duration of each drain at this level.
    os.environ["LOG_LEVEL"] = "DEBUG"
    return exit_code(lambda: measure(arguments.directory.absolute(), arguments.port_base))


if __name__ == "__main__":
    sys.exit(main())
