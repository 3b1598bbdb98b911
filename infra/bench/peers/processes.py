"""Processes of the contenders, one for each contender and place."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from infra.bench.cores import CLIENT_CORES, on_cores
from infra.bench.peers.installation import NODE_PACKAGES, PYTHON_PACKAGES
from infra.bench.peers.job import Job
from infra.bench.peers.scenes import AMQPLIB, CONTENDERS
from infra.local.errors import StackFailed
from infra.local.processes import ROOT, bound_to_this_process

PAUSE = 0.001
PAUSE_A_MESSAGE = 0.00015
"""Seconds before each batch, and those for each of its messages. Ingress needs them to store the next reports for our
handler. All contenders pause as long, because a broker that has just worked answers sooner than one that has slept."""
_END_SECONDS = 20.0


@dataclass(frozen=True)
class Sample:
    """Result of one round: messages per second, and microseconds of the process's own CPU per message."""

    rate: float
    processor: float


class Process:
    """A running contender."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process
        self.version = ""

    def begin(self, job: Job) -> None:
        """Connect the contender. Raises StackFailed."""
        self.version = str(self._ask(job.text())["version"])

    def measure(self, batch: int, batches: int, warm_ups: int) -> Sample:
        """Publish and confirm ``batches`` batches after ``warm_ups`` others. Raises StackFailed."""
        pause = PAUSE + PAUSE_A_MESSAGE * batch
        command = {"batch": batch, "batches": batches, "warmUps": warm_ups, "pause": pause}
        answer = self._ask(json.dumps(command))
        messages = batch * batches
        return Sample(messages / answer["seconds"], answer["processor"] / messages * 1e6)

    def _ask(self, line: str) -> dict[str, Any]:
        try:
            cast("IO[str]", self._process.stdin).write(line + "\n")
            cast("IO[str]", self._process.stdin).flush()
            answer = cast("IO[str]", self._process.stdout).readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise StackFailed(f"{CONTENDERS[self.name]}: the process ended. The lines above give the reason.")
        return cast("dict[str, Any]", json.loads(answer))


@contextmanager
def contender(name: str, node: Path | None) -> Iterator[Process]:
    """Start the process of a contender, and end it. ``node``: the program for amqplib."""
    if name == AMQPLIB:
        program = [str(node), str(Path(__file__).parent / "contenders" / "amqplib.js")]
    else:
        program = [sys.executable, "-m", f"infra.bench.peers.contenders.{name}"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(PYTHON_PACKAGES),
        "NODE_PATH": str(NODE_PACKAGES / "node_modules"),
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    with on_cores(CLIENT_CORES):
        started = subprocess.Popen(
            bound_to_this_process(program, signal.SIGTERM), cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
    with started as process:
        try:
            yield Process(name, process)
        finally:
            # A contender closes its connection at the end of its input.
            with suppress(BrokenPipeError):
                cast("IO[str]", process.stdin).close()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
