"""The process that runs drivers: ``python -m chalicelib.adapters.codec.worker``. It starts with an empty environment.

It reads batches and writes results, one line of JSON each. One batch has the messages of one connection, with
``messages``, ``codes`` by hash and ``seconds``, the CPU time after which it stops. It answers a line for each message,
in their order, and ``null`` in place of the first one that it did not begin.
"""

import json
import signal
import sys
import time
from typing import Any

from chalicelib.adapters.codec.confinement import confine
from chalicelib.adapters.codec.engine import CompileError, Sandbox

_KILL_AFTER = 0.5
"""CPU seconds after which the kernel ends this process in a message: in a built-in function, the engine cannot stop."""
_COMPILE_AFTER = 3.0
_MAX_ANSWERS = 2 << 20
"""Bytes of answers after which a batch ends, because a response of Lambda has at most 6 MB."""


def main() -> None:
    """Handle batches until the input ends."""
    if not confine():
        sys.stderr.write("Drivers run without a filter of system calls.\n")
    for line in sys.stdin:
        _handle(json.loads(line))


def _handle(batch: dict[str, Any]) -> None:
    # One context for each driver and batch, so that connections never share one.
    sandboxes: dict[str, Sandbox | CompileError] = {}
    began, written = time.process_time(), 0
    for message in batch["messages"]:
        if time.process_time() - began >= batch["seconds"] or written >= _MAX_ANSWERS:
            _answer(None)
            break
        written += _answer(_run(sandboxes, message, batch["codes"][message["driver"]]))
        # At once, so that the parent knows which message ends this process.
        sys.stdout.flush()
    sys.stdout.flush()


def _run(sandboxes: dict[str, Sandbox | CompileError], message: dict[str, Any], code: str) -> dict[str, Any]:
    name = message["driver"]
    sandbox = sandboxes.get(name)
    if sandbox is None or (isinstance(sandbox, Sandbox) and sandbox.spent):
        # The old context is freed first, so that there is one at a time.
        sandboxes.pop(name, None)
        sandbox = None
        signal.setitimer(signal.ITIMER_PROF, _COMPILE_AFTER)
        try:
            sandbox = Sandbox(code)
        except CompileError as error:
            sandbox = error
        sandboxes[name] = sandbox
    if isinstance(sandbox, CompileError):
        answer = {"failure": {"message": sandbox.message, "line": sandbox.line, "column": sandbox.column}}
    elif message["operation"] == "compile":
        answer = {}
    else:
        signal.setitimer(signal.ITIMER_PROF, _KILL_AFTER)
        answer = sandbox.run(message)
    signal.setitimer(signal.ITIMER_PROF, 0)
    return answer


def _answer(value: dict[str, Any] | None) -> int:
    """Write an answer; return its size, as it will be within a response."""
    return sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
