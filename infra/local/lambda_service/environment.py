"""The runner's side of an execution environment: starts, invokes, kills at the time-out and replaces its process."""

import json
import os
import select
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, cast

from infra.local.processes import ROOT

_PAUSE_AFTER_FAILED_START = 1.0
_LOOK_AROUND = 0.2
"""Seconds between two checks whether the runner is stopping."""


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    DIED = "died"


@dataclass(frozen=True)
class Function:
    """A deployed function: its code, environment and time-out in seconds."""

    name: str
    project: Path
    module: str
    timeout: float
    environment: Mapping[str, str]
    log: Path


class _Process:
    """One interpreter, for use by one thread."""

    def __init__(self, function: Function) -> None:
        answers, worker_end = os.pipe()
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._buffer = b""
        self.ready = False
        function.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with function.log.open("ab") as log:
                self._process = subprocess.Popen(
                    _argv(function, worker_end),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=ROOT,
                    env={**function.environment, "PYTHONUNBUFFERED": "1"},
                    pass_fds=(worker_end,),
                    start_new_session=True,
                )
        finally:
            os.close(worker_end)
        self._input = cast("IO[bytes]", self._process.stdin)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, invocation: dict[str, Any]) -> bool:
        """Sends an invocation. False when the process died."""
        try:
            self._input.write(json.dumps(invocation).encode() + b"\n")
            self._input.flush()
        except BrokenPipeError:
            return False
        return True

    def answer(self, wait: float) -> dict[str, Any] | None:
        """The next answer, None after ``wait`` seconds. Raises EOFError when the process died."""
        deadline = time.monotonic() + wait
        while b"\n" not in self._buffer:
            readable, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                return None
            chunk = self._answers.read(65536)
            if not chunk:
                raise EOFError
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Closes the input, which makes the process end."""
        try:
            self._input.close()
        except BrokenPipeError:
            # The process died with unsent input.
            return

    def wait(self, timeout: float | None = None) -> int:
        return self._process.wait(timeout)

    def close(self) -> None:
        self._answers.close()


class Environment:
    """Keeps one process for one function and replaces it at once when it ends.

    Only one thread may call ``invoke``. Any thread may call back ``changed`` when the pid changes, from ``start`` on:
    an owner that lists its pids in this call must know the environment before.
    """

    def __init__(self, function: Function, changed: Callable[[], None]) -> None:
        self._function = function
        self._changed = changed
        self._stopping = threading.Event()
        self._lock = threading.Condition()
        self._process: _Process | None = None
        self._keeper = threading.Thread(target=self._keep, name=f"keeper of {function.name}", daemon=True)

    def start(self) -> None:
        self._keeper.start()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process else None

    def invoke(self, event: Any) -> Outcome:
        """Runs the handler. The time-out begins after the process has imported its code."""
        outcome, _ = self.call(event)
        return outcome

    def call(self, event: Any) -> tuple[Outcome, Any]:
        """Runs the handler as ``invoke`` does. The second value is its result, or its error if it failed."""
        process = self.wait_ready()
        if process is None:
            return Outcome.DIED, None
        request = {"requestId": str(uuid.uuid4()), "timeout": self._function.timeout, "event": event}
        if not process.send(request):
            return self._lost(process), None
        try:
            answer = process.answer(self._function.timeout)
        except EOFError:
            return self._lost(process), None
        if answer is None:
            process.kill()
            self._lost(process)
            return Outcome.TIMED_OUT, None
        if answer["error"] is None:
            return Outcome.SUCCEEDED, answer["result"]
        return Outcome.FAILED, answer["error"]

    def wait_ready(self) -> _Process | None:
        """Waits until the process can take an event. None when the runner stops."""
        while not self._stopping.is_set():
            with self._lock:
                process = self._process
                if process is None:
                    self._lock.wait(_LOOK_AROUND)
                    continue
            if process.ready:
                return process
            try:
                process.ready = process.answer(_LOOK_AROUND) is not None
            except EOFError:
                self._lost(process)
        return None

    def stop(self, patience: float) -> None:
        """Ends the process, even in a handler. Sends SIGKILL after ``patience`` seconds."""
        self._stopping.set()
        with self._lock:
            process = self._process
            self._lock.notify_all()
        if process is not None:
            process.end()
        self._keeper.join(patience)
        if self._keeper.is_alive() and process is not None:
            process.kill()
            self._keeper.join()

    def _lost(self, process: _Process) -> Outcome:
        """Waits until the keeper has removed a dead process, so that the next invocation gets another one."""
        with self._lock:
            self._lock.wait_for(lambda: self._process is not process)
        process.close()
        return Outcome.DIED

    def _keep(self) -> None:
        while not self._stopping.is_set():
            process = _Process(self._function)
            with self._lock:
                self._process = process
                self._lock.notify_all()
            if self._stopping.is_set():
                process.end()
            self._changed()
            code = process.wait()
            with self._lock:
                self._process = None
                self._lock.notify_all()
            if self._stopping.is_set():
                return
            print(f"{self._function.name}: process {process.pid} ended ({code}), starting another", flush=True)
            if not process.ready:
                # The code cannot be imported. A pause keeps the restarts from using all CPU time.
                self._stopping.wait(_PAUSE_AFTER_FAILED_START)


def _argv(function: Function, answers: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "infra.local.lambda_service.worker",
        *("--runner", str(os.getpid())),
        *("--project", str(function.project)),
        *("--module", function.module),
        *("--function", function.name),
        *("--answers", str(answers)),
    ]
