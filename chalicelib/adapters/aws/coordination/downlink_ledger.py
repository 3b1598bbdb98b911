"""Ledger of sent downlinks in DynamoDB (``ports.DownlinkLedger``), in the table ``coordination``."""

from typing import TYPE_CHECKING

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import to_item
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 15 * 86400
"""Seconds that an entry is kept: a day longer than SQS keeps a message."""


class DynamoDbDownlinkLedger:
    """One item for each downlink that the network server accepted, with the key ``downlink#<SQS message id>``."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def was_sent(self, message_id: str) -> bool:
        with translated("DynamoDB"):
            answer = self._client.get_item(TableName=self._table, Key=_key(message_id), ConsistentRead=True)
        return "Item" in answer

    def record(self, message_id: str) -> None:
        expires = to_item({"expires": int(self._clock()) + _KEPT})
        with translated("DynamoDB"):
            self._client.put_item(TableName=self._table, Item={**_key(message_id), **expires})


def _key(message_id: str) -> dict[str, dict[str, str]]:
    return to_item({"id": f"downlink#{message_id}"})
