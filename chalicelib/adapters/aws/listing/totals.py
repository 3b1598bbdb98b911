"""Counters of all connections of a tenant together, by quarters of an hour (``ports.TenantCounters``).

They are in the table of statistics, in the partitions ``<tenant>#*<number>``, with the first minute of the quarter as
``sort``. ``flush`` writes the sums of an invocation at its end, so that several drains cost one write: at once while
the process has credit, otherwise a minute after its previous write. The numbers of a small tenant thus appear at once,
and a busy process pays for a write each minute, not for one in each invocation. A process that is frozen for good loses
the sums of its last minute.
"""

import random
from collections import Counter
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import partition, query, to_item
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

QUARTER = 15
"""Minutes that an item covers."""
_KEPT = 8 * 86400
"""Seconds after which an item expires."""
_SHARDS = 4
"""Partitions of a tenant. A process writes to one of them; a partition accepts 1,000 writes a second."""
_INTERVAL = 60.0
"""Seconds between two writes of a process without credit."""
_CREDIT = 100.0
"""Writes that a process may make at once."""
_CREDIT_PER_SECOND = 0.02
_NO_COUNTERS = {"connection", "sort", "expires"}


class TenantTotals:
    """The counters of tenants, of which this process has not written the last ones."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._credit = _CREDIT
        self._written = clock()
        self._sums: dict[tuple[str, int], Counter[str]] = {}
        self._lock = Lock()
        self._shard = random.randrange(_SHARDS)  # noqa: S311  # not for cryptography

    def spend_credit(self) -> None:
        """Write once a minute from here on, as a busy process does."""
        self._credit = 0.0

    def note(self, tenant: str, minute: int, counts: Mapping[str, int]) -> None:
        """Add counters of one connection."""
        wanted = {name: count for name, count in counts.items() if count}
        if wanted:
            with self._lock:
                self._sums.setdefault((tenant, minute // QUARTER * QUARTER), Counter()).update(wanted)

    def flush(self) -> None:
        """Write the noted counters, if it is time. A failed write is repeated by the next call. Raises Unavailable."""
        now = self._clock()
        with self._lock:
            waited = max(0.0, now - self._written)
            credit = min(_CREDIT, self._credit + waited * _CREDIT_PER_SECOND)
            if not self._sums or (credit < len(self._sums) and waited < _INTERVAL):
                return
            sums, self._sums = self._sums, {}
            self._credit, self._written = max(0.0, credit - len(sums)), now
        try:
            while sums:
                key, counts = next(iter(sums.items()))
                self._add(*key, counts)
                del sums[key]
        finally:
            with self._lock:
                for key, counts in sums.items():
                    self._sums.setdefault(key, Counter()).update(counts)

    def read(self, tenant: str, first_minute: int, last_minute: int) -> dict[int, dict[str, int]]:
        """Return the counters by the first minute of their quarter."""
        found: dict[int, Counter[str]] = {}
        for shard in range(_SHARDS):
            for item in self._items(partition(tenant, f"*{shard}"), first_minute // QUARTER * QUARTER, last_minute):
                counts = {name: each for name, each in item.items() if name not in _NO_COUNTERS and type(each) is int}
                found.setdefault(item["sort"], Counter()).update(counts)
        return {minute: dict(counts) for minute, counts in found.items()}

    def last_counted(self, tenant: str, connection_id: str, now: float) -> int | None:
        """Return the last minute of a connection's counters within eight days, or None."""
        minute = int(now // 60)
        with translated("DynamoDB"):
            answer = self._client.query(
                **_between(self._table, partition(tenant, connection_id), minute - _KEPT // 60, minute),
                ScanIndexForward=False,
                Limit=1,
            )
        return next((int(item["sort"]["N"]) for item in answer["Items"]), None)

    def _items(self, key: str, first: int, last: int) -> list[dict[str, Any]]:
        return list(query(self._client, **_between(self._table, key, first, last)))

    def _add(self, tenant: str, quarter: int, counts: Mapping[str, int]) -> None:
        counted = list(counts.items())
        additions = ", ".join(f"#c{index} :c{index}" for index in range(len(counted)))
        with translated("DynamoDB"):
            self._client.update_item(
                TableName=self._table,
                Key=to_item({"connection": partition(tenant, f"*{self._shard}"), "sort": quarter}),
                UpdateExpression=f"ADD {additions} SET expires = :expires",
                ExpressionAttributeNames={f"#c{index}": name for index, (name, _) in enumerate(counted)},
                ExpressionAttributeValues=to_item(
                    {f":c{index}": count for index, (_, count) in enumerate(counted)}
                    | {":expires": quarter * 60 + _KEPT}
                ),
            )


def _between(table: str, key: str, first: int, last: int) -> dict[str, Any]:
    return {
        "TableName": table,
        "KeyConditionExpression": "#connection = :connection AND #sort BETWEEN :first AND :last",
        "ExpressionAttributeNames": {"#connection": "connection", "#sort": "sort"},
        "ExpressionAttributeValues": to_item({":connection": key, ":first": first, ":last": last}),
    }
