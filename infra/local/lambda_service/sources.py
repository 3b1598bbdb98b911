"""Event sources of a function: a queue (Lambda's event source mapping) or a schedule (EventBridge)."""

import heapq
import queue
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.lambda_service.environment import Environment, Function, Outcome

_LONG_POLL = 2
"""Seconds. Short, because a stop waits for it."""
_PAUSE_AFTER_ERROR = 1.0
_BUSY_BEFORE_GROWTH = 2.0
_LOOK_AROUND = 0.5
_LARGEST_RECEIVE = 10
_ATTEMPTS = 3
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}


@dataclass(frozen=True)
class QueueSource:
    """An event source mapping. ``window`` is in seconds; ``least`` and ``most`` limit concurrent invocations."""

    url: str
    arn: str
    region: str
    batch_size: int
    window: float
    least: int
    most: int


class Source(Protocol):
    """Runs a function's events in background threads."""

    def start(self) -> None: ...

    def stop(self, patience: float) -> None:
        """Starts no more invocations, waits up to ``patience`` seconds for running ones, then ends the processes."""

    def pids(self) -> list[int]: ...


@dataclass
class _Worker:
    """An environment with the batches that it was given; at most one, because a busy worker is not free."""

    environment: Environment
    inbox: "queue.SimpleQueue[list[Any] | None]" = field(default_factory=queue.SimpleQueue)


