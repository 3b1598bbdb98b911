"""Helpers of the stores for DynamoDB: attribute values, queries over all pages, updates and transactions."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.errors import Unavailable
from chalicelib.kernel.batches import batched

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = Mapping[str, Any]
"""An item in the format of the SDK: attribute name → ``{"S": "..."}``."""

TRIES = 6
"""Attempts of a write that conflicts with another write of the same item."""
_PAGES_PER_REQUEST = 20
_BATCH = 100
"""Keys of a BatchGetItem call."""
_FAILED = "ConditionalCheckFailed"


def to_value(value: Any) -> dict[str, Any]:  # noqa: PLR0911  # one return for each type
    """Return the attribute value of a JSON value, of bytes or of a set of bytes.

    Numbers are sent as text and keep every digit.
    """
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | float():
            return {"N": repr(value)}
        case bytes():
            return {"B": value}
        case frozenset():
            return {"BS": sorted(value)}
        case Mapping():
            return {"M": {key: to_value(inner) for key, inner in value.items()}}
        case list() | tuple():
            return {"L": [to_value(inner) for inner in value]}
    raise TypeError(f"no attribute value for {type(value).__name__}")


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item of a mapping, without attributes that are None, because sparse indexes need them missing."""
    return {key: to_value(value) for key, value in values.items() if value is not None}


def from_value(value: Mapping[str, Any]) -> Any:  # noqa: PLR0911  # one return for each type
    """Return the value of an attribute value, the inverse of ``to_value``. Whole numbers become int."""
    ((kind, inner),) = value.items()
    match kind:
        case "NULL":
            return None
        case "N":
            return int(inner) if inner.lstrip("-").isdigit() else float(inner)
        case "B":
            return bytes(inner)
        case "BS":
            return frozenset(map(bytes, inner))
        case "M":
            return {key: from_value(each) for key, each in inner.items()}
        case "L":
            return [from_value(each) for each in inner]
        case _:
            return inner


def from_item(item: Item) -> dict[str, Any]:
    """Return the values of an item by attribute name."""
    return {key: from_value(value) for key, value in item.items()}


