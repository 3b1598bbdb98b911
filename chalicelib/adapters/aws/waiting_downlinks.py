"""Downlinks between the broker and the network server, one DynamoDB item each.

A counter would drift: the broker redelivers after a killed consumer, a customer publishes a message twice, and SQS
drops the duplicate silently. An item is named after SQS's deduplication id, so that marking or clearing twice has no
further effect. A cleared item stays for a while, so that neither a duplicate that SQS drops nor a late mark counts as
waiting again.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.adapters.aws.dynamodb import partition, to_item
from chalicelib.errors import Unavailable
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_WAITING_KEPT = 14 * 86400
"""Seconds: as long as SQS keeps a downlink."""
_REPEAT = 300
"""Seconds in which SQS swallows a repeat."""
_TRANSACTION = 100
"""Items that DynamoDB takes at once."""
_TRIES = 4


class DynamoDbWaitingDownlinks:
    """An item has the keys ``connection`` (``<tenant>#<id>#waiting``) and ``sort`` (a hash of the name),
    and ``settledAt`` in Unix seconds once it does not wait any more."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def mark_waiting(self, tenant: str, connection_id: str, names: Sequence[str]) -> None:
        """To be called once SQS has them: one that is counted has something that will settle it."""
        unique = list(dict.fromkeys(names))
        for start in range(0, len(unique), _TRANSACTION):
            self._put_waiting(_partition(tenant, connection_id), unique[start : start + _TRANSACTION])

    def clear(self, tenant: str, connection_id: str, name: str) -> None:
        now = int(self._clock())
        item = _key(_partition(tenant, connection_id), name) | {"settledAt": now, "expires": now + 2 * _REPEAT}
        with translated("DynamoDB"):
            self._client.put_item(TableName=self._table, Item=to_item(item))

    def waiting(self, tenant: str, connection_id: str) -> int:
        parameters: dict[str, Any] = {
            "TableName": self._table,
            "Select": "COUNT",
            "KeyConditionExpression": "#connection = :connection",
            # DynamoDB removes what has expired when it finds the time.
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
        """Mark all in one call, because an ack waits for it; repeat it without those that were marked before."""
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
            raise Unavailable("downlinks that wait could not be counted")


def _partition(tenant: str, connection_id: str) -> str:
    return partition(tenant, connection_id, "waiting")


def _key(partition: str, name: str) -> dict[str, str | int]:
    # DynamoDB's numbers have 38 digits, 15 bytes fit in.
    return {"connection": partition, "sort": int.from_bytes(hashlib.sha256(name.encode()).digest()[:15])}
