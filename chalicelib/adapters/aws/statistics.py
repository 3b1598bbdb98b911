"""Statistics in DynamoDB (``ports.StatisticsWriter``, ``ports.StatisticsReader``).

This module keeps the counters per minute. ``devices`` and ``waiting_downlinks`` keep the other statistics in the same
table.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.devices import minutes
from chalicelib.adapters.aws.devices.sketches import DynamoDbDeviceSketches
from chalicelib.adapters.aws.dynamodb import from_item, partition, query, to_item
from chalicelib.adapters.aws.readable import readable
from chalicelib.adapters.aws.waiting_downlinks import DynamoDbWaitingDownlinks
from chalicelib.errors import Unavailable
from chalicelib.kernel.theta_sketch import Sketch
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 8 * 86400
"""Seconds after which a counter expires."""
_NO_COUNTERS = {"connection", "sort", "expires"}


class DynamoDbStatistics:
    """The statistics of all connections, kept for 8 days.

    An item of counters has the keys ``connection`` (``<tenant>#<id>``) and ``sort`` (Unix time / 60), and the first
    devices of its minute.
    """

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._minutes = minutes.MinuteDevices()
        self._sketches = DynamoDbDeviceSketches(client, table, clock)
        self._downlinks = DynamoDbWaitingDownlinks(client, table, clock)

    def add(self, tenant: str, connection_id: str, counts: Mapping[str, int], devices: Collection[str] = ()) -> None:
        key, minute = partition(tenant, connection_id), int(self._clock() // 60)
        with_counters, others = self._minutes.choose(key, minute, devices)
        # Recorded first, so that the devices are kept for the next write if the counters cannot be written.
        self._sketches.note(tenant, connection_id, others)
        try:
            self._count(key, minute, counts, with_counters)
        except Unavailable:
            self._sketches.note(tenant, connection_id, devices)
            raise
        self._sketches.write(tenant, connection_id)

    def mark_waiting(self, tenant: str, connection_id: str, names: Sequence[str]) -> None:
        self._downlinks.mark_waiting(tenant, connection_id, names)

    def clear_waiting(self, tenant: str, connection_id: str, name: str) -> None:
        self._downlinks.clear(tenant, connection_id, name)

    def waiting_downlinks(self, tenant: str, connection_id: str) -> int:
        """Return the number of downlinks that were received from the broker and are not settled."""
        return self._downlinks.waiting(tenant, connection_id)

    def active_devices(self, tenant: str, connection_id: str, first_minute: int, last_minute: int) -> int:
        """Return the number of devices with a delivered uplink in these minutes; ``last_minute`` is the current one."""
        sets = readable(
            self._items(tenant, connection_id, first_minute, last_minute, minutes.ATTRIBUTE),
            lambda item: (minutes.sketch_of(item), 0),
            "connection",
            "sort",
        )
        sketches = self._sketches.active(tenant, connection_id, first_minute, last_minute)
        return Sketch.count([*sets, *sketches])

    def _count(self, key: str, minute: int, counts: Mapping[str, int], devices: Collection[bytes]) -> None:
        additions: dict[str, Any] = {name: count for name, count in counts.items() if count}
        if devices:
            additions[minutes.ATTRIBUTE] = frozenset(devices)
        if not additions:
            return
        expression = ", ".join(f"#c{index} :c{index}" for index in range(len(additions)))
        values = {f":c{index}": value for index, value in enumerate(additions.values())}
        with translated("DynamoDB"):
            answer = self._client.update_item(
                TableName=self._table,
                Key=to_item({"connection": key, "sort": minute}),
                UpdateExpression=f"ADD {expression} SET expires = :expires",
                ExpressionAttributeNames={f"#c{index}": name for index, name in enumerate(additions)},
                ExpressionAttributeValues=to_item(values | {":expires": minute * 60 + _KEPT}),
                ReturnValues="UPDATED_NEW" if devices else "NONE",
            )
        if devices:
            # The whole set shows the devices of other functions, too.
            stored = from_item(answer.get("Attributes", {})).get(minutes.ATTRIBUTE, ())
            self._minutes.note(key, minute, {*devices, *stored})

    def _items(
        self, tenant: str, connection_id: str, first_minute: int, last_minute: int, attribute: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of these minutes, only those with ``attribute`` if one is named."""
        only = {} if attribute is None else {"FilterExpression": f"attribute_exists({attribute})"}
        return query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="#connection = :connection AND #sort BETWEEN :first AND :last",
            ExpressionAttributeNames={"#connection": "connection", "#sort": "sort"},
            ExpressionAttributeValues=to_item(
                {":connection": partition(tenant, connection_id), ":first": first_minute, ":last": last_minute}
            ),
            ConsistentRead=True,
            **only,
        )

    def counters(
        self, tenant: str, connection_id: str, first_minute: int, last_minute: int
    ) -> dict[int, dict[str, int]]:
        """Return the counters by minute (Unix time / 60), both ends included. Idle minutes are missing."""
        items = self._items(tenant, connection_id, first_minute, last_minute)
        # Attributes of another release need not be counters.
        return {
            item["sort"]: {
                name: value for name, value in item.items() if name not in _NO_COUNTERS and type(value) is int
            }
            for item in items
        }
