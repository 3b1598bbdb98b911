"""Slots in DynamoDB (``ports.Slots``), in the table ``coordination``: one item for each key, with its holders."""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from ulid import ULID

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import from_item, is_condition_failure, to_item
from chalicelib.errors import Unavailable
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 3600
"""Seconds after the last write at which DynamoDB may remove an item."""
_TRIES = 12
_LONGEST_PAUSE = 0.05
"""Attempts of a write that loses to others, and seconds between them: twenty drains of a tenant may write one item."""


class DynamoDbSlots:
    """Holders of each key: their name and the end of their hold, in Unix seconds.

    A first holder costs one write. Further ones cost two, because the refused write returns the holders.
    """

    def __init__(
        self, client: "DynamoDBClient", table: str, clock: Clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._sleep = sleep

    def take(self, key: str, owner: str, limit: int, seconds: float) -> int | None:
        revision, holders = "", dict[str, float]()
        for attempt in range(_TRIES):
            if attempt > 1:  # the first refusal only shows the holders
                self._sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311  # spreads the writers
            now = self._clock()
            others = {name: until for name, until in holders.items() if until > now and name != owner}
            if len(others) >= limit:
                return None
            stored = self._write(key, {**others, owner: now + seconds}, revision, now)
            if stored is None:
                return len(others)
            revision, holders = stored["revision"], stored["holders"]
        raise Unavailable("too many concurrent writers changed the slots")

    def _write(self, key: str, holders: dict[str, float], revision: str, now: float) -> dict[str, Any] | None:
        """Write the holders over ``revision``, or over no or ended ones. Return the stored item if it is another."""
        latest = max(holders.values())
        item = {
            "id": _id(key),
            "holders": holders,
            "until": latest,
            "revision": str(ULID()),
            "expires": int(now) + _KEPT,
        }
        with translated("DynamoDB"):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=to_item(item),
                    ConditionExpression="attribute_not_exists(id) OR #until <= :now OR revision = :revision",
                    ExpressionAttributeNames={"#until": "until"},
                    ExpressionAttributeValues=to_item({":now": now, ":revision": revision}),
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise
                stored: Any = error.response.get("Item", {})
                return from_item(stored)
        return None

    def give_back(self, key: str, owner: str) -> None:
        with translated("DynamoDB"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"id": _id(key)}),
                    UpdateExpression="REMOVE holders.#owner SET revision = :revision",
                    ConditionExpression="attribute_exists(holders.#owner)",
                    ExpressionAttributeNames={"#owner": owner},
                    ExpressionAttributeValues=to_item({":revision": str(ULID())}),
                )
            except ClientError as error:
                # The hold had ended, and another owner wrote the item.
                if not is_condition_failure(error):
                    raise


def _id(key: str) -> str:
    return f"slots#{key}"