def query(client: "DynamoDBClient", **parameters: Any) -> Iterator[dict[str, Any]]:
    """Yield the items of all pages of a query, with one page in memory at a time."""
    while True:
        with translated("DynamoDB"):
            answer = client.query(**parameters)
        yield from (from_item(item) for item in answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def batch_get(
    client: "DynamoDBClient", table: str, keys: Sequence[Mapping[str, Any]], *, consistent: bool
) -> Iterator[dict[str, Any]]:
    """Yield the items of these keys that exist, in any order. Raises Unavailable."""
    for part in batched(keys, _BATCH):
        request: Any = {table: {"Keys": [to_item(key) for key in part], "ConsistentRead": consistent}}
        for attempt in range(TRIES):
            with translated("DynamoDB"):
                answer = client.batch_get_item(RequestItems=request)
            yield from (from_item(item) for item in answer["Responses"].get(table, []))
            request = answer.get("UnprocessedKeys")
            if not request:
                break
            await_turn(attempt, time.sleep)
        else:
            raise Unavailable("DynamoDB did not process all keys of a batch")


@dataclass(frozen=True)
class Page:
    """A page of items. ``last_id``: the id after which the next page begins, or None on the last page."""

    items: list[dict[str, Any]]
    last_id: str | None


def page(client: "DynamoDBClient", limit: int, max_bytes: int, **parameters: Any) -> Page:
    """Return up to ``limit`` items of a query whose range key is ``id``.

    The page is shorter when items are large or few match a filter. ``max_bytes`` bounds the size of the items, because
    a Lambda response has at most 6 MB. The page contains at least one item if any matches.
    """
    found: list[dict[str, Any]] = []
    size = 0
    for _ in range(_PAGES_PER_REQUEST):
        with translated("DynamoDB"):
            answer = client.query(**parameters)
        for raw in answer["Items"]:
            item_size = _size(raw)
            if found and (len(found) == limit or size + item_size > max_bytes):
                return Page(found, found[-1]["id"])
            found.append(from_item(raw))
            size += item_size
        if "LastEvaluatedKey" not in answer:
            return Page(found, None)
        parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
    return Page(found, parameters["ExclusiveStartKey"]["id"]["S"])


def _size(item: Item) -> int:
    # bodyBytes is the uncompressed size of a compressed body.
    return sum(len(value.get("S", "")) for value in item.values()) + int(item.get("bodyBytes", {"N": "0"})["N"])


class Update:
    """The expression of an UpdateItem call: sets attributes that have a value and removes those that are None.

    Attribute names are placeholders, because many names are reserved words.
    """

    def __init__(self, changes: Mapping[str, Any]) -> None:
        self.names = {f"#{name}": name for name in changes}
        self._values = {f":{name}": value for name, value in changes.items() if value is not None}
        self._sets = [f"#{name} = :{name}" for name, value in changes.items() if value is not None]
        self._removals = [f"#{name}" for name, value in changes.items() if value is None]
        self._additions: list[str] = []

    def set_once(self, name: str, value: Any) -> None:
        """Set an attribute if the item does not have it yet."""
        self.names[f"#{name}"] = name
        self._values[f":{name}"] = value
        self._sets.append(f"#{name} = if_not_exists(#{name}, :{name})")

    def add(self, name: str, difference: int) -> None:
        """Add to the current value of a number."""
        self.names[f"#{name}"] = name
        self._values[f":{name}"] = difference
        self._additions.append(f"#{name} :{name}")

    def arguments(self, condition: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the SDK call.

        ``values``: the values of the placeholders in ``condition``; they must differ from the changes' placeholders.
        """
        all_values = {**self._values, **values}
        clauses = [("SET", self._sets), ("REMOVE", self._removals), ("ADD", self._additions)]
        return {
            "UpdateExpression": " ".join(f"{word} {', '.join(parts)}" for word, parts in clauses if parts),
            "ConditionExpression": condition,
            "ExpressionAttributeNames": self.names,
            # DynamoDB refuses an empty mapping.
            **({"ExpressionAttributeValues": to_item(all_values)} if all_values else {}),
        }


def transact(
    client: "DynamoDBClient", table: str, actions: Sequence[Mapping[str, Any]], sleep: Callable[[float], None]
) -> list[bool]:
    """Run a transaction; return for each action whether its condition failed. Without a failure, all is written.

    ``actions``: kind → arguments without the table. Retries while other transactions change the same item.
    Raises Unavailable.
    """
    request: list[Any] = [
        {kind: {"TableName": table, **arguments}} for action in actions for kind, arguments in action.items()
    ]
    for attempt in range(TRIES):
        with translated("DynamoDB"):
            try:
                client.transact_write_items(TransactItems=request)
            except ClientError as error:
                reasons = [reason.get("Code", "") for reason in error.response.get("CancellationReasons", [])]
                if _FAILED in reasons:
                    return [reason == _FAILED for reason in reasons]
                if "TransactionConflict" not in reasons or attempt == TRIES - 1:
                    raise
            else:
                return [False] * len(actions)
        await_turn(attempt, sleep)
    raise AssertionError


def conditional_update(
    client: "DynamoDBClient", table: str, arguments: Mapping[str, Any], sleep: Callable[[float], None]
) -> bool:
    """Run an UpdateItem call; return False if its condition failed.

    ``arguments``: those of the SDK call without the table. Retries while transactions change the same item.
    Raises Unavailable.
    """
    for attempt in range(TRIES):
        with translated("DynamoDB"):
            try:
                client.update_item(TableName=table, **arguments)
            except ClientError as error:
                if is_condition_failure(error):
                    return False
                # A transaction of the API on the same item takes a few milliseconds.
                if error_code(error) != "TransactionConflictException" or attempt == TRIES - 1:
                    raise
            else:
                return True
        await_turn(attempt, sleep)
    raise AssertionError


def await_turn(attempt: int, sleep: Callable[[float], None]) -> None:
    """Back off with jitter, longer at each attempt, while another writer changes the same item."""
    sleep(random.uniform(0.01, 0.04) * 2**attempt)  # noqa: S311  # not for cryptography


def partition(tenant: str, *rest: str) -> str:
    """Return a partition key of a tenant, such as ``<tenant>#<connection id>``."""
    return "#".join((tenant, *rest))


def is_condition_failure(error: ClientError) -> bool:
    """Return whether a conditional write failed because its condition did not hold."""
    return error_code(error) == "ConditionalCheckFailedException"
