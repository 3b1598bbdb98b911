"""Unfinished replays in the table of connections (``ports.PendingReplays``).

An item has the id ``#replay#<connection id>``. The index ``active`` has it under a separate shard, ordered by the
time of its last turn. It sorts before every connection, so that lists of connections end before it.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import Update, conditional_update, is_condition_failure, query, to_item
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock
from chalicelib.ports.history import PendingReplay

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_SHARD = "replay"
_PREFIX = "#replay#"


class DynamoDbPendingReplays:
    """The replays of all connections that wait for the reconciler, at most one for each connection."""

    def __init__(
        self, client: "DynamoDBClient", table: str, clock: Clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._sleep = sleep

    def add(self, tenant: str, connection_id: str, last: str) -> None:
        item = self._key(tenant, connection_id) | {"shard": _SHARD, "activeSince": self._now(), "last": last}
        with translated("DynamoDB"):
            self._client.put_item(TableName=self._table, Item=to_item(item))

    def all(self) -> Iterator[PendingReplay]:
        for item in query(
            self._client,
            TableName=self._table,
            IndexName="active",
            KeyConditionExpression="#shard = :shard",
            ExpressionAttributeNames={"#shard": "shard"},
            ExpressionAttributeValues=to_item({":shard": _SHARD}),
        ):
            yield PendingReplay(item["tenant"], item["id"].removeprefix(_PREFIX), item["last"])

    def postpone(self, replay: PendingReplay) -> None:
        update = Update({"activeSince": self._now()})
        update.names["#last"] = "last"
        arguments = {
            "Key": to_item(self._key(replay.tenant, replay.connection_id)),
            **update.arguments("#last = :expected", {":expected": replay.last}),
        }
        conditional_update(self._client, self._table, arguments, self._sleep)

    def end(self, replay: PendingReplay) -> None:
        with translated("DynamoDB"):
            try:
                self._client.delete_item(
                    TableName=self._table,
                    Key=to_item(self._key(replay.tenant, replay.connection_id)),
                    ConditionExpression="#last = :last",
                    ExpressionAttributeNames={"#last": "last"},
                    ExpressionAttributeValues=to_item({":last": replay.last}),
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise

    def _key(self, tenant: str, connection_id: str) -> dict[str, Any]:
        return {"tenant": tenant, "id": f"{_PREFIX}{connection_id}"}

    def _now(self) -> str:
        return iso_time(self._clock())
