"""Functions that are stopped before every call of a port, and go on when a test says so: threads of which one runs
at a time, so that every interleaving can be played again and shrunk."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from enum import StrEnum
from typing import Any, TypeVar

from chalicelib.errors import Unavailable

T = TypeVar("T")


class Fate(StrEnum):
    """What becomes of one call of a port."""

    WORKS = "works"
    FAILS = "fails"
    """Unavailable, without an effect."""
    ANSWER_LOST = "answer lost"
    """Unavailable, after the effect."""
    CRASHES = "crashes"
    """The function is killed before the call."""
    CRASHES_AFTER = "crashes after"
    """The function is killed when the call has taken effect."""
    SHORT = "short"
    """A receive gives less than there is, an approximate number is an old one; otherwise it works."""


FAULTS = tuple(fate for fate in Fate if fate is not Fate.WORKS)


history: list[str] = []
"""Every call of this example and its fate, to read when it fails."""


class Killed(BaseException):
    """The function ends here, as by SIGKILL: nothing catches it, and nobody is told."""


class Task:
    """One run of a function. ``call`` says at which port it stands."""

    def __init__(self, name: str, function: Callable[[], object]) -> None:
        self.name = name
        self.call = "start"
        self.error: BaseException | None = None
        self.ended = False
        self.killed = False
        """What a ``finally`` still calls does not happen."""
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
        except BaseException as error:  # noqa: BLE001  # who steps it looks at it
            self.error = error
        finally:
            self.ended = True
            self._stopped.release()

    def step(self, fate: Fate = Fate.WORKS) -> None:
        """Lets the call at which it stands happen in this way, and the function go on up to the next one."""
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
        """To its end. ``plan``: after so many calls that work, one with this fate, and so on."""
        for number, fate in plan:
            self.steps(number, fate)
        while not self.ended:
            self.step()

    def steps(self, number: int, fate: Fate) -> None:
        for _ in range(number):
            if not self.ended:
                self.step()
        if not self.ended:
            self.step(fate)

    def go_to(self, call: str) -> None:
        """Up to this call, or to its end."""
        while not self.ended and self.call != call:
            self.step()

    def kill(self) -> None:
        if not self.ended:
            self.step(Fate.CRASHES)

    def stop_at(self, call: str) -> Fate:
        """Called in the function's own thread: waits for the next step."""
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
    """The task that runs in this thread; None outside of one."""
    return _current.task


class Faulty:
    """A port before which a task stops at each call. ``silent``: calls that never raise, but do nothing instead, or
    tell of it in their answer: a function makes it of the call's arguments."""

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
    # A page of an index is read in one go.
    return list(answer) if hasattr(answer, "__next__") else answer


class Inline(Executor):
    """Runs what is submitted at once, in the thread of the task."""

    def submit(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:  # noqa: BLE001  # the future's to raise
            future.set_exception(error)
        return future
