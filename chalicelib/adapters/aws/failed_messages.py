"""Messages that failed for good, in DynamoDB (``ports.FailedMessages``)."""

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.dynamodb import from_item, page, partition, query, to_item
from chalicelib.adapters.aws.readable import readable
from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.report import DEFAULT_FORMAT
from chalicelib.errors import Unavailable
from chalicelib.kernel import cursors
from chalicelib.kernel.ids import first_id, last_id
from chalicelib.kernel.stored_documents import read_stored
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 30 * 86400
"""Seconds after which a message expires."""
_PLAIN_BYTES = 1024
"""Maximum size of an uncompressed body."""
_MAX_BODY_BYTES = 300_000
"""Maximum stored size. A DynamoDB item has at most 400 KB. Reports have at most 256 KB; downlinks can be longer."""
_ANSWER_BYTES = 2_000_000
_BATCH = 25
_KEYS = ("connection", "id")
_TRIES = 5
_LISTED = ("id", "time", "direction", "status", "reason", "detail", "devEUI", "routingKey", "attempts", "messageId")
"""Attributes of a message without its body."""


class DynamoDbFailedMessages:
    """The failed messages of all connections, kept for 30 days.

    An item has the keys ``connection`` (``<tenant>#<id>``) and ``id`` (a ULID). Adding a message again changes nothing.
    A body is truncated to 300,000 bytes of UTF-8.
    """

    def __init__(
        self, client: "DynamoDBClient", table: str, clock: Clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._sleep = sleep

    def add(self, tenant: str, connection_id: str, messages: Sequence[FailedMessage]) -> None:
        scope, expires = partition(tenant, connection_id), int(self._clock()) + _KEPT
        # Unique by id, because DynamoDB rejects a whole batch that contains a key twice.
        items = {message.id: _to_item(scope, expires, message) for message in messages}
        self._write([{"PutRequest": {"Item": item}} for item in items.values()])

    def page(
        self,
        tenant: str,
        connection_id: str,
        limit: int,
        cursor: str | None,
        direction: Direction | None = None,
    ) -> tuple[list[FailedMessage], str | None]:
        """Return a page of messages, newest first, and the cursor of the next page or None.

        A page with large bodies is shorter than ``limit``. Raises InvalidRequest for a foreign cursor.
        """
        connection = partition(tenant, connection_id)
        scope = f"failed#{connection}"
        parameters: dict[str, Any] = {}
        names, values = {"#connection": "connection"}, {":connection": connection}
        if cursor is not None:
            start = {"connection": connection, "id": cursors.decode(scope, cursor)}
            parameters["ExclusiveStartKey"] = to_item(start)
        if direction is not None:
            values[":direction"] = direction.value
            parameters["FilterExpression"] = "#direction = :direction"
            names["#direction"] = "direction"
        found = page(
            self._client,
            limit,
            _ANSWER_BYTES,
            TableName=self._table,
            KeyConditionExpression="#connection = :connection",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=to_item(values),
            ScanIndexForward=False,
            ConsistentRead=True,
            **parameters,
        )
        messages = list(readable(found.items, _from_item, *_KEYS))
        return messages, None if found.last_id is None else cursors.encode(scope, found.last_id)

    def some(self, tenant: str, connection_id: str, ids: Sequence[str]) -> list[FailedMessage]:
        """Return the existing messages among ``ids`` (at most 100, each once), in any order. Raises Unavailable."""
        connection = partition(tenant, connection_id)
        wanted: dict[str, Any] = {
            self._table: {
                "Keys": [to_item({"connection": connection, "id": id_}) for id_ in ids],
                "ConsistentRead": True,
            }
        }
        found: list[FailedMessage] = []
        idle = 0
        while wanted and ids:
            with translated("DynamoDB"):
                answer = self._client.batch_get_item(RequestItems=wanted)
            items = answer["Responses"].get(self._table, [])
            found += readable(map(from_item, items), _from_item, *_KEYS)
            # A response has at most 16 MB, so unprocessed keys do not imply throttling.
            wanted = dict(answer.get("UnprocessedKeys", {}))
            idle = 0 if items else idle + 1
            if wanted and idle == _TRIES:
                raise Unavailable("DynamoDB is throttling")
            if wanted and idle:
                self._sleep(0.05 * 2**idle)
        return found

    def oldest_first(self, tenant: str, connection_id: str, last: str) -> Iterator[FailedMessage]:
        """Yield all messages up to the id ``last``, with one page in memory at a time."""
        parameters = self._all_parameters(tenant, connection_id)
        parameters["ExpressionAttributeValues"] |= to_item({":last": last})
        parameters["KeyConditionExpression"] += " AND id <= :last"
        yield from readable(query(self._client, **parameters), _from_item, *_KEYS)

    def between(
        self, tenant: str, connection_id: str, since: float, until: float, device: str | None = None
    ) -> list[FailedMessage]:
        """Return the messages that failed from ``since`` to before ``until`` (Unix seconds), without their bodies."""
        names = {"#connection": "connection"} | {f"#{name}": name for name in _LISTED}
        values: dict[str, Any] = {
            ":connection": partition(tenant, connection_id),
            ":first": first_id(since),
            ":last": last_id(until - 0.001),
        }
        parameters: dict[str, Any] = {}
        if device is not None:
            values[":device"] = device
            parameters["FilterExpression"] = "#devEUI = :device"
        found = query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="#connection = :connection AND #id BETWEEN :first AND :last",
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=to_item(values),
            **parameters,
        )
        return list(readable(({"bodyText": ""} | item for item in found), _from_item, *_KEYS))

    def remove(self, tenant: str, connection_id: str, ids: Sequence[str]) -> None:
        """Delete messages. Ids that do not exist are ignored."""
        connection = partition(tenant, connection_id)
        keys = [to_item({"connection": connection, "id": id_}) for id_ in ids]
        self._write([{"DeleteRequest": {"Key": key}} for key in keys])

    def purge(self, tenant: str, connection_id: str, direction: Direction | None = None) -> None:
        """Delete all messages, or those of one direction."""
        parameters = self._all_parameters(tenant, connection_id)
        parameters["ProjectionExpression"] = "id"
        if direction is not None:
            parameters["ExpressionAttributeValues"] |= to_item({":direction": direction.value})
            parameters["ExpressionAttributeNames"] |= {"#direction": "direction"}
            parameters["FilterExpression"] = "#direction = :direction"
        batch: list[str] = []
        for item in query(self._client, **parameters):
            batch.append(item["id"])
            if len(batch) == _BATCH:
                self.remove(tenant, connection_id, batch)
                batch = []
        self.remove(tenant, connection_id, batch)

    def _all_parameters(self, tenant: str, connection_id: str) -> dict[str, Any]:
        """Return the parameters of a query for all messages of a connection."""
        return {
            "TableName": self._table,
            "KeyConditionExpression": "#connection = :connection",
            "ExpressionAttributeNames": {"#connection": "connection"},
            "ExpressionAttributeValues": to_item({":connection": partition(tenant, connection_id)}),
            "ConsistentRead": True,
        }

    def _write(self, requests: Sequence[Any]) -> None:
        for start in range(0, len(requests), _BATCH):
            pending: list[Any] = list(requests[start : start + _BATCH])
            for attempt in range(_TRIES):
                with translated("DynamoDB"):
                    answer = self._client.batch_write_item(RequestItems={self._table: pending})
                pending = list(answer.get("UnprocessedItems", {}).get(self._table, []))
                if not pending:
                    break
                self._sleep(0.05 * 2**attempt)
            else:
                raise Unavailable("DynamoDB is throttling")


