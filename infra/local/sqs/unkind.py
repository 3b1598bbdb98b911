"""SQS as it may behave on AWS: short, late, empty, failing and lost answers.

``SQS_UNKIND=1`` makes the local stack use it. SQS documents each of these: a receive may return fewer messages than
asked for or none although the queue has some, calls fail or are throttled, an answer may be lost after the action was
done, a visibility timeout may end late, and a new queue is not known everywhere at once. Each lost answer and each
falsely empty receive is printed with its Unix time, so that a measurement can name the cause of a delay.
"""

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from infra.local.sqs.api import Document, Sqs
from infra.local.sqs.queue import ApiError, Queue

SHORTEST_CALL, LONGEST_CALL = 0.005, 0.030
"""Seconds that a call takes."""
EMPTY = 1 / 10
"""Share of receives that return nothing although messages are visible."""
FAILED = 1 / 200
"""Share of calls that fail before the action."""
LOST = 1 / 500
"""Share of calls whose action is done and whose answer is an error."""
LATE = 1.0
"""Seconds by which a visibility timeout ends late."""
UNKNOWN = 1.0
"""Seconds after its creation in which a queue is not found."""
_REMEMBERED = 10_000
"""Attempt ids of receives, the newest ones."""


class UnkindSqs(Sqs):
    """An Sqs whose answers are unkind, decided by a seeded random number generator."""

    def __init__(self, seed: int = 1, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__()
        self._sleep = sleep
        self._random = random.Random(seed)  # noqa: S311  # faults, no secrets
        self._created: dict[tuple[str, str], float] = {}
        self._attempts: OrderedDict[str, None] = OrderedDict()
        self._asked = threading.local()
        """``what``: the action and the queue of the request that the thread answered last."""

    def __call__(self, environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self._sleep(self._random.uniform(SHORTEST_CALL, LONGEST_CALL))
        if self._random.random() < FAILED:
            return _error(start_response, throttled=self._random.random() < 1 / 2)
        if self._random.random() < LOST:
            list(super().__call__(environment, _ignore))
            _print(f"lost answer: {self._asked.what}")
            return _error(start_response, throttled=False)
        return super().__call__(environment, start_response)

    def _answer(self, environment: WSGIEnvironment, request: Document) -> Document:
        queue = str(request.get("QueueUrl", request.get("QueueName", "")))
        self._asked.what = f"{environment['HTTP_X_AMZ_TARGET']} {queue.rsplit('/', 1)[-1]}"
        return super()._answer(environment, request)

    def _queue(self, region: str, name: str) -> Queue:
        queue = super()._queue(region, name)
        if time.monotonic() < self._created.get((region, name), 0.0) + UNKNOWN:
            raise ApiError("QueueDoesNotExist", "The specified queue does not exist.")
        return queue

    def _create_queue(self, request: Document, region: str, host: str) -> Document:
        key = (region, request["QueueName"])
        is_new = key not in self._queues
        answer = super()._create_queue(request, region, host)
        if is_new:
            self._created[key] = time.monotonic()
        return answer

    def _delete_queue(self, request: Document, region: str, host: str) -> Document:
        answer = super()._delete_queue(request, region, host)
        self._created.pop((region, str(request["QueueUrl"]).rsplit("/", 1)[-1]), None)
        return answer

    def _receive(self, queue: Queue, request: Document) -> Document:
        if self._is_repeated(str(request.get("ReceiveRequestAttemptId", ""))):
            return super()._receive(queue, request)
        if self._random.random() < EMPTY:
            _print(f"empty receive: {self._asked.what}")
            return {}
        count = int(request.get("MaxNumberOfMessages") or 1)
        visibility = float(request["VisibilityTimeout"]) if "VisibilityTimeout" in request else queue.visibility
        short = {"MaxNumberOfMessages": self._random.randint(1, count), "VisibilityTimeout": visibility + LATE}
        return super()._receive(queue, request | short)

    def _is_repeated(self, attempt: str) -> bool:
        """Return whether a receive with this id came before. SQS answers it with the same messages, and with all."""
        if not attempt:
            return False
        if attempt in self._attempts:
            return True
        self._attempts[attempt] = None
        while len(self._attempts) > _REMEMBERED:
            self._attempts.popitem(last=False)
        return False


def _print(fault: str) -> None:
    print(f"{time.time():.3f} {fault}", flush=True)


def _error(start_response: StartResponse, *, throttled: bool) -> Iterable[bytes]:
    shape, status = ("RequestThrottled", "400 Bad Request") if throttled else ("InternalError", "500 Server Error")
    content = b'{"__type": "com.amazonaws.sqs#%s", "message": "Unkind"}' % shape.encode()
    headers = [("Content-Type", "application/x-amz-json-1.0"), ("Content-Length", str(len(content)))]
    if throttled:
        headers.append(("x-amzn-query-error", "RequestThrottled;Sender"))
    start_response(status, headers)
    return [content]


def _ignore(*_answer: Any) -> Any:
    """A start_response whose answer is dropped."""
