"""``make webhook-outage``: a webhook fails for an hour while its tenant's connections change.

Two tenants have a webhook and a connection that changes every three minutes, which makes a notification for each. The
webhook of the first answers 503 until the hour is over. The results are the notifications that each webhook accepted,
their delays, and those of the uplinks of another connection of the first tenant. The exit code is 1 when a
notification is lost or has a wrong signature, or when the failing webhook delays something else.
"""

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from infra.chaos import collector
from infra.chaos.plan import PlaceOf
from infra.chaos.poster import device_of
from infra.chaos.records import Arrival, read
from infra.chaos.run import child_of
from infra.chaos.stage import Place, Stage, running_stage
from infra.local.errors import StackFailed
from infra.local.waiting import wait_until
from infra.measurements.neighbours import Load
from infra.measurements.results import exit_code, goal, percentile

OUTAGE, BETWEEN = 3600.0, 180.0
"""Seconds that the webhook fails, and between two changes."""
LONGEST_RETRY = 900.0
"""Seconds between two attempts of a notification, at most (docs/concepts.md)."""
NOTIFIED, DELIVERED = 150.0, 1.0
"""Goals in seconds: the slowest notification of the other tenant, with two runs of the reconciler a minute apart, and
the 99th percentile of the uplinks' delays."""
_RATE = 0.2
_OPEN = 120.0
_PORT_BASE = 9300


class Receiver:
    """A webhook that answers 503 while ``failing``. ``accepted``: when it answered 204, by id."""

    def __init__(self, *, failing: bool) -> None:
        self.secret = ""
        self.failing = failing
        self.accepted: dict[str, list[float]] = {}
        self.refused = self.forged = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # http.server's name
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.send_response(receiver.receive({name.lower(): v for name, v in self.headers.items()}, body))
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def receive(self, headers: dict[str, str], body: str) -> int:
        """Return the status of the answer to a request."""
        try:
            document = Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            self.forged += 1
            return 401
        if self.failing:
            self.refused += 1
            return 503
        if document["type"] == "connection.opened":
            self.accepted.setdefault(headers["webhook-id"], []).append(time.time())
        return 204

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def _receiver(stage: Stage, tenant: str, *, failing: bool) -> Iterator[Receiver]:
    receiver = Receiver(failing=failing)
    try:
        receiver.secret = stage.api_of(tenant).call("PUT", "/notifications", {"url": receiver.url})["secret"]
        yield receiver
    finally:
        receiver.stop()


def _change(stage: Stage, place: Place) -> float:
    """Deactivate and activate a connection. Return the Unix time at which it was open again."""
    api, path = stage.api_of(place.tenant), f"/connections/{place.id}"
    api.call("PATCH", path, {"active": False})
    api.call("PATCH", path, {"active": True})
    if not wait_until(lambda: api.call("GET", path)["state"] == "OPENED", _OPEN, 0.5):
        raise StackFailed(f"The connection {place.id} did not open again.")
    return time.time()


def measure(directory: Path, port_base: int, outage: float) -> bool:
    """Print the results. True when each goal is met."""
    tenants = ("failing", "failing", "other")
    places = [PlaceOf(n, 0, proxied=False, tls=False, tenant=tenant) for n, tenant in enumerate(tenants)]
    with (
        running_stage(directory, places, port_base, time_scale=1) as stage,
        _receiver(stage, "failing", failing=True) as failing,
        _receiver(stage, "other", failing=False) as other,
    ):
        uplinks = Load(stage, "failing", _RATE, [device_of(n) for n in range(10)])
        collecting = child_of(stage, collector.__name__)
        posting = threading.Thread(target=uplinks.run, args=(1, outage))
        posting.start()
        opened: dict[str, list[float]] = {"failing": [], "other": []}
        end = time.monotonic() + outage
        try:
            while time.monotonic() < end:
                for place in stage.places[1:]:
                    opened[place.tenant].append(_change(stage, place))
                time.sleep(min(BETWEEN, max(0.0, end - time.monotonic())))
            posting.join()
            delays = _uplink_delays(stage, uplinks)
            wait_until(lambda: len(other.accepted) >= len(opened["other"]), NOTIFIED, 0.5)
            refused, failing.failing = failing.refused, False
            back = time.time()
            wait_until(lambda: len(failing.accepted) >= len(opened["failing"]), LONGEST_RETRY + NOTIFIED, 0.5)
        finally:
            posting.join()
            collecting.stop(10)
    return _judge(opened, failing, other, refused, back, delays)


def _uplink_delays(stage: Stage, uplinks: Load) -> list[float]:
    def arrived() -> dict[tuple[str, int], float]:
        arrivals = read(stage.directory / collector.ARRIVALS, Arrival)
        return {(each.device, each.counter): each.at for each in arrivals if each.connection == 0}

    if not wait_until(lambda: uplinks.accepted.keys() <= arrived().keys(), _OPEN, 0.5):
        raise StackFailed("The tenant with the failing webhook did not get all its uplinks.")
    at = arrived()
    return [at[key] - accepted for key, accepted in uplinks.accepted.items()]


def _judge(
    opened: dict[str, list[float]], failing: Receiver, other: Receiver, refused: int, back: float, delays: list[float]
) -> bool:
    met = []
    for name, receiver in (("failing", failing), ("other", other)):
        sent = sum(map(len, receiver.accepted.values()))
        print(
            f"{name} webhook: {len(opened[name])} changes, {len(receiver.accepted)} notifications accepted, "
            f"{sent - len(receiver.accepted)} of them repeated, {receiver.forged} with a wrong signature",
            flush=True,
        )
        met.append(len(receiver.accepted) == len(opened[name]) and not receiver.forged)
    print(f"attempts that the failing webhook refused: {refused}", flush=True)
    first = {name: sorted(map(min, each.accepted.values())) for name, each in (("failing", failing), ("other", other))}
    notified = [at - change for change, at in zip(opened["other"], first["other"], strict=False)]
    met.append(refused > 0)
    met.append(goal("notifications of the other tenant, slowest", max(notified, default=NOTIFIED + 1), NOTIFIED))
    late = max(first["failing"], default=back + LONGEST_RETRY + NOTIFIED) - back
    met.append(goal("last notification after the webhook's return", late, LONGEST_RETRY + NOTIFIED))
    met.append(goal("uplinks of the tenant with the failing webhook, 99th percentile", percentile(delays), DELIVERED))
    return all(met)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.measurements.webhook_outage", description=__doc__)
    parser.add_argument("--port-base", type=int, default=_PORT_BASE, help="the first of 20 ports")
    parser.add_argument("--directory", type=Path, default=Path(".measured/webhook-outage"))
    parser.add_argument("--seconds", type=float, default=OUTAGE, help="how long the webhook fails")
    arguments = parser.parse_args()
    return exit_code(lambda: measure(arguments.directory.absolute(), arguments.port_base, arguments.seconds))


if __name__ == "__main__":
    sys.exit(main())
