"""Downlinks between the broker and the network server, as one item each in DynamoDB.

A counter would drift. A broker delivers a message again after a consumer was killed, a customer publishes it twice, and
SQS drops the repeat silently. An item is keyed by SQS's deduplication id, so marking or clearing it twice is
idempotent. A cleared item stays for a while, so that a repeat or a late mark does not make the downlink wait again.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.adapters.aws.dynamodb import partition, query, to_item
from chalicelib.errors import Unavailable
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_WAITING_KEPT = 14 * 86400
"""Seconds that SQS keeps a downlink."""
_REPEAT = 300
"""SQS's deduplication interval in seconds."""
_TRANSACTION = 100
"""Maximum number of items in a transaction."""
_TRIES = 4


class DynamoDbWaitingDownlinks:
    """The waiting downlinks of all connections.

    An item has the keys ``connection`` (``<tenant>#<id>#waiting``) and ``sort`` (a hash of the name). It gets
    ``settledAt`` (Unix seconds) when the downlink is settled, and ``receipts`` while it is parked. Implements
    ``ports.ParkedReceipts``.
    """

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def mark_waiting(self, tenant: str, connection_id: str, names: Sequence[str]) -> None:
        """Mark downlinks as waiting. Call this after SQS accepted them, so that a sender clears each of them.

        ``names``: their deduplication ids. Raises Unavailable.
        """
        unique = list(dict.fromkeys(names))
        for start in range(0, len(unique), _TRANSACTION):
            self._put_waiting(_partition(tenant, connection_id), unique[start : start + _TRANSACTION])

    def clear(self, tenant: str, connection_id: str, name: str) -> None:
        """Mark a downlink as settled."""
        now = int(self._clock())
        item = _key(_partition(tenant, connection_id), name) | {"settledAt": now, "expires": now + 2 * _REPEAT}
        with translated("DynamoDB"):
            self._client.put_item(TableName=self._table, Item=to_item(item))

    def park(self, tenant: str, connection_id: str, name: str, receipts: Sequence[str]) -> None:
        with translated("DynamoDB"):
            self._client.update_item(
                TableName=self._table,
                Key=to_item(_key(_partition(tenant, connection_id), name)),
                UpdateExpression="SET receipts = :receipts, expires = if_not_exists(expires, :expires)",
                ExpressionAttributeValues=to_item(
                    {":receipts": list(receipts), ":expires": int(self._clock()) + _WAITING_KEPT}
                ),
            )

    def receipts(self, tenant: str, connection_id: str) -> list[str]:
        items = query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="#connection = :connection",
            FilterExpression="attribute_exists(receipts) AND attribute_not_exists(settledAt)",
            ExpressionAttributeNames={"#connection": "connection"},
            ExpressionAttributeValues=to_item({":connection": _partition(tenant, connection_id)}),
            ConsistentRead=True,
        )
        return [receipt for item in items for receipt in item["receipts"]]

    def waiting(self, tenant: str, connection_id: str) -> int:
        """Return the number of waiting downlinks."""
        parameters: dict[str, Any] = {
            "TableName": self._table,
            "Select": "COUNT",
            "KeyConditionExpression": "#connection = :connection",
            # DynamoDB removes expired items days late.
            "FilterExpression": "attribute_not_exists(settledAt) AND expires > :now",
            "ExpressionAttributeNames": {"#connection": "connection"},
            "ExpressionAttributeValues": to_item(
                {":connection": _partition(tenant, connection_id), ":now": int(self._clock())}
            ),
            "ConsistentRead": True,
        }
        total = 0
        while True:
            with translated("DynamoDB"):
                answer = self._client.query(**parameters)
            total += answer["Count"]
            if "LastEvaluatedKey" not in answer:
                return total
            parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _put_waiting(self, partition: str, names: list[str]) -> None:
        """Store new items in one call, because an ack waits for it; retry without those that exist already."""
        now = int(self._clock())
        values = to_item({":repeat": now - _REPEAT})
        for _ in range(_TRIES):
            if not names:
                return
            puts = [
                {
                    "Put": {
                        "TableName": self._table,
                        "Item": to_item(_key(partition, name) | {"expires": now + _WAITING_KEPT}),
                        "ConditionExpression": "attribute_not_exists(expires) OR settledAt < :repeat",
                        "ExpressionAttributeValues": values,
                    }
                }
                for name in names
            ]
            with translated("DynamoDB"):
                try:
                    self._client.transact_write_items(TransactItems=puts)  # type: ignore[arg-type]
                except ClientError as error:
                    if error_code(error) != "TransactionCanceledException":
                        raise
                    reasons = error.response.get("CancellationReasons", [])
                    known = {i for i, reason in enumerate(reasons) if reason.get("Code") == "ConditionalCheckFailed"}
                    names = [name for i, name in enumerate(names) if i not in known]
                else:
                    return
        if names:
            raise Unavailable("the waiting downlinks could not be counted")


def _partition(tenant: str, connection_id: str) -> str:
    return partition(tenant, connection_id, "waiting")


def _key(partition: str, name: str) -> dict[str, str | int]:
    # A DynamoDB number has 38 digits, which fit 15 bytes.
    return {"connection": partition, "sort": int.from_bytes(hashlib.sha256(name.encode()).digest()[:15])}
