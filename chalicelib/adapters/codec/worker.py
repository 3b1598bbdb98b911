"""The process that runs drivers: ``python -m chalicelib.adapters.codec.worker``. It starts with an empty environment.

It reads batches and writes results, one line of JSON each. One batch has the messages of one connection, with
``messages``, ``codes`` by hash and ``seconds``, the CPU time after which it stops. It answers a line for each message,
in their order, and ``null`` in place of the first one that it did not begin.

Each batch is handled by a child that sees no other batch: a driver that took over the engine would find no data of
another tenant, and could not wait for any. The child inherits the engine and a new context, which takes less time than
making them. This process itself reads nothing. It ends as a child that did not end by itself.
"""

import gc
import json
import os
import signal
import sys
import time
from typing import Any, NoReturn

from chalicelib.adapters.codec.confinement import confine, end_with_parent
from chalicelib.adapters.codec.engine import CompileError, Sandbox, Surroundings

_KILL_AFTER = 0.5
"""CPU seconds after which the kernel ends the child in a message: in a built-in function, the engine cannot stop."""
_COMPILE_AFTER = 3.0
_MAX_ANSWERS = 2 << 20
"""Bytes of answers after which a batch ends, because a response of Lambda has at most 6 MB."""
_NO_INPUT = 3
"""The exit code of a child that got no batch, because the input has ended."""


def main() -> None:
    """Handle batches until the input ends."""
    surroundings = Surroundings()
    # The children share the memory with this process as long as no collection writes to it.
    gc.collect()
    gc.freeze()
    parent = os.getpid()
    while True:
        # The child is there before its batch is.
        child = os.fork()
        if child == 0:
            _handle_one(parent, surroundings)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code < 0:
            os.kill(parent, -code)
        if code != 0:
            sys.exit(0 if code == _NO_INPUT else code)


def _handle_one(parent: int, surroundings: Surroundings) -> NoReturn:
    code = 1
    try:
        end_with_parent(parent)
        if not confine():
            sys.stderr.write("Drivers run without a filter of system calls.\n")
        line = sys.stdin.readline()
        if line:
            _handle(json.loads(line), surroundings)
        code = 0 if line else _NO_INPUT
    finally:
        # Not as the interpreter ends otherwise: what this process inherited is not its own.
        os._exit(code)


def _handle(batch: dict[str, Any], surroundings: Surroundings) -> None:
    # One context for each driver. The first driver takes the inherited one.
    contexts = [surroundings]
    sandboxes: dict[str, Sandbox | CompileError] = {}
    began, written = time.process_time(), 0
    for message in batch["messages"]:
        if time.process_time() - began >= batch["seconds"] or written >= _MAX_ANSWERS:
            _answer(None)
            break
        written += _answer(_run(sandboxes, contexts, message, batch["codes"][message["driver"]]))
        # At once, so that the parent knows which message ends this process.
        sys.stdout.flush()
    sys.stdout.flush()


def _run(
    sandboxes: dict[str, Sandbox | CompileError], contexts: list[Surroundings], message: dict[str, Any], code: str
) -> dict[str, Any]:
    name = message["driver"]
    sandbox = sandboxes.get(name)
    if sandbox is None or (isinstance(sandbox, Sandbox) and sandbox.spent):
        # The old context is freed first, so that there is one at a time.
        sandboxes.pop(name, None)
        sandbox = None
        signal.setitimer(signal.ITIMER_PROF, _COMPILE_AFTER)
        try:
            sandbox = Sandbox(code, contexts.pop() if contexts else None)
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
