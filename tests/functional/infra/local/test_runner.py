"""The local runner calls an app's handlers as Lambda would. The app is defined in this file."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.local.aws.server import Server
from infra.local.lambda_service.environment import Environment, Function
from infra.local.processes import ROOT

APP = """
import json, os, time
from chalice import Chalice

app = Chalice(app_name="tests")
OUT = os.environ["OUT"]

def note(**fields):
    with open(OUT, "a") as file:
        file.write(json.dumps({"pid": os.getpid(), **fields}) + "\\n")

@app.on_sqs_message(queue="work", batch_size=10, maximum_concurrency=2)
def forward(event):
    bodies = [record.body for record in event]
    note(function="forward", bodies=bodies, raw=event.to_dict(), request=event.context.aws_request_id,
         left=event.context.get_remaining_time_in_millis(), variable=os.environ["FROM_STAGE"])
    print("handled", *bodies)
    if "slow" in bodies:
        time.sleep(60)
    if "bad" in bodies:
        raise ValueError("refused")

@app.on_sqs_message(queue="polls", batch_size=1, maximum_concurrency=4)
def consume(event):
    note(function="consume")
    while not os.path.exists(OUT + ".enough"):
        time.sleep(0.02)

@app.on_sqs_message(queue_arn="arn:aws:sqs:eu-west-1:123456789012:ordered.fifo", batch_size=10)
def send_downlinks(event):
    note(function="send_downlinks", bodies=[record.body for record in event])

@app.schedule("rate(1 minute)")
def reconcile(event):
    note(function="reconcile", id=event.event_id, source=event.source)
    if not os.path.exists(OUT + ".healthy"):
        raise RuntimeError("not healthy")
