"""The process that runs drivers, from the outside: started without an environment, replaced when it dies."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, cast

import _quickjs

PATIENCE = 20.0
"""Seconds without an answer after which the process is given up. The limits of CPU time end all but a frozen one."""
KILLED = "The driver needs far more than its time or memory for this message, and its process was ended."
_COST_OF_A_KILL = 0.5
"""CPU seconds that a batch is charged for a process that died."""
_ROOT = Path(__file__).parents[3]


_NOT_BY_ITSELF = {0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}
"""Exit codes of a process that something else ended than the message in hand."""


class WorkerLost(Exception):
    """The process was ended from outside, or does not answer. No message is at fault."""


class Worker:
    """Runs batches in another process, one at a time. For use by one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = b""

    def run(self, messages: list[dict[str, Any]], codes: dict[str, str], seconds: float) -> list[dict[str, Any]]:
        """Return the answers of the messages that were begun within ``seconds`` of CPU time, in their order.

        A message that ends the process has ``failure``; the others run in a new process. Raises WorkerLost.
        """
        answers: list[dict[str, Any]] = []
        while len(answers) < len(messages) and (seconds > 0 or not answers):
            process = self._started()
            batch = {"messages": messages[len(answers) :], "codes": codes, "seconds": max(seconds, 0.001)}
            try:
                cast("IO[bytes]", process.stdin).write(json.dumps(batch).encode() + b"\n")
                cast("IO[bytes]", process.stdin).flush()
                while len(answers) < len(messages):
                    answer = self._answer(process)
                    if answer is None:
                        return answers
                    answers.append(answer)
            except (BrokenPipeError, EOFError):
                code = self._ended(process)
                if code in _NOT_BY_ITSELF:
                    raise WorkerLost(f"the process that runs drivers ended ({code})") from None
                answers.append({"failure": {"message": KILLED, "line": None, "column": None}})
                seconds -= _COST_OF_A_KILL
        return answers

    def start(self) -> None:
        """Start the process, so that the first batch finds it ready."""
        self._started()

    @property
    def pid(self) -> int | None:
        """The process id; None if no process runs."""
        return None if self._process is None else self._process.pid

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Return the exit code of a process whose pipe is closed."""
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise WorkerLost("the process that runs drivers does not end") from None
        finally:
            self.stop()

    def stop(self) -> None:
        """End the process."""
        process, self._process, self._answers = self._process, None, b""
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                cast("IO[bytes]", pipe).close()
            except BrokenPipeError:
                continue  # The process died with unread input.

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-P", "-m", "chalicelib.adapters.codec.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Lambda's environment has the credentials of the function's role; the process gets nothing of it.
                env={"PYTHONPATH": os.pathsep.join([str(_ROOT), str(Path(_quickjs.__file__).parent)])},
                cwd="/",
                bufsize=0,
            )
        return self._process

    def _answer(self, process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        """Return the next answer; None if the batch's time is over. Raises WorkerLost, and EOFError if it ended."""
        output = cast("IO[bytes]", process.stdout)
        until = time.monotonic() + PATIENCE
        while b"\n" not in self._answers:
            readable, _, _ = select.select([output], [], [], max(0.0, until - time.monotonic()))
            if not readable:
                self.stop()
                raise WorkerLost(f"the process that runs drivers did not answer within {PATIENCE:.0f} s")
            chunk = output.read(1 << 16)
            if not chunk:
                raise EOFError
            self._answers += chunk
        line, _, self._answers = self._answers.partition(b"\n")
        answer: dict[str, Any] | None = json.loads(line)
        return answer
