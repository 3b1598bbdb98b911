"""Leases in DynamoDB (``ports.Leases``), in the table ``coordination``."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import from_item, is_condition_failure, to_item
from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import LeaseAnswer, LeaseHolder

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 3600
"""Seconds after the last renewal at which DynamoDB may remove a lease."""


class DynamoDbLeases:
    """The leases of all connections: at most one owner holds a connection's lease at a time.

    ``seconds``: duration of a lease without renewal. The attribute ``leaseUntil`` decides whether a lease holds,
    because DynamoDB removes expired items days late.
    """

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock, seconds: float) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._seconds = seconds

    def acquire(self, connection_id: str, holder: LeaseHolder) -> LeaseAnswer:
        now = self._clock()
        lease = {
            "id": connection_id,
            "owner": holder.owner,
            "leaseUntil": now + self._seconds,
            "expires": int(now) + _KEPT,
            "began": holder.began,
            "renewsAt": holder.renews_at,
        }
        with translated("DynamoDB"):
            try:
                answer = self._client.put_item(
                    TableName=self._table,
                    Item=to_item(lease),
                    ConditionExpression="attribute_not_exists(id) OR leaseUntil <= :now OR #owner = :owner",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues=to_item({":now": now, ":owner": holder.owner}),
                    # The write removes askedFor, so its own answer must report it.
                    ReturnValues="ALL_OLD",
                )
            except ClientError as error:
                if is_condition_failure(error):
                    return LeaseAnswer.REFUSED
                raise
        before = from_item(answer.get("Attributes", {}))
        asked = before.get("owner") == holder.owner and "askedFor" in before
        return LeaseAnswer.ASKED_FOR if asked else LeaseAnswer.HELD

    def holder(self, connection_id: str) -> LeaseHolder | None:
        with translated("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table, Key=to_item({"id": connection_id}), ConsistentRead=True
            )
        lease = from_item(answer.get("Item", {}))
        if not lease or lease["leaseUntil"] <= self._clock():
            return None
        return LeaseHolder(lease["owner"], lease.get("began", 0.0), lease.get("renewsAt", 0.0))

    def ask(self, connection_id: str, owner: str) -> None:
        with translated("DynamoDB"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"id": connection_id}),
                    UpdateExpression="SET askedFor = :now",
                    ConditionExpression="#owner = :owner",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues=to_item({":owner": owner, ":now": self._clock()}),
                )
            except ClientError as error:
                # The lease changed hands or is free, which the next read shows.
                if not is_condition_failure(error):
                    raise

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
                # Another owner holds the lease, so there is nothing to release.
                if not is_condition_failure(error):
                    raise
