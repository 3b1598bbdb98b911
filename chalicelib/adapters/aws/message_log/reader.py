"""Reader of the message log (``ports.MessageLog``)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.dynamodb import partition, query, to_item
from chalicelib.adapters.aws.message_log.blocks import decode
from chalicelib.adapters.aws.message_log.items import ATTRIBUTE, further, further_range
from chalicelib.adapters.aws.readable import readable
from chalicelib.domain.messages.entries import LogEntry

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


_BLOCK = "block"


class DynamoDbMessageLog:
    """The message log of all connections, in the items of the statistics."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def entries(
        self, tenant: str, connection_id: str, first_minute: int, last_minute: int, device: str | None = None
    ) -> list[LogEntry]:
        own = partition(tenant, connection_id)
        ranges = (
            (own, first_minute, last_minute),
            (further(own), *further_range(first_minute, last_minute)),
        )

        def entries_of(item: Mapping[str, Any]) -> list[LogEntry]:
            return list(decode(item[_BLOCK], device))

        return [
            entry
            for connection, first, last in ranges
            for entries in readable(self._blocks(connection, first, last), entries_of, "connection", "sort")
            for entry in entries
        ]

    def _blocks(self, connection: str, first: int, last: int) -> Iterator[dict[str, Any]]:
        """Yield the blocks, each with its item's key: drains of two releases may have written to one item."""
        for item in self._items(connection, first, last):
            log = item[ATTRIBUTE]
            for block in log if isinstance(log, frozenset) else [log]:
                yield {"connection": item["connection"], "sort": item["sort"], _BLOCK: block}

    def _items(self, connection: str, first: int, last: int) -> Iterator[dict[str, Any]]:
        return query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="#connection = :connection AND #sort BETWEEN :first AND :last",
            FilterExpression="attribute_exists(#log)",
            ProjectionExpression="#connection, #sort, #log",
            ExpressionAttributeNames={"#connection": "connection", "#sort": "sort", "#log": ATTRIBUTE},
            ExpressionAttributeValues=to_item({":connection": connection, ":first": first, ":last": last}),
        )
