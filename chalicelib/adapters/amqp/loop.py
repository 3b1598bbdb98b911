"""The I/O loop under every AMQP connection, driven in the caller's own thread, and coroutines on it.

A coroutine awaits ``Reply`` objects, so that opening a channel or declaring a queue reads top to bottom, both where one
caller waits for one broker (publisher) and where one loop serves many (consumer).
"""

import logging
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from pika.adapters.select_connection import IOLoop

T = TypeVar("T")

# pika logs every lost connection with a stack trace; what matters is told by the BrokerFault.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class Reply(Generic[T]):
    """A value or an error that comes later, once; what comes after that is ignored. One coroutine awaits it."""

    def __init__(self) -> None:
        self.done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callback: Callable[[], None] | None = None

    def set(self, value: T) -> None:
        self._finish(value, None)

    def fail(self, error: BaseException) -> None:
        self._finish(None, error)

    def then(self, callback: Callable[[], None]) -> None:
        """Calls back once it is done; a later callback replaces an earlier one."""
        self._callback = callback
        if self.done:
            callback()

    def forget(self) -> None:
        self._callback = None

    @property
    def error(self) -> BaseException | None:
        return self._error

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # done, and None only where T has None

    def __await__(self) -> Generator["Reply[Any]", None, T]:
        if not self.done:
            yield self
        return self.result()

    def _finish(self, value: T | None, error: BaseException | None) -> None:
        if self.done:
            return
        self.done, self._value, self._error = True, value, error
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Task(Reply[T]):
    """A coroutine under way; done with what it returns or raises."""

    def __init__(self, coroutine: Coroutine[Reply[Any], None, T]) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._waits_for: Reply[Any] | None = None
        self._step(None)

    def interrupt(self, error: BaseException) -> None:
        """Raises ``error`` inside the coroutine where it waits. No effect on one that is done."""
        if self.done:
            return
        if self._waits_for is not None:
            self._waits_for.forget()
        self._step(error)

    def _step(self, error: BaseException | None) -> None:
        try:
            waits_for = self._coroutine.throw(error) if error is not None else self._coroutine.send(None)
        except StopIteration as stop:
            self.set(stop.value)
        except Exception as raised:  # noqa: BLE001  # given to whoever awaits the task
            self.fail(raised)
        else:
            self._waits_for = waits_for
            waits_for.then(lambda: self._step(None))


class Loop(IOLoop):
    """pika's I/O loop, with a deadline on every wait."""

    def __init__(self) -> None:
        super().__init__()
        self.activate_poller()

    def run_until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Serves I/O until ``done`` holds; False when the deadline (time.monotonic()) came first."""
        timer = self.call_later(max(0.0, deadline - time.monotonic()), _nothing)
        try:
            while not done():
                if time.monotonic() >= deadline:
                    return False
                self.poll()
                self.process_timeouts()
            return True
        finally:
            self.remove_timeout(timer)

    def run(self, coroutine: Coroutine[Reply[Any], None, T], deadline: float) -> T:
        """Runs a coroutine to its end. Raises TimeoutError inside it when the deadline comes first."""
        task = Task(coroutine)
        if not self.run_until(lambda: task.done, deadline):
            task.interrupt(TimeoutError())
            # What a coroutine does to tidy up after that must not wait any more.
            task.fail(TimeoutError())
        return task.result()

    def start_task(self, coroutine: Coroutine[Reply[Any], None, T], seconds: float) -> Task[T]:
        """Starts a coroutine that ends with a TimeoutError after so many seconds."""
        task = Task(coroutine)
        if not task.done:
            self.call_later(max(0.0, seconds), lambda: task.interrupt(TimeoutError()))
        return task

    def in_thread(self, function: Callable[[], T]) -> Reply[T]:
        """Calls a function that blocks in a thread of its own; who does not wait any longer leaves it behind."""
        reply: Reply[T] = Reply()

        def call() -> None:
            try:
                value = function()
            except Exception as error:  # noqa: BLE001  # raised where the reply is awaited
                failure = error
                self.add_callback_threadsafe(lambda: reply.fail(failure))
            else:
                self.add_callback_threadsafe(lambda: reply.set(value))

        threading.Thread(target=call, daemon=True).start()
        return reply


def _nothing() -> None:
    """Only wakes the loop."""
