"""Leases in the table ``coordination``: one consumer for each connection (``ports.coordination.Leases``)."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import is_condition_failure, to_item
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 3600
"""Seconds after which DynamoDB may remove an expired lease."""


class DynamoDbLeases:
    """``seconds``: how long a lease holds without renewal. The attribute ``leaseUntil`` decides: DynamoDB removes
    expired items days late."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock, seconds: float) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._seconds = seconds

    def acquire(self, connection_id: str, owner: str) -> bool:
        now = self._clock()
        lease = {"id": connection_id, "owner": owner, "leaseUntil": now + self._seconds, "expires": int(now) + _KEPT}
        with translated("DynamoDB"):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=to_item(lease),
                    ConditionExpression="attribute_not_exists(id) OR leaseUntil <= :now OR #owner = :owner",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues=to_item({":now": now, ":owner": owner}),
                )
            except ClientError as error:
                if is_condition_failure(error):
                    return False
                raise
        return True

    def release(self, connection_id: str, owner: str) -> None:
        with translated("DynamoDB"):
            try:
                self._client.delete_item(
                    TableName=self._table,
                    Key=to_item({"id": connection_id}),
                    ConditionExpression="#owner = :owner",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues=to_item({":owner": owner}),
                )
            except ClientError as error:
                # Another consumer holds the lease, so this one has nothing to release.
                if not is_condition_failure(error):
                    raise
