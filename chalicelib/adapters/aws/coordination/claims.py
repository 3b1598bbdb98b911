"""Claims in DynamoDB (``ports.Claims``): once-only records in the table ``coordination``."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import from_item, is_condition_failure, to_item
from chalicelib.kernel.bounded_cache import BoundedCache
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_CACHED = 10_000
_LATEST = 2**53


class DynamoDbClaims:
    """The claims of all functions. An item has the key ``id`` and its end ``expires`` in Unix seconds.

    A process caches an existing claim until its end, which saves a read each minute. ``expires`` decides whether a
    claim holds, because DynamoDB removes expired items days late.
    """

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._seen: BoundedCache[str, float] = BoundedCache(_CACHED)

    def held(self, key: str) -> bool:
        now = self._clock()
        if (self._seen.get(key) or 0.0) > now:
            return True
        with translated("DynamoDB"):
            answer = self._client.get_item(TableName=self._table, Key=to_item({"id": key}), ConsistentRead=True)
        until = from_item(answer["Item"])["expires"] if "Item" in answer else 0.0
        self._seen.put(key, until)
        return bool(until > now)

    def claim(self, key: str, until: float) -> bool:
        claim = {"id": key, "expires": int(min(until, _LATEST))}
        with translated("DynamoDB"):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=to_item(claim),
                    ConditionExpression="attribute_not_exists(id) OR expires <= :now",
                    ExpressionAttributeValues=to_item({":now": self._clock()}),
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise
                return False
        return True
