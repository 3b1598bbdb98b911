"""Sketches of active devices, one item for each connection and hour in DynamoDB.

A sketch knows each device's last minute, so "within the last hour" is exact to the minute: the devices of this hour,
and those of the previous hour that were seen in or after the same minute of it.

A changed sketch is written with the counters: at once while the process has credit for it, otherwise when a minute
has passed since this process wrote the connection's sketch. A small or quiet connection's devices are therefore visible
with its counters, and a busy one, whose sketch costs up to 60 write units, pays for one write a minute. A process that
is frozen for good, or never drains the connection again, loses what it did not write: the devices of its last minute
that no other process saw.
"""

import math
import random
import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import from_item, is_condition_failure, partition, query, to_item
from chalicelib.kernel.theta_sketch import Sketch, device_hash
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 8 * 86400
"""Seconds."""
_INTERVAL = 60.0
"""Seconds between two writes of a connection's sketch by one process, once its credit is used up."""
_CREDIT = 1000.0
"""Write units (one for each KB begun) that a process may spend on earlier writes of one connection's sketch."""
_CREDIT_PER_SECOND = 0.1
_TRIES = 6
"""Attempts of a write that loses against other writers."""
_PAUSE = 0.01
"""Seconds: the longest pause after the first such try; it grows with each."""
_MOST_CONNECTIONS = 256
_MOST_ENTRIES = 200_000
"""Entries that a process remembers: about 100 bytes each."""
_LATE = 2
"""Hours after which what could not be written is dropped."""


@dataclass
class _Hour:
    pending: Sketch = field(default_factory=Sketch)
    stored: Sketch | None = None
    """Sketch that the table held at the last read; None before the first."""
    revision: int = 0
    """Version of the stored sketch; 0 without one."""


@dataclass
class _Connection:
    hours: dict[int, _Hour] = field(default_factory=dict)
    written_at: float = -math.inf
    credit: float = _CREDIT
    counted_at: float = 0.0
    """When the credit was last added to."""
    lock: Lock = field(default_factory=Lock)

    def entries(self) -> int:
        return sum(len(hour.pending) + len(hour.stored or ()) for hour in list(self.hours.values()))


class DynamoDbDeviceSketches:
    """An item has the keys ``connection`` (``<tenant>#<id>#devices``) and ``sort`` (the hour's first), the sketch,
    and a revision, by which processes that write at the same time find out about each other."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._connections: OrderedDict[str, _Connection] = OrderedDict()
        self._lock = Lock()

    def note(self, tenant: str, connection_id: str, devices: Collection[str]) -> None:
        """Remembers devices that are active now; no input or output."""
        partition = _partition(tenant, connection_id)
        hour, minute = divmod(int(self._clock() // 60), 60)
        state = self._state(partition)
        with state.lock:
            noted = state.hours.setdefault(hour, _Hour())
            for device in devices:
                hash_ = device_hash(device)
                if noted.stored is None or noted.stored.would_add(hash_, minute):
                    noted.pending.add(hash_, minute)

    def write(self, tenant: str, connection_id: str) -> None:
        """Write the pending devices of a connection if a write is due.

        Devices that lose against other writers several times, or whose write raises Unavailable, stay pending.
        """
        partition = _partition(tenant, connection_id)
        state = self._state(partition)
        with state.lock:
            now = self._clock()
            for number, hour in list(state.hours.items()):
                if hour.pending and self._due(state, hour, now):
                    self._write(partition, number, hour, state, now)
                if number < now // 3600 and (not hour.pending or number < now // 3600 - _LATE):
                    del state.hours[number]

    def active(self, tenant: str, connection_id: str, first_minute: int, last_minute: int) -> int:
        """Devices seen in these minutes (Unix time / 60), both included; the last one must be the present."""
        items = query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="#connection = :connection AND #sort BETWEEN :first AND :last",
            ExpressionAttributeNames={"#connection": "connection", "#sort": "sort"},
            ExpressionAttributeValues=to_item(
                {
                    ":connection": _partition(tenant, connection_id),
                    ":first": first_minute // 60 * 60,
                    ":last": last_minute,
                }
            ),
            ConsistentRead=True,
        )
        return Sketch.count((Sketch.from_bytes(item["sketch"]), first_minute - item["sort"]) for item in items)

    def _state(self, partition: str) -> _Connection:
        with self._lock:
            state = self._connections.setdefault(partition, _Connection(counted_at=self._clock()))
            self._connections.move_to_end(partition)
            entries = sum(each.entries() for each in self._connections.values())
            while len(self._connections) > 1 and (
                len(self._connections) > _MOST_CONNECTIONS or entries > _MOST_ENTRIES
            ):
                _, oldest = self._connections.popitem(last=False)
                entries -= oldest.entries()
            return state

    def _due(self, state: _Connection, hour: _Hour, now: float) -> bool:
        state.credit = min(state.credit + max(now - state.counted_at, 0.0) * _CREDIT_PER_SECOND, _CREDIT)
        state.counted_at = now
        if now - state.written_at >= _INTERVAL:
            return True
        units = math.ceil((len(hour.pending) + len(hour.stored or ())) * 6 / 1024)
        if state.credit < units:
            return False
        state.credit -= units
        return True

    def _write(self, partition: str, number: int, hour: _Hour, state: _Connection, now: float) -> None:
        # Whatever comes of it: a table that does not answer is not asked again at once.
        state.written_at = now
        key = to_item({"connection": partition, "sort": number * 60})
        for attempt in range(_TRIES):
            if hour.stored is None:
                self._read(key, hour)
            assert hour.stored is not None  # noqa: S101
            if not hour.stored.merge(hour.pending):
                hour.pending = Sketch()
                return
            if self._put(key, number, hour):
                hour.pending = Sketch()
                return
            # Another process wrote first; the pending devices are merged with its sketch, now or at the next write.
            hour.stored = None
            time.sleep(random.uniform(0, _PAUSE * (attempt + 1)))  # noqa: S311  # to come between them, no secret

    def _read(self, key: dict[str, dict[str, str]], hour: _Hour) -> None:
        with translated("DynamoDB"):
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        item = from_item(answer["Item"]) if "Item" in answer else None
        hour.stored = Sketch.from_bytes(item["sketch"]) if item else Sketch()
        hour.revision = item["revision"] if item else 0

    def _put(self, key: dict[str, dict[str, str]], number: int, hour: _Hour) -> bool:
        assert hour.stored is not None  # noqa: S101
        revision = hour.revision
        item = {"sketch": hour.stored.to_bytes(), "revision": revision + 1, "expires": number * 3600 + _KEPT}
        with translated("DynamoDB"):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item={**key, **to_item(item)},
                    ConditionExpression="revision = :known OR (:known = :none AND attribute_not_exists(revision))",
                    ExpressionAttributeValues=to_item({":known": revision, ":none": 0}),
                )
            except ClientError as error:
                hour.stored = None
                if is_condition_failure(error):
                    return False
                raise
        hour.revision = revision + 1
        return True


def _partition(tenant: str, connection_id: str) -> str:
    return partition(tenant, connection_id, "devices")