def _to_item(connection: str, expires: int, message: FailedMessage) -> dict[str, Any]:
    values = message.to_json() | {"connection": connection, "expires": expires, "messageId": message.message_id}
    values["asKeySecret"] = message.as_key_secret
    values |= {"format": message.report_format, "driver": message.driver, "validity": message.validity}
    del values["body"]
    body = message.body.encode("utf-8", errors="replace")[:_MAX_BODY_BYTES]
    if len(body) > _PLAIN_BYTES:
        values |= {"bodyZlib": zlib.compress(body), "bodyBytes": len(body)}
    else:
        values["bodyText"] = body.decode("utf-8", errors="ignore")
    return to_item(values)


def _from_item(item: Mapping[str, Any]) -> FailedMessage:
    if "bodyZlib" in item:
        # Truncation can leave a part of a character at the end.
        body = zlib.decompress(item["bodyZlib"]).decode("utf-8", errors="ignore")
    else:
        body = item["bodyText"]
    own = {"connection", "expires", "messageId", "bodyZlib", "bodyBytes", "bodyText", "asKeySecret", "format"}
    fields = {name: value for name, value in item.items() if name not in own}
    hidden = {"message_id": item.get("messageId", ""), "as_key_secret": item.get("asKeySecret")}
    hidden["report_format"] = item.get("format", DEFAULT_FORMAT)
    return read_stored(FailedMessage, fields | hidden | {"body": body})
