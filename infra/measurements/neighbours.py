"""``make isolation``, parts 2 and 3: whether slow, dying and hostile brokers delay the messages of other connections.

- ``late``: a connection beside ten whose brokers confirm six seconds late and six whose brokers die: three become black
  holes, three close their ports. The result is the 99th percentile of its delay, from acceptance to arrival.
- ``tenants``: twenty tenants with one connection each beside a tenant whose fifty brokers accept connections and never
  answer. The result is the highest median of the twenty.

Each is compared with the same run without faults, as the median of three pairs. The exit code is 1 when a goal is
missed.
"""

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from infra.chaos import collector
from infra.chaos.plan import TENANT, PlaceOf
from infra.chaos.poster import device_of, report
from infra.chaos.proxy import Proxy
from infra.chaos.records import Arrival, read
from infra.chaos.run import child_of
from infra.chaos.stage import Stage, connection_to, running_stage
from infra.local.errors import StackFailed
from infra.local.waiting import wait_until
from infra.measurements.results import exit_code, goal, percentile

PAIRS = 3
SECONDS = 40.0
LATE, LATE_SECONDS = 10, 6.0
DYING = 6
TENANTS = 20
TARPITS = 50
RATE = 4.0
"""Reports per second of the measured connection in part ``late``."""
OTHER_RATE = 1.0
"""Reports per second of every other connection in part ``late``."""
TENANT_RATE = 0.5
HOSTILE_RATE = 0.2
"""Reports per second in part ``tenants``; each one of the hostile tenant goes to fifty connections. The emulation of
AWS serves some forty drains per second on two cores, and must not be what is measured."""
_PATIENT = {"actionTimeout": 10000}
"""Late confirms are within the connection's time to confirm."""
_DRAIN = 180.0
_PORT_BASE = 9260


@dataclass
class Load:
    """Posts reports at a rate with a tenant's token. ``accepted``: time of acceptance by (device, counter)."""

    stage: Stage
    tenant: str
    rate: float
    devices: Sequence[str]
    accepted: dict[tuple[str, int], float] = field(default_factory=dict)

    def run(self, first: int, seconds: float) -> None:
        """Post for ``seconds``; the counters of the reports begin at ``first``."""
        api = self.stage.api_of(self.tenant)
        began = time.monotonic()
        for number in range(int(self.rate * seconds)):
            time.sleep(max(0.0, began + number / self.rate - time.monotonic()))
            device, counter = self.devices[number % len(self.devices)], first + number
            api.call("POST", "/uplinks", report(device, counter))
            self.accepted[device, counter] = time.time()


class Neighbourhood:
    """The loads of one part, and the delays of the measured places."""

    def __init__(self, stage: Stage, loads: Sequence[Load], measured: dict[int, Load]) -> None:
        self._stage = stage
        self._loads = loads
        self._measured = measured
        self._next = 1

    def delays(self, begin: Callable[[], None], end: Callable[[], None]) -> dict[int, list[float]]:
        """Run all loads, ``begin`` after a quarter of the time and ``end`` at the end; return delays by place."""
        first, self._next = self._next, self._next + 1000
        threads = [threading.Thread(target=load.run, args=(first, SECONDS)) for load in self._loads]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS / 4)  # the faults begin while all connections are in use
        begin()
        for thread in threads:
            thread.join()
        end()
        if not wait_until(lambda: all(self._missing(place) == 0 for place in self._measured), _DRAIN, 0.5):
            raise StackFailed("The measured connections did not get all their reports.")
        delays: dict[int, list[float]] = {place: [] for place in self._measured}
        for arrival in self._arrivals():
            load = self._measured.get(arrival.connection)
            if load and arrival.counter >= first and (arrival.device, arrival.counter) in load.accepted:
                delays[arrival.connection].append(arrival.at - load.accepted[arrival.device, arrival.counter])
        return delays

    def _missing(self, place: int) -> int:
        arrived = {(a.device, a.counter) for a in self._arrivals() if a.connection == place}
        return len(self._measured[place].accepted.keys() - arrived)

    def _arrivals(self) -> list[Arrival]:
        return read(self._stage.directory / collector.ARRIVALS, Arrival)


def _pairs(
    name: str,
    neighbourhood: Neighbourhood,
    figure: Callable[[dict[int, list[float]]], float],
    begin: Callable[[], None],
    end: Callable[[], None],
) -> tuple[float, float]:
    """Return the medians of ``figure`` without and with the faults."""
    quiet: list[float] = []
    disturbed: list[float] = []
    neighbourhood.delays(lambda: None, lambda: None)  # warm-up: the slow lane proves the connections
    for number in range(1, PAIRS + 1):
        quiet.append(figure(neighbourhood.delays(lambda: None, lambda: None)))
        disturbed.append(figure(neighbourhood.delays(begin, end)))
        print(f"{name}, pair {number}: {quiet[-1]:.2f} s without, {disturbed[-1]:.2f} s with the faults", flush=True)
    return statistics.median(quiet), statistics.median(disturbed)


