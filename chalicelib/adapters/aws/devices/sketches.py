"""Active devices, as a sketch per connection and hour in DynamoDB.

A sketch contains the last minute of each device, so "within the last hour" is exact to the minute. It covers this
hour's devices and those of the previous hour that were seen in or after the same minute.

The sketch has the devices that do not fit into a minute's set (``minutes``). A process writes them together with the
counters: at once while the connection has credit, otherwise a minute after its previous write. A busy connection, whose
sketch costs up to 60 write units, thus pays for one write a minute.

A process that is frozen for good or does not drain the connection again loses its unwritten devices. These are the
devices of its last minute that no other process saw.
"""

import math
import random
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import from_item, is_condition_failure, partition, query, to_item
from chalicelib.adapters.aws.readable import readable
from chalicelib.kernel.theta_sketch import Sketch, device_hash
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 8 * 86400
"""Seconds after which a sketch expires."""
_INTERVAL = 60.0
"""Seconds between two writes of a connection's sketch by one process without credit."""
_CREDIT = 1000.0
"""Write units that a process may spend on earlier writes of one connection's sketch. A unit is a KB or part of one."""
_CREDIT_PER_SECOND = 0.1
_TRIES = 6
"""Attempts of a write that loses against concurrent writers."""
_PAUSE = 0.01
"""Longest pause in seconds after the first lost attempt; it grows linearly."""
_MOST_CONNECTIONS = 256
_MOST_ENTRIES = 200_000
"""Maximum number of entries in the memory of a process; an entry takes about 100 bytes."""
_LATE = 2
"""Hours after which unwritten devices are dropped."""


@dataclass
class _Hour:
    pending: Sketch = field(default_factory=Sketch)
    stored: Sketch | None = None
    """The sketch in the table when this process last read or wrote it; None before that."""
    revision: int = 0
    """Revision of ``stored``; 0 when the table has no sketch."""


@dataclass
class _Connection:
    hours: dict[int, _Hour] = field(default_factory=dict)
    written_at: float = -math.inf
    credit: float = _CREDIT
    counted_at: float = 0.0
    """Time of the last addition to the credit, in Unix seconds."""
    lock: Lock = field(default_factory=Lock)

    def entries(self) -> int:
        return sum(len(hour.pending) + len(hour.stored or ()) for hour in list(self.hours.values()))


class DynamoDbDeviceSketches:
    """The sketches of all connections, with those of recently drained connections in memory. Thread-safe.

    An item has the keys ``connection`` (``<tenant>#<id>#devices``) and ``sort`` (the first minute of the hour), the
    sketch, and a revision. A write requires the revision that was read, so concurrent writers cannot overwrite each
    other.
    """

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._connections: OrderedDict[str, _Connection] = OrderedDict()
        self._lock = Lock()

    def note(self, tenant: str, connection_id: str, devices: Collection[str]) -> None:
        """Record devices as active now, in memory only."""
        if not devices:
            return
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
        """Store the recorded devices of a connection if a write is due. Raises Unavailable.

        Devices stay in memory for the next write after an error, or when concurrent writers win each attempt.
        """
        partition = _partition(tenant, connection_id)
        with self._lock:
            state = self._connections.get(partition)
        if state is None:
            return
        with state.lock:
            now = self._clock()
            for number, hour in list(state.hours.items()):
                if hour.pending and self._due(state, hour, now):
                    self._write(partition, number, hour, state, now)
                if number < now // 3600 and (not hour.pending or number < now // 3600 - _LATE):
                    del state.hours[number]

    def active(
        self, tenant: str, connection_id: str, first_minute: int, last_minute: int
    ) -> Iterator[tuple[Sketch, int]]:
        """Yield the sketches of a period, each with the first minute of its hour that counts.

        Both minutes (Unix time / 60) are included. ``last_minute`` must be the current minute.
        """
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
        yield from readable(
            items, lambda item: (Sketch.from_bytes(item["sketch"]), first_minute - item["sort"]), "connection", "sort"
        )

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
        # Set before the write, so that a table that does not answer is not called again at once.
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
            # Another process has written meanwhile: merge the pending devices with its sketch.
            hour.stored = None
            time.sleep(random.uniform(0, _PAUSE * (attempt + 1)))  # noqa: S311  # jitter, not cryptography

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
