"""The event log in DynamoDB (``ports.EventLog``)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import Update, page, partition, to_item
from chalicelib.adapters.aws.readable import readable
from chalicelib.domain.event import Event, Level
from chalicelib.kernel import cursors
from chalicelib.kernel.ids import first_id, is_id, last_id
from chalicelib.kernel.stored_documents import read_stored
from chalicelib.kernel.times import iso_time
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
        item = event.to_json() | {
            "tenant": tenant,
            "connection": _partition(tenant, event),
            "expires": int(self._clock()) + _KEPT,
        }
        with translated("DynamoDB"):
            self._client.put_item(TableName=self._table, Item=to_item(item))

    def add_up(self, tenant: str, event: Event, number: int) -> None:
        first = event.to_json() | {"connection": _partition(tenant, event), "expires": int(self._clock()) + _KEPT}
        update = Update({})
        for name, value in first.items():
            if name != "id" and value is not None:
                update.set_once(name, value)
        update.add("count", number)
        arguments = update.arguments("", {})
        del arguments["ConditionExpression"]
        with translated("DynamoDB"):
            self._client.update_item(
                TableName=self._table, Key=to_item({"tenant": tenant, "id": event.id}), **arguments
            )

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
        # An event that counts the occurrences of a minute or an hour has the id of its start.
        low, high = (
            first_id(int(since or 0.0) // 3600 * 3600),
            last_id(self._clock() + 86400 if until is None else until),
        )
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
        filters = []
        if level is not None:
            names["#level"] = "level"
            values[":level"] = level.value
            filters.append("#level = :level")
        if since is not None:
            names["#time"] = "time"
            values[":since"] = iso_time(since)
            filters.append("#time >= :since")
        if filters:
            parameters["FilterExpression"] = " AND ".join(filters)
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
        # A counted event's id is older than its time.
        events = sorted(readable(found.items, _event_of, "tenant", "id"), key=lambda event: event.time, reverse=True)
        return events, None if found.last_id is None else cursors.encode(scope, found.last_id)


def _partition(tenant: str, event: Event) -> str | None:
    return None if event.connection_id is None else partition(tenant, event.connection_id)


def _event_of(item: Mapping[str, Any]) -> Event:
    event = read_stored(Event, {name: item[name] for name in _FIELDS if name in item})
    counted = {"count": item["count"]} if "count" in item else {}
    return event.model_copy(update={"details": {**event.details, **counted}})


def _position(scope: str, cursor: str) -> str:
    position = cursors.decode(scope, cursor)
    # The cursor's check value is not a signature, so a forged position must not reach the key.
    return position if is_id(position) else first_id(0)
