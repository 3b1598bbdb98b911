"""The event log in DynamoDB (``ports.EventLog``)."""

from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import page, partition, to_item
from chalicelib.domain.event import Event, Level
from chalicelib.kernel import cursors
from chalicelib.kernel.ids import first_id, is_id, last_id
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 30 * 86400
"""Seconds after which an event expires."""
_ANSWER_BYTES = 2_000_000
_FIELDS = ("id", "time", "level", "type", "connectionId", "message", "details")


class DynamoDbEventLog:
    """The events of all tenants, kept for 30 days.

    An item has the keys ``tenant`` and ``id`` (a ULID, so that ids sort by time) and the fields of the event.
    """

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def add(self, tenant: str, event: Event) -> None:
        scope = None if event.connection_id is None else partition(tenant, event.connection_id)
        item = event.to_json() | {"tenant": tenant, "connection": scope, "expires": int(self._clock()) + _KEPT}
        with translated("DynamoDB"):
            self._client.put_item(TableName=self._table, Item=to_item(item))

    def page(
        self,
        tenant: str,
        connection_id: str | None,
        *,
        since: float | None = None,
        until: float | None = None,
        level: Level | None = None,
        limit: int,
        cursor: str | None,
    ) -> tuple[list[Event], str | None]:
        """Return a page of events, newest first, and the cursor of the next page or None.

        ``since`` and ``until`` are Unix seconds, both included. Without ``connection_id``, the page covers the whole
        tenant. A page shorter than ``limit`` can have a next page. Raises InvalidRequest for a foreign cursor.
        """
        key, index = ("tenant", None) if connection_id is None else ("connection", "connections")
        scope_key = tenant if connection_id is None else partition(tenant, connection_id)
        scope = f"events#{scope_key}"
        low, high = first_id(since or 0.0), last_id(self._clock() + 86400 if until is None else until)
        names = {"#key": key}
        values: dict[str, Any] = {":partition": scope_key, ":low": low, ":high": high}
        parameters: dict[str, Any] = {}
        if cursor is not None:
            start = {"tenant": tenant, "id": _position(scope, cursor)}
            parameters["ExclusiveStartKey"] = to_item(start if index is None else start | {"connection": scope_key})
        if index is None:
            parameters["ConsistentRead"] = True
        else:
            parameters["IndexName"] = index
        if level is not None:
            names["#level"] = "level"
            values[":level"] = level.value
            parameters["FilterExpression"] = "#level = :level"
        if low > high:
            return [], None
        found = page(
            self._client,
            limit,
            _ANSWER_BYTES,
            TableName=self._table,
            KeyConditionExpression="#key = :partition AND id BETWEEN :low AND :high",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=to_item(values),
            ScanIndexForward=False,
            **parameters,
        )
        events = [Event.model_validate({name: item[name] for name in _FIELDS if name in item}) for item in found.items]
        return events, None if found.last_id is None else cursors.encode(scope, found.last_id)


def _position(scope: str, cursor: str) -> str:
    position = cursors.decode(scope, cursor)
    # The cursor's check value is not a signature, so a forged position must not reach the key.
    return position if is_id(position) else first_id(0)
