"""Reads and calls of the table of connections; ``connections`` has its items and its changes."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.connection_errors import not_found, unreadable
from chalicelib.adapters.aws.connection_items import (
    GENERATION,
    SHARDS,
    connection_of,
)
from chalicelib.adapters.aws.dynamodb import (
    Update,
    batch_get,
    conditional_update,
    from_item,
    query,
    to_item,
    transact,
)
from chalicelib.domain.connection import Connection
from chalicelib.kernel.ids import is_id
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_PAGE = 100


class ConnectionTable:
    """The table of connections. Reads of the table are strongly consistent; reads of the indexes lag behind it."""

    def __init__(
        self, client: "DynamoDBClient", table: str, clock: Clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._sleep = sleep

    def get(self, tenant: str, connection_id: str) -> Connection:
        return _readable(self.find(tenant, connection_id))

    def find(self, tenant: str, connection_id: str) -> Connection:
        return self._found(connection_id, self._read(tenant, connection_id) if is_id(connection_id) else {})

    @staticmethod
    def _found(connection_id: str, item: dict[str, Any]) -> Connection:
        if not item:
            raise not_found(connection_id)
        return connection_of(item)

    def of_tenant(self, tenant: str) -> list[Connection]:
        return list(self.newest_first(tenant))

    def newest_first(self, tenant: str, before: str | None = None) -> Iterator[Connection]:
        """Yield a tenant's connections that are older than the id ``before``, with one page in memory at a time."""
        for item in query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="tenant = :tenant AND id < :before",
            ExpressionAttributeValues=to_item({":tenant": tenant, ":before": before or "~"}),
            ScanIndexForward=False,
            ConsistentRead=True,
            # A caller of the API reads one page and must not wait for a megabyte.
            Limit=_PAGE,
        ):
            # The other kinds of items sort before every ULID.
            if not is_id(item["id"]):
                return
            yield connection_of(item)

    def generation(self, tenant: str) -> int:
        return int(self._read(tenant, GENERATION).get("generation", 0))

    def generations(self, tenants: Collection[str]) -> dict[str, int]:
        keys = [{"tenant": tenant, "id": GENERATION} for tenant in tenants]
        items = batch_get(self._client, self._table, keys, consistent=False)
        return dict.fromkeys(tenants, 0) | {item["tenant"]: int(item.get("generation", 0)) for item in items}

    def pending_wakes_due(self, now: float) -> Iterator[Connection]:
        return self._index("marks", "wakeAt <= :now", {":now": now})

    def probes_due(self, now: float) -> Iterator[Connection]:
        return self._index("probes", "probeAt <= :now", {":now": now})

    def all_active(self) -> Iterator[Connection]:
        return self._index("active", None, {})

    def _index(self, name: str, condition: str | None, values: dict[str, Any]) -> Iterator[Connection]:
        key = "#shard = :shard" if condition is None else f"#shard = :shard AND {condition}"
        for shard in range(SHARDS):
            items = query(
                self._client,
                TableName=self._table,
                IndexName=name,
                KeyConditionExpression=key,
                ExpressionAttributeNames={"#shard": "shard"},
                ExpressionAttributeValues=to_item({":shard": str(shard)} | values),
            )
            yield from (connection for connection in map(connection_of, items) if not connection.fault)

    def _read(self, tenant: str, item_id: str) -> dict[str, Any]:
        with translated("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table, Key=to_item({"tenant": tenant, "id": item_id}), ConsistentRead=True
            )
        return from_item(answer.get("Item", {}))

    def _update(self, tenant: str, connection_id: str, update: Update, condition: str, values: dict[str, Any]) -> bool:
        arguments = {"Key": self._key(tenant, connection_id), **update.arguments(condition, values)}
        return conditional_update(self._client, self._table, arguments, self._sleep)

    def _transact(self, actions: Sequence[dict[str, Any]]) -> list[bool]:
        return transact(self._client, self._table, actions, self._sleep)

    def _key(self, tenant: str, connection_id: str) -> dict[str, Any]:
        if not is_id(connection_id):
            raise not_found(connection_id)
        return to_item({"tenant": tenant, "id": connection_id})


def _readable(connection: Connection) -> Connection:
    if connection.fault:
        raise unreadable(connection)
    return connection