class QueueMapping:
    """Polls a queue and invokes the function with its messages. Adds environments under load.

    A batch goes to the free environment that was used last. So a small load keeps few environments and their
    connections warm, as on AWS, instead of all in turn.
    """

    def __init__(self, function: Function, source: QueueSource, sqs: Any, changed: Callable[[], None]) -> None:
        self._function = function
        self._source = source
        self._sqs = sqs
        self._changed = changed
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._free: list[_Worker] = []
        self._places = threading.Semaphore(0)
        """One for each free worker: a batch is received only when one can take it."""
        self._threads: list[threading.Thread] = []
        self._active = 0
        self._all_busy_since: float | None = None

    def start(self) -> None:
        for _ in range(self._source.least):
            self._add()
        self._run(self._poll)
        if self._source.most > self._source.least:
            self._run(self._grow)

    def stop(self, patience: float) -> None:
        self._stopping.set()
        deadline = time.monotonic() + patience
        for worker in list(self._workers):
            worker.inbox.put(None)
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        for worker in list(self._workers):
            worker.environment.stop(patience)

    def pids(self) -> list[int]:
        with self._lock:
            return [pid for worker in self._workers if (pid := worker.environment.pid) is not None]

    def _run(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, name=f"queue of {self._function.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _add(self) -> None:
        worker = _Worker(Environment(self._function, self._changed))
        with self._lock:
            self._workers.append(worker)
        worker.environment.start()
        self._run(self._work, worker)

    def _grow(self) -> None:
        while not self._stopping.wait(_LOOK_AROUND) and len(self._workers) < self._source.most:
            with self._lock:
                since = self._all_busy_since
                grows = since is not None and time.monotonic() - since > _BUSY_BEFORE_GROWTH
                if grows:
                    self._all_busy_since = None
            if grows:
                self._add()

    def _poll(self) -> None:
        """Give each batch to a worker. One poller, so that the messages of a burst come in few batches."""
        while not self._stopping.is_set():
            if not self._places.acquire(timeout=_LOOK_AROUND):
                continue
            try:
                messages = self._gather()
            except (ClientError, BotoCoreError) as error:
                print(f"{self._function.name}: the queue cannot be read: {error}", flush=True)
                messages = []
                self._stopping.wait(_PAUSE_AFTER_ERROR)
            if not messages:
                self._places.release()
                continue
            with self._lock:
                worker = self._free.pop()
            self._count(1)
            worker.inbox.put(messages)

    def _work(self, worker: _Worker) -> None:
        handled: list[Any] = []
        while worker.environment.wait_ready() is not None:
            # Free as soon as the function has returned: deleting its messages is the service's work.
            with self._lock:
                self._free.append(worker)
            self._places.release()
            self._delete(handled)
            messages = worker.inbox.get()
            if messages is None:
                return
            handled = self._handle(worker.environment, messages)
            self._count(-1)
        self._delete(handled)

    def _count(self, change: int) -> None:
        with self._lock:
            self._active += change
            if self._active < len(self._workers):
                self._all_busy_since = None
            elif self._all_busy_since is None:
                self._all_busy_since = time.monotonic()

    def _gather(self) -> list[Any]:
        """A batch: the messages of the first long poll and, with a window, those that arrive until it ends."""
        messages = self._receive(self._source.batch_size, _LONG_POLL)
        closes = time.monotonic() + self._source.window
        while messages and len(messages) < self._source.batch_size and (left := closes - time.monotonic()) > 0:
            messages += self._receive(self._source.batch_size - len(messages), min(_LONG_POLL, int(left)))
        return messages

    def _receive(self, count: int, wait: int) -> list[Any]:
        if self._stopping.is_set():
            return []
        answer = self._sqs.receive_message(
            QueueUrl=self._source.url,
            MaxNumberOfMessages=min(count, _LARGEST_RECEIVE),
            WaitTimeSeconds=wait,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages", []))

    def _handle(self, environment: Environment, messages: list[Any]) -> list[Any]:
        """Return the messages to delete: all of them, or none."""
        outcome = environment.invoke({"Records": [sqs_record(m, self._source) for m in messages]})
        if outcome is Outcome.SUCCEEDED:
            return messages
        # As on AWS, the messages come back after their visibility timeout.
        cause = " because the runner is stopping" if self._stopping.is_set() else ""
        print(f"{self._function.name}: an invocation with {len(messages)} messages {outcome}{cause}", flush=True)
        return []

    def _delete(self, messages: list[Any]) -> None:
        for start in range(0, len(messages), _LARGEST_RECEIVE):
            self._delete_batch(messages[start : start + _LARGEST_RECEIVE])

    def _delete_batch(self, messages: list[Any]) -> None:
        entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
        try:
            failed = self._sqs.delete_message_batch(QueueUrl=self._source.url, Entries=entries).get("Failed", [])
        except (ClientError, BotoCoreError) as error:
            failed = [error]
        if failed:
            print(f"{self._function.name}: handled messages could not be deleted: {failed}", flush=True)


class Schedule:
    """Invokes a function at once and then each ``period`` seconds. Retries an error twice, as Lambda does."""

    def __init__(self, function: Function, period: float, minute: float, changed: Callable[[], None]) -> None:
        self._function = function
        self._period = period
        self._minute = minute
        self._changed = changed
        self._stopping = threading.Event()
        self._environment: Environment | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._environment = Environment(self._function, self._changed)
        self._environment.start()
        self._thread = threading.Thread(
            target=self._run, args=(self._environment,), name=f"schedule of {self._function.name}", daemon=True
        )
        self._thread.start()

    def stop(self, patience: float) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(patience)
        if self._environment is not None:
            self._environment.stop(patience)

    def pids(self) -> list[int]:
        pid = self._environment.pid if self._environment else None
        return [pid] if pid is not None else []

    def _run(self, environment: Environment) -> None:
        environment.wait_ready()
        due: list[tuple[float, int, dict[str, Any]]] = []
        tick = time.monotonic()
        heapq.heappush(due, (tick, 1, scheduled_event(self._function.name)))
        while not self._stopping.wait(max(0.0, due[0][0] - time.monotonic())):
            _, attempt, event = heapq.heappop(due)
            if attempt == 1:
                # Schedule times that passed during a slow invocation are skipped.
                tick = max(tick + self._period, time.monotonic())
                heapq.heappush(due, (tick, 1, scheduled_event(self._function.name)))
            outcome = environment.invoke(event)
            if outcome is not Outcome.SUCCEEDED and not self._stopping.is_set():
                print(f"{self._function.name}: scheduled attempt {attempt} of {_ATTEMPTS} {outcome}", flush=True)
                if attempt < _ATTEMPTS:
                    heapq.heappush(due, (time.monotonic() + attempt * self._minute, attempt + 1, event))


def minutes_of(expression: str) -> int:
    """The minutes of an expression such as ``rate(1 minute)``. Raises ValueError for other expressions."""
    match = _RATE.fullmatch(expression)
    if match is None:
        raise ValueError(f"The schedule {expression!r} is not supported here. Use rate(...).")
    return int(match[1]) * _MINUTES[match[2]]


def scheduled_event(name: str) -> dict[str, Any]:
    """An event as EventBridge sends it."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "local",
        "resources": [f"arn:aws:events:local:123456789012:rule/{name}"],
        "detail": {},
    }


def sqs_record(message: dict[str, Any], source: QueueSource) -> dict[str, Any]:
    """A received message as a record of a Lambda event."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: {
                "stringValue": value.get("StringValue"),
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value["DataType"],
            }
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": source.arn,
        "awsRegion": source.region,
    }
