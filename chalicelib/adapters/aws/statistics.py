"""Statistics in DynamoDB (``ports.StatisticsWriter``, ``ports.StatisticsReader``).

This module keeps the counters per minute, together with the blocks of the message log. ``devices`` and
``waiting_downlinks`` keep the other statistics in the same table.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.devices import minutes
from chalicelib.adapters.aws.devices.sketches import DynamoDbDeviceSketches
from chalicelib.adapters.aws.dynamodb import from_item, partition, query, to_item
from chalicelib.adapters.aws.listing.totals import TenantTotals
from chalicelib.adapters.aws.message_log.blocks import MAX_ENTRIES, encode
from chalicelib.adapters.aws.message_log.items import ATTRIBUTE, BlockItems, further, further_range, minute_of
from chalicelib.adapters.aws.readable import readable
from chalicelib.adapters.aws.waiting_downlinks import DynamoDbWaitingDownlinks
from chalicelib.domain.messages.entries import LogEntry
from chalicelib.errors import Unavailable
from chalicelib.kernel.batches import batched
from chalicelib.kernel.theta_sketch import Sketch
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT = 60 * 86400
"""Seconds after which counters and blocks expire."""
_NO_COUNTERS = {"connection", "sort", "expires"}


class DynamoDbStatistics:
    """The statistics of all connections; counters are kept for 60 days.

    An item of counters has the keys ``connection`` (``<tenant>#<id>``) and ``sort`` (Unix time / 60), the first devices
    of its minute, and a set of blocks. ``message_log.items`` says when these are in a further item.
    """

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._items = BlockItems()
        self._minutes = minutes.MinuteDevices()
        self._sketches = DynamoDbDeviceSketches(client, table, clock)
        self._downlinks = DynamoDbWaitingDownlinks(client, table, clock)
        self.tenant_totals = TenantTotals(client, table, clock)

    def add(
        self,
        tenant: str,
        connection_id: str,
        counts: Mapping[str, int],
        devices: Collection[str] = (),
        log: Sequence[LogEntry] = (),
    ) -> None:
        key, minute = partition(tenant, connection_id), int(self._clock() // 60)
        with_counters, others = self._minutes.choose(key, minute, devices)
        # Recorded first, so that the devices are kept for the next write if the counters cannot be written.
        self._sketches.note(tenant, connection_id, others)
        blocks = [encode(part) for part in batched(log, MAX_ENTRIES)]
        try:
            self._write(key, minute, counts, with_counters, blocks[0] if blocks else None)
        except Unavailable:
            self._sketches.note(tenant, connection_id, devices)
            raise
        self.tenant_totals.note(tenant, minute, counts)
        for block in blocks[1:]:
            self._write(key, minute, {}, (), block)
        self._sketches.write(tenant, connection_id)

    def flush(self) -> None:
        """Write the counters of whole tenants, once at the end of an invocation. Raises Unavailable."""
        self.tenant_totals.flush()

    def totals(self, tenant: str, first_minute: int, last_minute: int) -> dict[int, dict[str, int]]:
        return self.tenant_totals.read(tenant, first_minute, last_minute)

    def last_counted(self, tenant: str, connection_id: str) -> int | None:
        return self.tenant_totals.last_counted(tenant, connection_id, self._clock())

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
            self._read(tenant, connection_id, first_minute, last_minute, minutes.ATTRIBUTE),
            lambda item: (minutes.sketch_of(item), 0),
            "connection",
            "sort",
        )
        sketches = self._sketches.active(tenant, connection_id, first_minute, last_minute)
        return Sketch.count([*sets, *sketches])

    def _write(
        self, key: str, minute: int, counts: Mapping[str, int], devices: Collection[bytes], block: bytes | None
    ) -> None:
        additions: dict[str, Any] = {name: count for name, count in counts.items() if count}
        if devices:
            additions[minutes.ATTRIBUTE] = frozenset(devices)
        if block is not None:
            additions[ATTRIBUTE] = frozenset((block,))
        if not additions:
            return
        item = self._items.choose(key, minute, _size(additions))
        expression = ", ".join(f"#c{index} :c{index}" for index in range(len(additions)))
        values = {f":c{index}": value for index, value in enumerate(additions.values())}
        with translated("DynamoDB"):
            answer = self._client.update_item(
                TableName=self._table,
                Key=to_item({"connection": item.connection, "sort": item.sort}),
                UpdateExpression=f"ADD {expression} SET expires = :expires",
                ExpressionAttributeNames={f"#c{index}": name for index, name in enumerate(additions)},
                ExpressionAttributeValues=to_item(values | {":expires": minute * 60 + _KEPT}),
                ReturnValues="UPDATED_NEW" if devices or block else "NONE",
            )
        stored = from_item(answer.get("Attributes", {}))
        self._items.wrote(key, minute, item, _size(stored))
        if devices:
            # The whole set shows the devices of other functions, too.
            self._minutes.note(key, minute, {*devices, *stored.get(minutes.ATTRIBUTE, ())})

    def counters(
        self, tenant: str, connection_id: str, first_minute: int, last_minute: int
    ) -> dict[int, dict[str, int]]:
        """Return the counters by minute (Unix time / 60), both ends included. Idle minutes are missing."""
        found: dict[int, Counter[str]] = defaultdict(Counter)
        for item in self._read(tenant, connection_id, first_minute, last_minute):
            # Attributes of another release need not be counters.
            counts = {name: each for name, each in item.items() if name not in _NO_COUNTERS and type(each) is int}
            found[item["sort"]].update(counts)
        return {minute: dict(counts) for minute, counts in found.items()}

    def _read(
        self, tenant: str, connection_id: str, first_minute: int, last_minute: int, attribute: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of these minutes, those with ``attribute`` if it is given. ``sort`` is the minute."""
        key = partition(tenant, connection_id)
        yield from self._range(key, first_minute, last_minute, attribute)
        for item in self._range(further(key), *further_range(first_minute, last_minute), attribute):
            yield item | {"sort": minute_of(item["sort"])}

    def _range(self, key: str, first: int, last: int, attribute: str | None) -> Iterator[dict[str, Any]]:
        only = {} if attribute is None else {"FilterExpression": f"attribute_exists({attribute})"}
        return query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="#connection = :connection AND #sort BETWEEN :first AND :last",
            ExpressionAttributeNames={"#connection": "connection", "#sort": "sort"},
            ExpressionAttributeValues=to_item({":connection": key, ":first": first, ":last": last}),
            ConsistentRead=True,
            **only,
        )


def _size(attributes: Mapping[str, Any]) -> int:
    """Return the bytes of the sets among some attributes."""
    sets = (value for value in attributes.values() if isinstance(value, frozenset))
    return sum(len(member) + 1 for members in sets for member in members)
