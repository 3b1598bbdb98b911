"""One chaos run, from the start of the stack to the result."""

import os
import sys
import threading
import time
from pathlib import Path

import urllib3

from infra.chaos import collector, downlink_publisher, faults, poster, watch
from infra.chaos.checker import Evidence, check, check_downlinks
from infra.chaos.flows import create_flows, flows_of
from infra.chaos.picture import draw
from infra.chaos.plan import Plan, Size, make_plan
from infra.chaos.records import Arrival, Backlog, Disturbance, Pause, Post, SentDownlink, read
from infra.chaos.report import Outcome, markdown
from infra.chaos.stage import Stage, running_stage
from infra.local.errors import StackFailed
from infra.local.processes import Child

_POSTING = 900.0
"""Seconds that the posts may take beyond the plan."""


def run(directory: Path, size: Size, port_base: int) -> Outcome:
    """Runs the plan and writes ``report.md`` and ``backlog.svg``. Raises StackFailed or BrokerFailed."""
    plan = make_plan(size)
    with running_stage(directory, size.places, port_base) as stage:
        create_flows(stage, flows_of(size))
        print(f"{len(plan.faults)} faults in {plan.seconds:.0f} s ...", flush=True)
        outcome = _play(stage, size, plan)
    backlog = read(stage.directory / watch.BACKLOG, Backlog)
    (directory / "backlog.svg").write_text(draw(backlog, outcome.disturbances, size.connections), encoding="utf-8")
    (directory / "report.md").write_text(markdown(outcome), encoding="utf-8")
    return outcome


def _play(stage: Stage, size: Size, plan: Plan) -> Outcome:
    where = stage.directory
    began = time.monotonic()
    looking = watch.Watch(stage)
    looking.start()
    collecting = child_of(stage, collector.__name__)
    seconds = f"{plan.seconds:.1f}"
    children = [
        child_of(
            stage,
            poster.__name__,
            str(size.reports),
            str(size.devices),
            seconds,
            str(size.seed),
            poster.VARIED if size.flows else poster.EQUAL,
        ),
        child_of(stage, downlink_publisher.__name__, str(size.downlinks), seconds),
    ]
    saboteur = faults.Saboteur(stage, _Progress(where, size, plan).now, looking.in_flight)
    try:
        saboteur.start(plan.faults)
        for child in children:
            _join(child, plan.seconds + _POSTING, saboteur)
        saboteur.join()
        stage.heal()
        print("All messages are posted and all faults ended. Waiting for the backlog ...", flush=True)
        stuck, stuck_downlinks = looking.settle(lambda: _complete(stage, size))
        if collecting.exit_code() is not None:
            raise StackFailed(f"The collector ended. The end of {collecting.log}:\n{collecting.tail()}")
    finally:
        saboteur.stop()
        looking.stop()
        for child in (*children, collecting):
            child.stop(10)
    disturbances = read(where / faults.DISTURBANCES, Disturbance)
    posts = _posts(stage)
    failed = {place.index: _failed(stage, place.id) for place in stage.places}
    arrivals = read(where / collector.ARRIVALS, Arrival)
    pauses = read(where / faults.PAUSES, Pause)
    evidence = Evidence(posts, arrivals, disturbances, pauses, stuck, failed, flows_of(size))
    sent = read(where / downlink_publisher.DOWNLINKS, SentDownlink)
    tried = {downlink_publisher.payload_of(number) for number in range(size.downlinks)}
    return Outcome(
        size,
        check(size.connections, evidence),
        check_downlinks(sent, _called(stage), tried, stuck_downlinks),
        disturbances,
        sum(post.attempts - 1 for post in posts if post.ended is not None),
        time.monotonic() - began,
    )


class _Progress:
    """The plan's time. It advances with acknowledged reports, so that a slow machine spreads the faults, too."""

    def __init__(self, directory: Path, size: Size, plan: Plan) -> None:
        self._path = directory / poster.POSTS
        self._seconds = plan.seconds
        self._reports = size.reports
        self._offset = 0
        self._acknowledged = 0
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            if self._path.exists():
                with self._path.open("rb") as file:
                    file.seek(self._offset)
                    lines = [line for line in file if line.endswith(b"\n")]
                self._offset += sum(len(line) for line in lines)
                self._acknowledged += sum(b'"ended": null' not in line for line in lines)
            return self._seconds * (self._acknowledged / self._reports if self._reports else 1)


def child_of(stage: Stage, module: str, *arguments: str) -> Child:
    log = stage.directory / f"{module.rsplit('.', 1)[1]}.log"
    return Child(module, [sys.executable, "-m", module, str(stage.directory), *arguments], log, os.environ)


def _join(child: Child, seconds: float, saboteur: faults.Saboteur) -> None:
    """Waits until a process ends. Fails early if a fault could not be ended, because the process may wait for that."""
    deadline = time.monotonic() + seconds
    while (code := child.exit_code()) is None:
        if saboteur.error is not None:
            raise saboteur.error
        if time.monotonic() > deadline:
            raise StackFailed(f"{child.name} did not end within {seconds:.0f} s; see {child.log}")
        time.sleep(0.1)
    if code != 0:
        raise StackFailed(f"{child.name} failed. The end of {child.log}:\n{child.tail()}")


def _posts(stage: Stage) -> list[Post]:
    """The last record of each report, which has the acknowledgement if there was one."""
    last = {(post.device, post.counter): post for post in read(stage.directory / poster.POSTS, Post)}
    return list(last.values())


def _complete(stage: Stage, size: Size) -> bool:
    """True when no report or downlink is missing. The final check covers deactivated connections."""
    pauses = read(stage.directory / faults.PAUSES, Pause)
    arrivals = read(stage.directory / collector.ARRIVALS, Arrival)
    evidence = Evidence(_posts(stage), arrivals, pauses=pauses, flows=flows_of(size))
    if any(result.lost for result in check(len(stage.places), evidence)):
        return False
    sent = {downlink.payload for downlink in read(stage.directory / downlink_publisher.DOWNLINKS, SentDownlink)}
    return sent <= {payload for _, payload in _called(stage)}


def _called(stage: Stage) -> list[tuple[str, str]]:
    answer = urllib3.request("GET", stage.info["networkServer"]["downlinksUrl"], timeout=30)
    return [(each["DevEUI"].upper(), each["Payload"].lower()) for each in answer.json()]


def _failed(stage: Stage, connection_id: str) -> int:
    """The number of failed reports of the connector, from one page, which shows whether there are any."""
    return len(stage.api.call("GET", f"/connections/{connection_id}/messages?direction=uplink&status=failed&limit=100"))
