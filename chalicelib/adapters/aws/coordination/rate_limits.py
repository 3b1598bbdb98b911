"""Rate limits in DynamoDB (``ports.RateLimits``), in the table ``coordination``."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import is_condition_failure, to_item
from chalicelib.errors import TooManyRequests
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_WINDOW = 60
"""Length of the counted interval in seconds."""
_KEPT = 3600
"""Seconds after which DynamoDB may remove a counter."""


class DynamoDbRateLimits:
    """Counters of costly calls, one for each tenant, kind and minute. A kind is a noun such as ``connection-test``."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def acquire(self, tenant: str, kind: str, limit: int) -> None:
        now = self._clock()
        window = int(now // _WINDOW)
        with translated("DynamoDB"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"id": f"rate#{tenant}#{kind}#{window}"}),
                    UpdateExpression="ADD calls :one SET expires = :expires",
                    ConditionExpression="attribute_not_exists(calls) OR calls < :limit",
                    ExpressionAttributeValues=to_item({":one": 1, ":limit": limit, ":expires": int(now) + _KEPT}),
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise
                seconds = max(1, round((window + 1) * _WINDOW - now))
                raise TooManyRequests(_sentence(kind, limit, seconds), seconds) from error


def _sentence(kind: str, limit: int, seconds: int) -> str:
    name = kind.replace("-", " ")
    allowed = f"At most 1 {name} per minute is" if limit == 1 else f"At most {limit} {name}s per minute are"
    return f"{allowed} allowed. Try again in {seconds} {'second' if seconds == 1 else 'seconds'}."
