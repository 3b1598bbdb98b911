"""Notes of what was told already (``alarms.Notes``), beside the leases."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.aws import error_code, translated
from chalicelib.caches import BoundedCache
from chalicelib.dynamodb import to_item

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_CACHED = 10_000
_LATEST = 2**53


class DynamoDbNotes:
    """A note that was seen is remembered, so that it is not read again each minute."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        self._seen: BoundedCache[str, bool] = BoundedCache(_CACHED)

    def has(self, key: str) -> bool:
        if self._seen.get(key):
            return True
        with translated("DynamoDB"):
            answer = self._client.get_item(TableName=self._table, Key=to_item({"id": key}), ConsistentRead=True)
        if "Item" not in answer:
            return False
        self._seen.put(key, True)
        return True

    def take(self, key: str, until: float) -> bool:
        note = {"id": key, "expires": int(min(until, _LATEST))}
        with translated("DynamoDB"):
            try:
                self._client.put_item(
                    TableName=self._table, Item=to_item(note), ConditionExpression="attribute_not_exists(id)"
                )
            except ClientError as error:
                if error_code(error) != "ConditionalCheckFailedException":
                    raise
                return False
        return True
