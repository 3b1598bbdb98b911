"""Scheduler of functions that stop before every call of a port until the test lets them continue.

The functions are threads of which one runs at a time, so hypothesis can replay and shrink every interleaving.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from enum import StrEnum
from typing import Any, TypeVar

from chalicelib.errors import Unavailable

T = TypeVar("T")


class Fate(StrEnum):
    """The result of one call of a port."""

    WORKS = "works"
    FAILS = "fails"
    """Raises Unavailable without an effect."""
    ANSWER_LOST = "answer lost"
    """Raises Unavailable after the effect."""
    CRASHES = "crashes"
    """The function is killed before the call."""
    CRASHES_AFTER = "crashes after"
    """The function is killed after the call has taken effect."""
    SHORT = "short"
    """A receive returns fewer messages, and an approximate number is out of date. Other calls work."""


FAULTS = tuple(fate for fate in Fate if fate is not Fate.WORKS)


history: list[str] = []
"""Every call of this example and its fate. RULES_HISTORY writes it after a failure."""


class Killed(BaseException):
    """The function ends here, as after SIGKILL. No code under test catches it."""


class Task:
    """One run of a function in a thread. ``call``: the port call before which it waits."""

    def __init__(self, name: str, function: Callable[[], object]) -> None:
        self.name = name
        self.call = "start"
        self.error: BaseException | None = None
        self.ended = False
        self.killed = False
        """True after a kill: port calls of ``finally`` blocks have no effect."""
        self.faults: list[tuple[str, Fate]] = []
        self._function = function
        self._fate = Fate.WORKS
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        _current.task = self
        self._go.acquire()
        try:
            self.killed = self._fate in {Fate.CRASHES, Fate.CRASHES_AFTER}
            if self.killed:
                self.error = Killed()
            else:
                self._function()
        except BaseException as error:  # noqa: BLE001  # raised in step()
            self.error = error
        finally:
            self.ended = True
            self._stopped.release()

    def step(self, fate: Fate = Fate.WORKS) -> None:
        """Let the current call end with this fate and the function continue to its next call."""
        if self.call == "start" and not self._thread.is_alive():
            self._thread.start()
        self._fate = fate
        history.append(f"{self.name}: {self.call} {fate}")
        self._go.release()
        self._stopped.acquire()
        if self.ended:
            self._thread.join()
            if self.error is not None and not isinstance(self.error, Killed | Unavailable):
                raise self.error

    def run(self, plan: Sequence[tuple[int, Fate]] = ()) -> None:
        """Run to the end. ``plan``: (number of calls that work, fate of the call after them), repeated."""
        for number, fate in plan:
            self.steps(number, fate)
        while not self.ended:
            self.step()

    def steps(self, number: int, fate: Fate) -> None:
        """Let ``number`` calls work and the call after them end with this fate."""
        for _ in range(number):
            if not self.ended:
                self.step()
        if not self.ended:
            self.step(fate)

    def go_to(self, call: str) -> None:
        """Run up to this call, or to the end."""
        while not self.ended and self.call != call:
            self.step()

    def kill(self) -> None:
        if not self.ended:
            self.step(Fate.CRASHES)

    def stop_at(self, call: str) -> Fate:
        """Wait for the next step. The function's thread calls this before each port call."""
        if self.killed:
            raise Killed
        self.call = call
        self._stopped.release()
        self._go.acquire()
        self.killed = self._fate in {Fate.CRASHES, Fate.CRASHES_AFTER}
        if self._fate is not Fate.WORKS:
            self.faults.append((call, self._fate))
        return self._fate


class _Current(threading.local):
    task: Task | None = None


_current = _Current()


def current() -> Task | None:
    """Return the task of this thread, or None."""
    return _current.task


class Faulty:
    """A port whose calls stop the current task and then end with the fate of its step.

    ``silent``: methods that never raise; their function returns the answer of a failed call. ``short``: functions for
    the answer of a call with Fate.SHORT.
    """

    def __init__(
        self,
        name: str,
        inner: object,
        silent: dict[str, Callable[..., Any]] | None = None,
        short: dict[str, Callable[..., Any]] | None = None,
    ) -> None:
        self._name = name
        self._inner = inner
        self._silent = silent or {}
        self._short = short or {}

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._inner, name)
        if not callable(function):
            return function

        def call(*arguments: Any, **named: Any) -> Any:
            task = current()
            if task is None:
                return function(*arguments, **named)
            fate = task.stop_at(f"{self._name}.{name}")
            history[-1] += f" {arguments} {named}"
            if fate is Fate.CRASHES:
                raise Killed
            if fate is Fate.FAILS:
                return self._failed(name, arguments)
            if fate is Fate.SHORT and name in self._short:
                return self._short[name](*arguments, **named)
            answer = function(*arguments, **named)
            if fate is Fate.CRASHES_AFTER:
                raise Killed
            return self._failed(name, arguments) if fate is Fate.ANSWER_LOST else _complete(answer)

        return call

    def _failed(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name in self._silent:
            return self._silent[name](*arguments)
        raise Unavailable(f"{self._name}.{name} does not answer")


def _complete(answer: Any) -> Any:
    # The port reads a page of an index in one call, so a generator must run here.
    return list(answer) if hasattr(answer, "__next__") else answer


class Inline(Executor):
    """An executor that runs each function immediately in the thread of the task."""

    def submit(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:  # noqa: BLE001  # raised by the future
            future.set_exception(error)
        return future


class Late(Executor):
    """An executor whose calls run in the thread of the task when it has looked twice for their end, or waits for it.

    Until then, the task makes other calls: what runs beside it has not happened yet.
    """

    def submit(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> "Future[T]":
        return _LateCall(lambda: function(*arguments, **named))


class _LateCall(Future[T]):
    def __init__(self, function: Callable[[], T]) -> None:
        super().__init__()
        self._function: Callable[[], T] | None = function
        self._looks = 0

    def done(self) -> bool:
        self._looks += 1
        if self._looks > 1:
            self._run()
        return super().done()

    def result(self, timeout: float | None = None) -> T:
        self._run()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._run()
        return super().exception(timeout)

    def _run(self) -> None:
        function, self._function = self._function, None
        if function is None:
            return
        try:
            self.set_result(function())
        except Exception as error:  # noqa: BLE001  # raised by the future
            self.set_exception(error)
