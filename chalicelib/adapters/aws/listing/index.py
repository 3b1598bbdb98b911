"""The entries of a tenant's connections, kept in memory (``ports.ConnectionEntries``).

A process reads the entries once from the index ``changes`` and then only those that changed since. The tenant's item
has the number of its connections: if the memory has another number, a connection was created, deleted, or stored by a
release that writes no entries, and the process reads more.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.connection_items import GENERATION, connection_of
from chalicelib.adapters.aws.dynamodb import TRIES, await_turn, from_item, query, to_item
from chalicelib.domain.connection import Connection
from chalicelib.domain.overview.entry import Entry, entry_of, entry_of_connection
from chalicelib.errors import Unavailable
from chalicelib.kernel.bounded_cache import BoundedCache
from chalicelib.kernel.ids import is_id
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT_ENTRIES = 30_000
"""Entries in the memory of a process. An entry takes about a KB."""
_OVERLAP = 60.0
"""Seconds before the last read from which changes are read again: clocks differ, and the index lags."""
_WHOLE_AGAIN = 900.0
"""Seconds after which all entries are read again, because a release without entries may have written records."""
_NAMES = ("id", "listed", "listedState", "listedDownlinks")


@dataclass
class _Tenant:
    entries: dict[str, Entry] = field(default_factory=dict)
    read_at: float = 0.0
    whole_at: float = 0.0
    surplus: int = 0
    """The difference between the tenant's number of connections and its records, after reading every record."""
    lock: Lock = field(default_factory=Lock)


class DynamoDbConnectionEntries:
    """The entries of all tenants' connections."""

    def __init__(
        self, client: "DynamoDBClient", table: str, clock: Clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._sleep = sleep
        self._client = client
        self._table = table
        self._clock = clock
        self._tenants: BoundedCache[str, _Tenant] = BoundedCache(_KEPT_ENTRIES, lambda each: len(each.entries) + 1)

    def entries(self, tenant: str) -> list[Entry]:
        known = self._tenants.put_if_absent(tenant, _Tenant())
        with known.lock:
            self._read(tenant, known)
            found = list(known.entries.values())
        # The cache weighs a value when it is put.
        self._tenants.put(tenant, known)
        return found

    def records(self, tenant: str, ids: Sequence[str]) -> list[Connection]:
        """Return the existing connections among ``ids`` (at most 100, each once), in their order.

        Raises Unavailable.
        """
        wanted: dict[str, Any] = {
            self._table: {"Keys": [to_item({"tenant": tenant, "id": id_}) for id_ in ids], "ConsistentRead": True}
        }
        found: dict[str, Connection] = {}
        for attempt in range(TRIES):
            if not wanted or not ids:
                break
            if attempt:
                await_turn(attempt, self._sleep)
            with translated("DynamoDB"):
                answer = self._client.batch_get_item(RequestItems=wanted)
            found |= {item["id"]: connection_of(item) for item in map(from_item, answer["Responses"][self._table])}
            wanted = dict(answer.get("UnprocessedKeys", {}))
        if wanted and ids:
            raise Unavailable("DynamoDB is throttling")
        return [found[id_] for id_ in ids if id_ in found]

    def _read(self, tenant: str, known: _Tenant) -> None:
        now = self._clock()
        number = self._number(tenant)
        if not known.read_at or now - known.whole_at > _WHOLE_AGAIN:
            self._read_whole(tenant, known, now)
        else:
            self._add(known, self._changes(tenant, known.read_at - _OVERLAP))
        known.read_at = now
        if len(known.entries) < number - known.surplus:
            self._add(known, self._records(tenant, max(known.entries, default="")))
        if len(known.entries) != number - known.surplus:
            self._read_whole(tenant, known, now)
        if len(known.entries) != number - known.surplus:
            known.entries = {each.id: each for each in self._records(tenant, "")}
            known.surplus = number - len(known.entries)

    def _read_whole(self, tenant: str, known: _Tenant, now: float) -> None:
        known.entries = {}
        known.whole_at = now
        self._add(known, self._changes(tenant, 0.0))

    @staticmethod
    def _add(known: _Tenant, entries: Iterable[Entry]) -> None:
        known.entries.update((each.id, each) for each in entries)

    def _changes(self, tenant: str, since: float) -> Iterable[Entry]:
        items = query(
            self._client,
            TableName=self._table,
            IndexName="changes",
            KeyConditionExpression="#tenant = :tenant AND changedAt >= :since",
            ProjectionExpression=", ".join(f"#{name}" for name in _NAMES),
            ExpressionAttributeNames={"#tenant": "tenant"} | {f"#{name}": name for name in _NAMES},
            ExpressionAttributeValues=to_item({":tenant": tenant, ":since": since}),
        )
        return filter(None, map(_entry, items))

    def _records(self, tenant: str, after: str) -> Iterable[Entry]:
        """Yield the entries of the records with a higher id, from the table."""
        items = query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="tenant = :tenant AND id > :after",
            # The other kinds of items sort before every ULID.
            ExpressionAttributeValues=to_item({":tenant": tenant, ":after": after or "0"}),
            ConsistentRead=True,
        )
        return (entry_of_connection(connection_of(item)) for item in items if is_id(item["id"]))

    def _number(self, tenant: str) -> int:
        with translated("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table,
                Key=to_item({"tenant": tenant, "id": GENERATION}),
                ConsistentRead=True,
                ProjectionExpression="connections",
            )
        return int(from_item(answer.get("Item", {})).get("connections", 0))


def _entry(item: Mapping[str, Any]) -> Entry | None:
    return entry_of(item["id"], item.get("listed"), item.get("listedState"), item.get("listedDownlinks"))
