"""I/O loop of the AMQP connections and the coroutines that run on it. The caller's thread drives the loop.

Coroutines await ``Reply`` objects, so opening a channel or declaring a queue reads top to bottom. This works for a
publisher, which waits for one broker, and for the consumer, whose loop serves many brokers.
"""

import logging
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from pika.adapters.select_connection import IOLoop

T = TypeVar("T")

# pika logs every lost connection with a stack trace. The BrokerFault reports the same error in one line. Nor must a
# broker fill the log: pika has a critical line for each frame on an unknown channel.
logging.getLogger("pika").setLevel(logging.CRITICAL + 1)


class Reply(Generic[T]):
    """A future for one awaiting coroutine. The first value or error counts; later ones are ignored."""

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
        """Call ``callback`` when the reply is done. A later callback replaces an earlier one."""
        self._callback = callback
        if self.done:
            callback()

    def forget(self) -> None:
        """Remove the callback."""
        self._callback = None

    @property
    def error(self) -> BaseException | None:
        return self._error

    def result(self) -> T:
        """Return the value or raise the error of a reply that is done."""
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
    """A running coroutine. Its return value or its exception completes the reply."""

    def __init__(self, coroutine: Coroutine[Reply[Any], None, T]) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._waits_for: Reply[Any] | None = None
        self._step(None)

    def interrupt(self, error: BaseException) -> None:
        """Raise ``error`` in the coroutine at its current await. No effect on a task that is done."""
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
        except Exception as raised:  # noqa: BLE001  # raised where the task is awaited
            self.fail(raised)
        else:
            self._waits_for = waits_for
            waits_for.then(lambda: self._step(None))


class Loop(IOLoop):
    """pika's I/O loop with a deadline on every wait."""

    def __init__(self) -> None:
        super().__init__()
        self.activate_poller()
        self._before_poll: list[Callable[[], None]] = []

    def before_poll(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, right before the loop waits for I/O the next time."""
        self._before_poll.append(callback)

    def poll(self) -> None:
        callbacks, self._before_poll = self._before_poll, []
        for callback in callbacks:
            callback()
        super().poll()

    def turn(self) -> None:
        """Serve the I/O that is ready, without waiting for any."""
        self.call_later(0, _wake)
        self.poll()
        self.process_timeouts()

    def run_until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Serve I/O until ``done`` holds. False when the deadline (time.monotonic()) passes first."""
        timer = self.call_later(max(0.0, deadline - time.monotonic()), _wake)
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
        """Run a coroutine to its end. Raises TimeoutError inside it when the deadline passes first."""
        task = Task(coroutine)
        if not self.run_until(lambda: task.done, deadline):
            task.interrupt(TimeoutError())
            # The coroutine must not wait again while it cleans up: the loop stops here.
            task.fail(TimeoutError())
        return task.result()

    def start_task(self, coroutine: Coroutine[Reply[Any], None, T], seconds: float) -> Task[T]:
        """Start a coroutine that is interrupted with a TimeoutError after ``seconds``."""
        task = Task(coroutine)
        if not task.done:
            self.call_later(max(0.0, seconds), lambda: task.interrupt(TimeoutError()))
        return task

    def in_thread(self, function: Callable[[], T]) -> Reply[T]:
        """Call a blocking function in a daemon thread. A caller that stops waiting abandons the thread."""
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


def _wake() -> None:
    """Do nothing: the timer itself ends the poll."""