"""
CONFIG = {"version": "2.0", "app_name": "tests", "stages": {"local": {"environment_variables": {"FROM_STAGE": "yes"}}}}


START = 120
"""Seconds for the start of a runner. It imports boto3, Chalice and pydantic first: one second of an idle core, several
of a busy one. An end of the runner is noticed at once."""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


class Running:
    """A runner process and the notes of its app."""

    def __init__(self, directory: Path, endpoint: str, scale: str) -> None:
        self.directory = directory
        (directory / "app.py").write_text(textwrap.dedent(APP))
        (directory / ".chalice").mkdir()
        (directory / ".chalice" / "config.json").write_text(json.dumps(CONFIG))
        environment = {
            **os.environ,
            "OUT": str(directory / "out"),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "TIME_SCALE": scale,
        }
        self.client: Any = boto3.client(
            "sqs", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id="t", aws_secret_access_key="t"
        )
        self.work = self.client.create_queue(QueueName="work", Attributes={"VisibilityTimeout": "3"})["QueueUrl"]
        self.ordered = self.client.create_queue(QueueName="ordered.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        self.polls = self.client.create_queue(QueueName="polls", Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
        self.log = (directory / "runner.log").open("w")
        arguments = ["--project", str(directory), "--directory", str(directory)]
        arguments += ["--timeout", "forward=2", "--timeout", "consume=30"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.local.lambda_service.runner", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        wait_for(self._complete, "six workers", seconds=START)

    def _complete(self) -> bool:
        """Return whether all workers were started. Fails at once when the runner has ended."""
        assert self.process.poll() is None, (self.directory / "runner.log").read_text()
        return len(self.pids()) == 6

    def notes(self, function: str) -> list[dict[str, Any]]:
        path = self.directory / "out"
        lines = path.read_text().splitlines() if path.exists() else []
        return [note for line in lines if (note := json.loads(line))["function"] == function]

    def pids(self) -> list[int]:
        path = self.directory / "workers.json"
        return list(json.loads(path.read_text())["pids"]) if path.exists() else []

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.work, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))

    def stop(self, signal_number: int) -> None:
        self.process.send_signal(signal_number)
        self.process.wait(20)
        self.log.close()


@pytest.fixture
def endpoint() -> Iterator[str]:
    running = Server(0)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.port}"
    running.shutdown()
    thread.join()


@pytest.fixture
def running(tmp_path: Path, endpoint: str) -> Iterator[Running]:
    started = Running(tmp_path, endpoint, scale="60")
    yield started
    if started.process.poll() is None:
        started.stop(signal.SIGTERM)
    assert not any(map(alive, started.pids()))


def test_environment_starts_its_process_only_when_its_owner_knows_it(tmp_path: Path) -> None:
    """The owner lists its pids when they change. A pid before ``start`` would be missing in this list for good."""
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    told = threading.Event()
    variables = {**os.environ, "OUT": str(tmp_path / "out")}
    function = Function("reconcile", tmp_path, "app", 30, variables, tmp_path / "log")
    environment = Environment(function, told.set)
    assert "keeper of reconcile" not in {thread.name for thread in threading.enumerate()}
    assert environment.pid is None

    environment.start()
    assert told.wait(START)
    assert environment.pid is not None
    environment.stop(5)


def test_handler_gets_messages_as_lambda_event_and_runner_deletes_them(running: Running) -> None:
    for body in ("one", "two"):
        running.client.send_message(QueueUrl=running.work, MessageBody=body)
    wait_for(lambda: running.left() == 0, "an empty queue")

    notes = running.notes("forward")
    assert sorted(body for note in notes for body in note["bodies"]) == ["one", "two"]
    record = notes[0]["raw"]["Records"][0]
    assert record["eventSourceARN"] == "arn:aws:sqs:eu-west-1:123456789012:work"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert {"messageId", "receiptHandle", "messageAttributes", "awsRegion"} <= set(record)
    assert 0 < notes[0]["left"] <= 2000
    assert notes[0]["variable"] == "yes"
    assert "handled" in (running.directory / "logs" / "forward.log").read_text()


def test_failed_batch_comes_back(running: Running) -> None:
    running.client.send_message(QueueUrl=running.work, MessageBody="bad")
    wait_for(lambda: len(running.notes("forward")) >= 2, "a second attempt")

    first, second = running.notes("forward")[:2]
    assert first["raw"]["Records"][0]["messageId"] == second["raw"]["Records"][0]["messageId"]
    assert second["raw"]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "2"


def test_fifo_queue_keeps_its_order(running: Running) -> None:
    for number in range(25):
        running.client.send_message(
            QueueUrl=running.ordered, MessageBody=str(number), MessageGroupId="g", MessageDeduplicationId=str(number)
        )

    def sent() -> list[int]:
        return [int(body) for note in running.notes("send_downlinks") for body in note["bodies"]]

    wait_for(lambda: len(sent()) >= 25, "all of the group")
    assert sent() == list(range(25))


def test_handler_beyond_its_timeout_is_killed_and_its_messages_come_back(running: Running) -> None:
    running.client.send_message(QueueUrl=running.work, MessageBody="slow")
    wait_for(lambda: len(running.notes("forward")) >= 2, "a second attempt")

    first, second = running.notes("forward")[:2]
    assert not alive(first["pid"])
    assert first["pid"] not in running.pids()
    assert first["request"] != second["request"]


def test_killed_worker_is_replaced_at_once(running: Running) -> None:
    victim = running.pids()[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in running.pids() and len(running.pids()) == 6, "another worker")

    running.client.send_message(QueueUrl=running.work, MessageBody="after")
    wait_for(lambda: running.left() == 0, "an empty queue")


def test_small_load_is_served_by_the_worker_that_served_last(running: Running) -> None:
    def served(number: int) -> bool:
        return len(running.notes("forward")) == number and running.left() == 0

    for number in range(1, 6):
        running.client.send_message(QueueUrl=running.work, MessageBody=f"message {number}")
        wait_for(partial(served, number), "its end")
    # A worker that starts later than the first message is used next, once.
    pids = [note["pid"] for note in running.notes("forward")]
    assert sum(before != after for before, after in pairwise(pids)) <= 1


def test_schedule_fires_each_scaled_minute_and_is_retried_twice(running: Running) -> None:
    notes = wait_for(
        lambda: (found := running.notes("reconcile")) and sum(n["id"] == found[0]["id"] for n in found) == 3 and found,
        "two retries",
    )
    assert len({note["id"] for note in notes}) >= 2
    assert notes[0]["source"] == "aws.events"

    (running.directory / "out.healthy").touch()
    wait_for(lambda: len({note["id"] for note in running.notes("reconcile")}) >= 6, "further minutes")


def test_no_worker_survives_a_runner_killed_during_a_handler(running: Running) -> None:
    running.client.send_message(QueueUrl=running.work, MessageBody="slow")
    wait_for(lambda: running.notes("forward"), "a running handler")
    workers = running.pids()

    running.stop(signal.SIGKILL)
    wait_for(lambda: not any(map(alive, workers)), "the workers' end")


def test_long_invocations_get_more_workers_up_to_the_maximum(running: Running) -> None:
    for _ in range(5):
        running.client.send_message(QueueUrl=running.polls, MessageBody="job")
    wait_for(lambda: len(running.notes("consume")) == 4, "four invocations side by side")
    wait_for(lambda: len(running.pids()) == 8, "their pids")

    (running.directory / "out.enough").touch()
    wait_for(lambda: len(running.notes("consume")) == 5, "the fifth")
