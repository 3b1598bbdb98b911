"""The JavaScript engine with a driver in it: QuickJS without anything of the operating system."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _quickjs

MESSAGE_SECONDS = 0.1
"""CPU time of one message."""
COMPILE_SECONDS = 1.0
"""CPU time of compiling a driver, which runs nothing of it: 512 KB take a fraction of it."""
MEMORY = 32 << 20
"""Bytes that a context may use."""
_STACK = 512 << 10
_FOLDER = Path(__file__).parent
_SOURCE = "{}({})".format(
    *((_FOLDER / name).read_text(encoding="utf-8") for name in ("sandbox.js", "buffer.js")),
)

TIMED_OUT = f"The driver needs more than {MESSAGE_SECONDS * 1000:.0f} ms of CPU time for this message."
OUT_OF_MEMORY = f"The driver needs more than {MEMORY >> 20} MB of memory for this message."
ALTERED = "The driver changed JavaScript's built-in objects, so that its result cannot be read."
_NO_MEMORY = "InternalError: out of memory"
FAILED = "The driver made the JavaScript engine fail."


@dataclass(frozen=True)
class CompileError(Exception):
    """Code that is no JavaScript. ``line`` and ``column`` begin at 1; None if they are unknown."""

    message: str
    line: int | None
    column: int | None


class Surroundings:
    """A new context with all that a driver finds, but without a driver. It serves one sandbox."""

    def __init__(self) -> None:
        self.context = _quickjs.Context()
        self.call = self.context.eval(_SOURCE)


class Sandbox:
    """One context with one driver. ``surroundings``: an unused context, a new one by default. Raises CompileError."""

    def __init__(self, code: str, surroundings: Surroundings | None = None) -> None:
        surroundings = surroundings or Surroundings()
        context, self._call = surroundings.context, surroundings.call
        context.set_memory_limit(MEMORY)
        context.set_max_stack_size(_STACK)
        context.set_time_limit(COMPILE_SECONDS)
        try:
            error = self._call("load", code)
        except _quickjs.JSException as failure:
            raise CompileError(_fault(failure), None, None) from None
        if error:
            raise CompileError(**json.loads(error))
        context.set_time_limit(MESSAGE_SECONDS)
        self.spent = False
        """Whether the driver may have left traces, so that the next message needs another context."""

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Call a function of the driver. Return its answer, or ``failure`` with a ``message``.

        ``job``: ``signature``, ``operation`` and ``input``; ``whole`` and ``console`` ask for more of the answer.
        """
        began = time.perf_counter()
        try:
            answer = json.loads(self._call("run", json.dumps(job)))
        except (_quickjs.JSException, MemoryError) as failure:
            # The engine ends such a call wherever it is, so nothing is known about the context's state.
            answer = {"failure": {"message": _fault(failure), "line": None, "column": None}, "spent": True}
        if not isinstance(answer, dict) or "spent" not in answer:
            answer = {"failure": {"message": ALTERED, "line": None, "column": None}, "spent": True}
        self.spent = bool(answer.pop("spent"))
        if (failed := answer.get("failure")) and failed["message"] == _NO_MEMORY:
            failed["message"] = OUT_OF_MEMORY
            self.spent = True
        answer["milliseconds"] = round((time.perf_counter() - began) * 1000, 3)
        return answer


def _fault(failure: Exception) -> str:
    text = str(failure)
    if "interrupted" in text:
        return TIMED_OUT
    if "out of memory" in text or isinstance(failure, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(failure, _quickjs.StackOverflow):
        return "RangeError: Maximum call stack size exceeded"
    return FAILED
