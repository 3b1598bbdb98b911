"""Slots in DynamoDB (``ports.Slots``), in the table ``coordination``: one item for each key, with its holders."""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import from_item, is_condition_failure, to_item
from chalicelib.errors import Unavailable
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 3600
"""Seconds after the last write at which DynamoDB may remove an item."""
_TRIES = 12
"""Writes of one call. A write loses only to others that create the item or remove the same ended holds."""


class DynamoDbSlots:
    """Holders of each key: their name and the end of their hold, in Unix seconds.

    The condition of a write counts the holders, so any number of owners may write one item at the same time without
    refusing each other. A slot costs one write; a second one creates the item or replaces ended holds.
    """

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def take(self, key: str, owner: str, limit: int, seconds: float) -> list[str] | None:
        for _ in range(_TRIES):
            now = self._clock()
            holders, taken = self._add(key, owner, now + seconds, limit)
            if not taken:
                # The write that replaces ended holds is conditional on them; one that creates the item, on no item.
                ended = {name: until for name, until in (holders or {}).items() if until <= now}
                if holders is not None and len(holders) - len(ended) >= limit:
                    return None
                holders, taken = self._replace(key, owner, now + seconds, None if holders is None else ended)
            if taken and holders is not None:
                return [name for name, until in holders.items() if until > now and name != owner]
        raise Unavailable("too many concurrent writers changed the slots")

    def _add(self, key: str, owner: str, until: float, limit: int) -> tuple[dict[str, float] | None, bool]:
        return self._update(
            key,
            "SET holders.#owner = :until, expires = :expires",
            "attribute_exists(holders.#owner) OR (attribute_exists(holders) AND size(holders) < :limit)",
            {"#owner": owner},
            {":until": until, ":limit": limit},
        )

    def _replace(
        self, key: str, owner: str, until: float, ended: dict[str, float] | None
    ) -> tuple[dict[str, float] | None, bool]:
        """Replace ended holds by one of ``owner``; None: create the item."""
        if ended is None:
            condition = "attribute_not_exists(holders)"
            created = {":holders": {owner: until}}
            return self._update(key, "SET holders = :holders, expires = :expires", condition, {}, created)
        names = {f"#e{n}": name for n, name in enumerate(ended)}
        values = {f":e{n}": end for n, end in enumerate(ended.values())}
        return self._update(
            key,
            "SET holders.#owner = :until, expires = :expires REMOVE " + ", ".join(f"holders.{n}" for n in names),
            " AND ".join(f"holders.#e{n} = :e{n}" for n in range(len(ended))),
            {"#owner": owner, **names},
            {":until": until, **values},
        )

    def _update(
        self, key: str, expression: str, condition: str, names: dict[str, str], values: dict[str, Any]
    ) -> tuple[dict[str, float] | None, bool]:
        """Return the holders after the write and True, or those that refused it (None: none stored) and False."""
        arguments: dict[str, Any] = {"ExpressionAttributeNames": names} if names else {}
        with translated("DynamoDB"):
            try:
                answer: Any = self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"id": _id(key)}),
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=to_item({**values, ":expires": int(self._clock()) + _KEPT}),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **arguments,
                )
            except ClientError as error:
                if not is_condition_failure(error):
                    raise
                stored: Any = error.response.get("Item")
                return from_item(stored).get("holders") if stored else None, False
        return from_item(answer["Attributes"])["holders"], True

    def give_back(self, key: str, owner: str) -> None:
        with translated("DynamoDB"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"id": _id(key)}),
                    UpdateExpression="REMOVE holders.#owner",
                    ConditionExpression="attribute_exists(holders.#owner)",
                    ExpressionAttributeNames={"#owner": owner},
                )
            except ClientError as error:
                # The hold had ended, and another owner replaced it.
                if not is_condition_failure(error):
                    raise

    def in_use(self, key: str) -> bool:
        with translated("DynamoDB"):
            answer = self._client.get_item(TableName=self._table, Key=to_item({"id": _id(key)}))
        holders = from_item(answer["Item"]).get("holders", {}) if "Item" in answer else {}
        return any(until > self._clock() for until in holders.values())


def _id(key: str) -> str:
    return f"slots#{key}"
