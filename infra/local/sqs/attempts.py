"""``ReceiveRequestAttemptId``: a caller whose answer was lost repeats the call and gets the same messages.

Source: Amazon SQS API reference, ``ReceiveMessage``.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from infra.local.sqs.answers import Received
from infra.local.sqs.engine import Engine

ATTEMPT_SECONDS = 300.0
"""Seconds in which an attempt can be repeated."""
_REMEMBERED = 10_000
"""Attempts that a queue remembers. AWS states no limit; the bound keeps the memory of a long run small."""


class ReceiveAttempts:
    """The last receives of a FIFO queue with an attempt id, by that id."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._handles: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()

    def receive(self, attempt: str, count: int, *, visibility: float, wait: float) -> list[Received]:
        """Returns the attempt's messages while all of them are in flight, else receives others."""
        with self._lock:
            began, handles = self._handles.get(attempt, (0.0, []))
        if handles and self._clock() < began + ATTEMPT_SECONDS:
            again = self._engine.receive_again(handles, visibility)
            if again:
                return again
        received = self._engine.receive(count, visibility=visibility, wait=wait)
        if received:
            self._remember(attempt, [each.receipt_handle for each in received])
        return received

    def _remember(self, attempt: str, handles: list[str]) -> None:
        with self._lock:
            self._handles[attempt] = (self._clock(), handles)
            while len(self._handles) > _REMEMBERED:
                self._handles.popitem(last=False)
