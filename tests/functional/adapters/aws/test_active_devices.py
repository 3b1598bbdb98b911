"""Active devices in the counters' items, and in sketches where a minute has many."""

from typing import Any

import pytest

from chalicelib.adapters.aws.devices.minutes import MOST
from chalicelib.adapters.aws.statistics import DynamoDbStatistics
from chalicelib.entry.services import Services
from chalicelib.errors import Unavailable
from infra.costs.meter import Meter

NOW = 1_700_000_000.0
MINUTE = int(NOW // 60)


class Process:
    """A process with its own clock and counted calls."""

    def __init__(self, services: Services) -> None:
        self.now = NOW
        self.meter = Meter(services.dynamodb, services.settings.resource_prefix)
        client = Services(services.settings).dynamodb
        self.meter.listen(client)
        self.statistics = DynamoDbStatistics(client, services.settings.table("statistics"), lambda: self.now)

    def drain(self, *devices: str) -> dict[str, int]:
        """Count the delivered uplinks of a drain and return the calls."""
        self.statistics.add("demo", "01A", {"uplinksDelivered": len(devices)}, devices)
        return dict(self.meter.take()[0])

    def active(self) -> int:
        return self.statistics.active_devices("demo", "01A", MINUTE - 59, int(self.now // 60))


def named(number: int, first: int = 0) -> list[str]:
    return [f"{each:016X}" for each in range(first, first + number)]


def test_drain_costs_one_statistics_write(services: Services) -> None:
    process = Process(services)
    assert process.drain("A") == {"dynamodb.UpdateItem": 1}
    assert process.drain("A", "B") == {"dynamodb.UpdateItem": 1}
    assert process.active() == 2


def test_devices_beyond_a_minutes_set_are_in_the_sketch(services: Services) -> None:
    process, other = Process(services), Process(services)
    process.drain(*named(MOST))
    assert process.drain(*named(2, first=MOST - 1)) == {
        "dynamodb.UpdateItem": 1,
        "dynamodb.GetItem": 1,
        "dynamodb.PutItem": 1,
    }
    # A process learns from its own write that the set is full.
    other.drain("X")
    assert "dynamodb.PutItem" in other.drain("Y")
    assert process.active() == MOST + 3


def test_full_set_fits_into_one_write_unit(services: Services) -> None:
    process = Process(services)
    process.statistics.add("demo", "01A", {"uplinksDelivered": MOST, "uplinksFailed": 1, "uplinksLost": 1}, named(MOST))
    _, units = process.meter.take()
    assert list(units.values()) == [1]


def test_next_minute_has_its_own_set(services: Services) -> None:
    process = Process(services)
    process.drain(*named(MOST))
    process.now += 60
    assert process.drain(*named(MOST)) == {"dynamodb.UpdateItem": 1}
    assert process.active() == MOST


def test_devices_of_a_failed_write_are_kept(services: Services) -> None:
    process = Process(services)
    table: Any = process.statistics
    table._table, kept = "missing", table._table
    with pytest.raises(Unavailable):
        process.drain("A")
    table._table = kept
    process.drain("B")
    assert process.active() == 2
