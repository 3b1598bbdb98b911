"""What the processes of a chaos run write down, one JSON document a line, and the checker reads."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Post:
    """A report of one device. ``began``: Unix seconds of the first attempt; ``ended``: of the 200, None without one."""

    device: str
    counter: int
    digest: str
    began: float
    ended: float | None
    attempts: int = 1


@dataclass(frozen=True)
class Arrival:
    """A message that a collector took from a connection's queue. ``redelivered`` is the broker's word."""

    connection: int
    device: str
    counter: int
    digest: str
    message_id: str
    at: float
    redelivered: bool = False


@dataclass(frozen=True)
class Disturbance:
    """A fault that was made. ``connections``: those that it can have touched; ``limits``: how many messages of each of
    them can have been unconfirmed, or confirmed and not yet deleted."""

    kind: str
    target: str
    connections: tuple[int, ...]
    began: float
    ended: float
    limits: tuple[int, ...]
    note: str = ""

    def limit(self, connection: int) -> int:
        """Of one of its connections."""
        return self.limits[self.connections.index(connection)]


@dataclass(frozen=True)
class Pause:
    """A deactivation. What was posted within ``off``…``on_asked`` must not be taken, what was posted before
    ``off_asked`` or after ``on`` must; between them both are right."""

    connection: int
    off_asked: float
    off: float
    on_asked: float
    on: float


@dataclass(frozen=True)
class SentDownlink:
    """A downlink that the broker confirmed. ``payload`` is unlike every other's."""

    connection: int
    payload: str
    device: str
    attempts: int
    at: float


@dataclass(frozen=True)
class Backlog:
    """Messages in the connections' SQS queues, by connection, in flight included."""

    at: float
    waiting: tuple[int, ...]
    in_flight: tuple[int, ...]


class Journal:
    """Appends lines to a file, each at once, from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8", buffering=1)
        """Line by line: a process that is killed has written what it said."""

    def write(self, record: Any) -> None:
        line = json.dumps(vars(record), ensure_ascii=False) + "\n"
        with self._lock:
            self._file.write(line)


def read(path: Path, kind: type[T]) -> list[T]:
    """All records of a journal; none where it was never written."""
    return list(_lines(path, kind))


def _lines(path: Path, kind: type[T]) -> Iterator[T]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return  # still being written
            document = json.loads(line)
            yield kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in document.items()})
