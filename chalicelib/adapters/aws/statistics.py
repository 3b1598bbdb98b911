"""Statistics in DynamoDB (``ports.StatisticsWriter``, ``ports.StatisticsReader``).

This module keeps the counters per minute. ``device_sketches`` and ``waiting_downlinks`` keep the other statistics in
the same table.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.device_sketches import DynamoDbDeviceSketches
from chalicelib.adapters.aws.dynamodb import partition, query, to_item
from chalicelib.adapters.aws.waiting_downlinks import DynamoDbWaitingDownlinks
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 8 * 86400
"""Seconds after which a counter expires."""
_NO_COUNTERS = {"connection", "sort", "expires"}


class DynamoDbStatistics:
    """The statistics of all connections, kept for 8 days.

    An item of counters has the keys ``connection`` (``<tenant>#<id>``) and ``sort`` (Unix time / 60).
    """

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._devices = DynamoDbDeviceSketches(client, table, clock)
        self._downlinks = DynamoDbWaitingDownlinks(client, table, clock)

    def add(self, tenant: str, connection_id: str, counts: Mapping[str, int], devices: Collection[str] = ()) -> None:
        if devices:
            # Recorded first, so that the devices are kept for the next write if the counters cannot be written.
            self._devices.note(tenant, connection_id, devices)
        self._count(tenant, connection_id, counts)
        if devices:
            self._devices.write(tenant, connection_id)

    def mark_waiting(self, tenant: str, connection_id: str, names: Sequence[str]) -> None:
        self._downlinks.mark_waiting(tenant, connection_id, names)

    def clear_waiting(self, tenant: str, connection_id: str, name: str) -> None:
        self._downlinks.clear(tenant, connection_id, name)

    def waiting_downlinks(self, tenant: str, connection_id: str) -> int:
        """Return the number of downlinks that were received from the broker and are not settled."""
        return self._downlinks.waiting(tenant, connection_id)

    def active_devices(self, tenant: str, connection_id: str, first_minute: int, last_minute: int) -> int:
        """Return the number of devices with a delivered uplink in these minutes; ``last_minute`` is the current one."""
        return self._devices.active(tenant, connection_id, first_minute, last_minute)

    def _count(self, tenant: str, connection_id: str, counts: Mapping[str, int]) -> None:
        counted = [(name, count) for name, count in counts.items() if count]
        if not counted:
            return
        minute = int(self._clock() // 60)
        additions = ", ".join(f"#c{index} :c{index}" for index in range(len(counted)))
        with translated("DynamoDB"):
            self._client.update_item(
                TableName=self._table,
                Key=to_item({"connection": partition(tenant, connection_id), "sort": minute}),
                UpdateExpression=f"ADD {additions} SET expires = :expires",
                ExpressionAttributeNames={f"#c{index}": name for index, (name, _) in enumerate(counted)},
                ExpressionAttributeValues=to_item(
                    {f":c{index}": count for index, (_, count) in enumerate(counted)}
                    | {":expires": minute * 60 + _KEPT}
                ),
            )

    def counters(
        self, tenant: str, connection_id: str, first_minute: int, last_minute: int
    ) -> dict[int, dict[str, int]]:
        """Return the counters by minute (Unix time / 60), both ends included. Idle minutes are missing."""
        items = query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="#connection = :connection AND #sort BETWEEN :first AND :last",
            ExpressionAttributeNames={"#connection": "connection", "#sort": "sort"},
            ExpressionAttributeValues=to_item(
                {":connection": partition(tenant, connection_id), ":first": first_minute, ":last": last_minute}
            ),
            ConsistentRead=True,
        )
        # Attributes of another release need not be counters.
        return {
            item["sort"]: {
                name: value for name, value in item.items() if name not in _NO_COUNTERS and type(value) is int
            }
            for item in items
        }