def measure_late(directory: Path, port_base: int) -> bool:
    """Measure part ``late``. True when its goal is met."""
    places = [PlaceOf(0, 0, proxied=False, tls=False, tenant="healthy")]
    places += [PlaceOf(n, 0, proxied=True, tls=False, tenant="late") for n in range(1, 1 + LATE)]
    places += [PlaceOf(1 + LATE + n, 0, proxied=True, tls=False, tenant="dying") for n in range(DYING)]
    with running_stage(directory, places, port_base) as stage:
        for place in places[1 : 1 + LATE]:
            _configure(stage, place.index, _PATIENT)
        late = [stage.proxies[place.index] for place in places[1 : 1 + LATE]]
        dying = [stage.proxies[place.index] for place in places[1 + LATE :]]

        def begin() -> None:
            for proxy in late:
                proxy.delay_confirms(LATE_SECONDS)
            for number, proxy in enumerate(dying):
                if number % 2:
                    proxy.cut()
                else:
                    proxy.close_port()

        def end() -> None:
            for proxy in late:
                proxy.delay_confirms(0.0)
            for proxy in dying:
                proxy.open_port()
                proxy.mend()
            _restart_all(stage)

        healthy = Load(stage, "healthy", RATE, [device_of(n) for n in range(10)])
        others = [
            Load(stage, tenant, OTHER_RATE, [device_of(100 * number + n) for n in range(10)])
            for number, tenant in enumerate(("late", "dying"), 1)
        ]
        collecting = child_of(stage, collector.__name__)
        try:
            neighbourhood = Neighbourhood(stage, [healthy, *others], {0: healthy})
            without, beside = _pairs("late", neighbourhood, lambda d: percentile(d[0]), begin, end)
        finally:
            collecting.stop(10)
    return goal("beside late and dying brokers, 99th percentile", beside, 2 * without + 0.5)


def measure_tenants(directory: Path, port_base: int) -> bool:
    """Measure part ``tenants``. True when its goal is met."""
    places = [PlaceOf(n, 0, proxied=False, tls=False, tenant=f"tenant-{n}") for n in range(TENANTS)]
    # A small TIME_SCALE: with 60, fifty probes in five minutes are fifty probes in five seconds.
    with running_stage(directory, places, port_base, time_scale=6) as stage:
        tarpit = Proxy(stage.nodes[0].port)
        tarpit.cut()
        try:
            loads = [
                Load(stage, f"tenant-{n}", TENANT_RATE, [device_of(100 * n + k) for k in range(5)])
                for n in range(TENANTS)
            ]
            hostile = Load(stage, "hostile", HOSTILE_RATE, [device_of(90_000 + k) for k in range(5)])
            collecting = child_of(stage, collector.__name__)
            ids: list[str] = []

            def begin() -> None:
                api = stage.api_of("hostile")
                ids.extend(
                    api.call("POST", "/connections", connection_to(tarpit.port, f"Tarpit {n}"))["id"]
                    for n in range(TARPITS)
                )

            def end() -> None:
                api = stage.api_of("hostile")
                while ids:
                    api.call("DELETE", f"/connections/{ids.pop()}")

            try:
                neighbourhood = Neighbourhood(stage, [*loads, hostile], dict(enumerate(loads)))
                without, beside = _pairs(
                    "tenants", neighbourhood, lambda d: max(map(statistics.median, d.values())), begin, end
                )
            finally:
                collecting.stop(10)
        finally:
            tarpit.stop()
    return goal("beside fifty tarpits of one tenant, highest median", beside, 1.5 * without + 0.2)


def _configure(stage: Stage, place: int, configuration: dict[str, int]) -> None:
    api = stage.api_of(stage.places[place].tenant)
    api.call("PATCH", f"/connections/{stage.places[place].id}", {"configuration": configuration})


def _restart_all(stage: Stage) -> None:
    """Open all connections again, so that the next run begins like the first."""
    for place in stage.places:
        if place.tenant != TENANT:
            stage.api_of(place.tenant).call("POST", f"/connections/{place.id}/restart")

    def opened() -> bool:
        return all(
            stage.api_of(place.tenant).call("GET", f"/connections/{place.id}")["state"] == "OPENED"
            for place in stage.places
        )

    if not wait_until(opened, _DRAIN, 0.5):
        raise StackFailed("A connection did not open again after the faults.")


PARTS = {"late": measure_late, "tenants": measure_tenants}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.measurements.neighbours", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=[*PARTS, []], help="the parts to measure")
    parser.add_argument("--port-base", type=int, default=_PORT_BASE, help="the first of 20 ports")
    parser.add_argument("--directory", type=Path, default=Path(".measured/neighbours"))
    arguments = parser.parse_args()
    print(f"Slow neighbours, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", flush=True)

    def measure() -> bool:
        # A part that missed its goal does not end the run.
        met = [PARTS[part](arguments.directory.absolute(), arguments.port_base) for part in arguments.parts]
        return all(met)

    return exit_code(measure)


if __name__ == "__main__":
    sys.exit(main())
