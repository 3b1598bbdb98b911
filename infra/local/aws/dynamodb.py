"""Changes to moto's DynamoDB that make it safe for many threads.

moto 5.2.5 handles requests in parallel without a lock. Its transaction copies each table that it touches: this takes
seconds for a large table, and answers 500 when another request writes at the same time. When a condition fails, moto
restores the copies and so undoes the writes of other requests. Here, requests run one after the other, and a
transaction checks all conditions before it writes.
"""

import threading
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import (
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend

_TARGET = "DynamoDB_"
_LARGEST_TRANSACTION = 100
_FAILED = ("ConditionalCheckFailed", "The conditional request failed", None)
_NO_FAULT = (None, None, None)
_CONDITION = ("ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues")


class OneAtATime:
    """A WSGI application in front of moto's that runs one DynamoDB request at a time."""

    def __init__(self, moto: WSGIApplication) -> None:
        self._moto = moto
        self._lock = threading.Lock()

    def __call__(self, environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not str(environment.get("HTTP_X_AMZ_TARGET", "")).startswith(_TARGET):
            return self._moto(environment, start_response)
        with self._lock:
            return self._moto(environment, start_response)


def mend_transactions() -> None:
    """Replaces moto's transaction in this process. It does not roll back a malformed action; the product sends none."""
    DynamoDBBackend.transact_write_items = _transact_write_items  # type: ignore[method-assign, assignment]  # see above


def _transact_write_items(backend: Any, transact_items: list[dict[str, dict[str, Any]]]) -> None:
    if len(transact_items) > _LARGEST_TRANSACTION:
        raise TooManyTransactionsException
    if any(len(item) != 1 for item in transact_items):
        raise TransactWriteSingleOpException
    actions = [next(iter(item.items())) for item in transact_items]
    keys = [_key(backend, kind, action) for kind, action in actions]
    named = {(action["TableName"], str(sorted(key.items()))) for (_, action), key in zip(actions, keys, strict=True)}
    if len(named) < len(actions):
        raise MultipleTransactionsException
    faults = [
        _NO_FAULT if _holds(backend, action, key) else _FAILED for (_, action), key in zip(actions, keys, strict=True)
    ]
    if _FAILED in faults:
        raise TransactionCanceledException(faults)
    for (kind, action), key in zip(actions, keys, strict=True):
        _write(backend, kind, action, key)


def _key(backend: Any, kind: str, action: dict[str, Any]) -> dict[str, Any]:
    if kind != "Put":
        key: dict[str, Any] = action["Key"]
        return key
    table = backend.get_table(action["TableName"])
    names = [name for name in (table.hash_key_attr, table.range_key_attr) if name is not None]
    return {name: action["Item"][name] for name in names}


def _holds(backend: Any, action: dict[str, Any], key: dict[str, Any]) -> bool:
    if "ConditionExpression" not in action:
        return True
    condition = get_filter_expression(*(action.get(name) for name in _CONDITION))
    return bool(condition.expr(backend.get_item(action["TableName"], key)))


def _write(backend: Any, kind: str, action: dict[str, Any], key: dict[str, Any]) -> None:
    table = action["TableName"]
    if kind == "Put":
        backend.put_item(table, action["Item"])
    elif kind == "Delete":
        backend.delete_item(table, key)
    elif kind == "Update":
        backend.update_item(
            table,
            key,
            update_expression=action["UpdateExpression"],
            expression_attribute_names=action.get("ExpressionAttributeNames"),
            expression_attribute_values=action.get("ExpressionAttributeValues"),
        )
