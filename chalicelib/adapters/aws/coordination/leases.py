"""Leases in DynamoDB (``ports.Leases``), in the table ``coordination``.

- ``poll#<owner>``: the lease of a poll, with the connections that others asked for and those that it released. Both
  are sets of short hashes, so that the item is written for one or two write units.
- a connection's id: its hold. Earlier releases renew it, and know no lease of a poll: for them it also has an end,
  which is later than that of the function that wrote it.
"""

import hashlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import batch_get, from_item, is_condition_failure, to_item
from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import Hold, PollLease

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 3600
"""Seconds after the last write at which DynamoDB may remove an item."""
_ASKED, _RELEASED = "asked", "released"


class DynamoDbLeases:
    """The leases of all polls, and the holds of all connections.

    ``seconds``: duration of a lease without renewal. ``longest``: the time-out of the function that polls. The
    attribute ``leaseUntil`` decides whether a lease holds, because DynamoDB removes expired items days late.
    """

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock, seconds: float, longest: float) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._seconds = seconds
        self._longest = longest

    # Leases of polls

    def begin(self, owner: str, renews_at: float) -> None:
        now = self._clock()
        lease = {
            "id": _lease_id(owner),
            "leaseUntil": now + self._seconds,
            "expires": int(now) + _KEPT,
            "renewsAt": renews_at,
        }
        with translated("DynamoDB"):
            self._client.put_item(TableName=self._table, Item=to_item(lease))

    def renew(self, owner: str, renews_at: float, held: Collection[str]) -> frozenset[str] | None:
        now = self._clock()
        stored = self._update(
            owner,
            "SET leaseUntil = :until, expires = :expires, renewsAt = :renewsAt",
            "attribute_exists(id) AND leaseUntil > :now",
            {":now": now, ":until": now + self._seconds, ":expires": int(now) + _KEPT, ":renewsAt": renews_at},
        )
        return None if stored is None else _among(held, stored.get(_ASKED))

    def lease(self, owner: str, wanted: Collection[str]) -> PollLease | None:
        now = self._clock()
        with translated("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table, Key=to_item({"id": _lease_id(owner)}), ConsistentRead=True
            )
        lease = from_item(answer.get("Item", {}))
        if not lease or (lease["leaseUntil"] <= now and self._end_expired(owner, now)):
            return None
        return PollLease(lease["renewsAt"], _among(wanted, lease.get(_RELEASED)))

    def _end_expired(self, owner: str, now: float) -> bool:
        """Delete an expired lease; return False if its owner renewed it meanwhile."""
        with translated("DynamoDB"):
            try:
                self._client.delete_item(
                    TableName=self._table,
                    Key=to_item({"id": _lease_id(owner)}),
                    ConditionExpression="attribute_not_exists(id) OR leaseUntil <= :now",
                    ExpressionAttributeValues=to_item({":now": now}),
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise
                return False
        return True

    def ask(self, owner: str, wanted: Collection[str]) -> None:
        self._update(owner, f"ADD {_ASKED} :ids", "attribute_exists(id)", {":ids": _hashes(wanted)})

    def release(self, owner: str, closed: Collection[str]) -> None:
        # An id is in one of both sets, so that the item stays small.
        expression = f"ADD {_RELEASED} :ids DELETE {_ASKED} :ids"
        self._update(owner, expression, "attribute_exists(id)", {":ids": _hashes(closed)})

    def end(self, owner: str) -> None:
        with translated("DynamoDB"):
            self._client.delete_item(TableName=self._table, Key=to_item({"id": _lease_id(owner)}))

    def _update(self, owner: str, expression: str, condition: str, values: dict[str, Any]) -> dict[str, Any] | None:
        """Return the lease after an update, None if its condition failed."""
        with translated("DynamoDB"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"id": _lease_id(owner)}),
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=to_item(values),
                    ReturnValues="ALL_NEW",
                )
            except ClientError as error:
                if is_condition_failure(error):
                    return None
                raise
        return from_item(answer["Attributes"])

    # Holds of connections

    def holds(self, connection_ids: Collection[str]) -> dict[str, Hold]:
        now = self._clock()
        # A write is conditional on the hold that was read, so a read at half the price is enough.
        items = batch_get(self._client, self._table, [{"id": id_} for id_ in connection_ids], consistent=False)
        return {
            item["id"]: Hold(
                item["owner"], item.get("began", 0.0), None if item.get("byPoll") else item.get("renewsAt", 0.0)
            )
            for item in items
            if item["leaseUntil"] > now
        }

    def take(self, connection_id: str, hold: Hold, before: str | None) -> bool:
        now = self._clock()
        item = {
            "id": connection_id,
            "owner": hold.owner,
            "began": hold.began,
            "byPoll": True,
            # An earlier release reads it, and renews nothing.
            "renewsAt": now + self._longest,
            "leaseUntil": now + self._longest,
            "expires": int(now) + _KEPT,
        }
        with translated("DynamoDB"):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=to_item(item),
                    ConditionExpression="attribute_not_exists(id) OR leaseUntil <= :now OR #owner IN (:owner, :before)",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues=to_item(
                        {":now": now, ":owner": hold.owner, ":before": before or hold.owner}
                    ),
                )
            except ClientError as error:
                if is_condition_failure(error):
                    return False
                raise
        return True

    def ask_earlier_release(self, connection_id: str, owner: str) -> None:
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
                # The hold changed hands or is gone, which the next read shows.
                if not is_condition_failure(error):
                    raise


def _lease_id(owner: str) -> str:
    return f"poll#{owner}"


def _hash(connection_id: str) -> bytes:
    return hashlib.blake2b(connection_id.encode(), digest_size=8).digest()


def _hashes(connection_ids: Collection[str]) -> frozenset[bytes]:
    return frozenset(map(_hash, connection_ids))


def _among(connection_ids: Collection[str], hashes: frozenset[bytes] | None) -> frozenset[str]:
    return frozenset(id_ for id_ in connection_ids if _hash(id_) in hashes) if hashes else frozenset()
