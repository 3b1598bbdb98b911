"""Counters of costly calls by tenant and minute in the table ``coordination`` (``ports.coordination.RateLimits``)."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import is_condition_failure, to_item
from chalicelib.errors import TooManyRequests
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_WINDOW = 60
"""Seconds."""
_KEPT = 3600


class DynamoDbRateLimits:
    """One counter a tenant, kind and minute; DynamoDB removes it later."""

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
                detail = f"at most {limit} calls per minute are allowed ({kind}); try again in {seconds} seconds"
                raise TooManyRequests(detail, seconds) from error
