"""Records that the processes of a chaos run write and the checker reads, one JSON document per line."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Post:
    """A posted report. ``began`` has the Unix seconds of the first attempt, ``ended`` those of the 200 or None.

    ``report``: its text, in runs with flows.
    """

    device: str
    counter: int
    digest: str
    began: float
    ended: float | None
    attempts: int = 1
    report: str = ""


@dataclass(frozen=True)
class Arrival:
    """A message that a collector received. ``redelivered`` is the broker's flag.

    ``added``: the member that decoding added to the report. ``rest``: the digest without it.
    """

    connection: int
    device: str
    counter: int
    digest: str
    message_id: str
    at: float
    redelivered: bool = False
    added: dict[str, Any] = field(default_factory=dict)
    rest: str = ""


@dataclass(frozen=True)
class Disturbance:
    """An injected chaos fault.

    ``connections`` lists the connections that it may have affected. ``limits`` has the maximum of messages of each that
    were unconfirmed, or confirmed and not yet deleted.
    """

    kind: str
    target: str
    connections: tuple[int, ...]
    began: float
    ended: float
    limits: tuple[int, ...]
    note: str = ""

    def limit(self, connection: int) -> int:
        """The limit of one connection."""
        return self.limits[self.connections.index(connection)]


@dataclass(frozen=True)
class Pause:
    """A deactivation in Unix seconds.

    The connection must not get reports posted between ``off`` and ``on_asked``, and must get those posted before
    ``off_asked`` or after ``on``. For reports in between, both are correct.
    """

    connection: int
    off_asked: float
    off: float
    on_asked: float
    on: float


@dataclass(frozen=True)
class SentDownlink:
    """A downlink that the broker confirmed. ``payload`` is unique."""

    connection: int
    payload: str
    device: str
    attempts: int
    at: float


@dataclass(frozen=True)
class Backlog:
    """Messages in the SQS queues by connection. ``waiting`` includes those in flight."""

    at: float
    waiting: tuple[int, ...]
    in_flight: tuple[int, ...]


class Journal:
    """Appends records to a file. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8", buffering=1)
        """Line-buffered, so that a killed process loses no record."""

    def write(self, record: Any) -> None:
        line = json.dumps(vars(record), ensure_ascii=False) + "\n"
        with self._lock:
            self._file.write(line)


def read(path: Path, kind: type[T]) -> list[T]:
    """All records of a journal, empty when the file is missing."""
    return list(_lines(path, kind))


def _lines(path: Path, kind: type[T]) -> Iterator[T]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return  # incomplete last line
            document = json.loads(line)
            yield kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in document.items()})
