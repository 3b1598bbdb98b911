"""Cost of the message log: write units and bytes for each report, with and without the log."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.adapters.aws.statistics import DynamoDbStatistics
from chalicelib.domain.messages.entries import LogEntry, Step, reference_of
from chalicelib.entry.services import Services

WRITE = 0.625
"""Dollars per million write units, on demand, us-east-1. A unit is a KB or part of one of the larger item."""
MONTH_OF_A_GIGABYTE = 0.25 + 0.20
"""Dollars per GB and month of storage and of point-in-time recovery."""
MONTHS, OLD_MONTHS = 2.0, 8 / 30
ITEM_OVERHEAD = 100
"""Bytes that DynamoDB counts for each item besides its attributes."""
PRICES = {1: 10.0, 10: 6.0, 100: 5.6}
"""Dollars per million reports, by reports a drain (infra/README.md)."""
DEVICES = 500
NOW = 1_790_000_000.0


def size(item: dict[str, Any]) -> int:
    """Return the bytes of an item as DynamoDB counts them."""
    total = 0
    for name, value in item.items():
        ((kind, inner),) = value.items()
        total += len(name)
        if kind == "BS":
            total += 3 + sum(1 + len(bytes(each)) for each in inner)
        elif kind == "N":
            total += (len(inner) + 1) // 2 + 1
        else:
            total += len(inner)
    return total


@dataclass
class Meter:
    """Counts the write units of the counters. The sketches of devices are the same with and without the log."""

    client: Any
    sizes: dict[str, int] = field(default_factory=dict)
    total: Counter[str] = field(default_factory=Counter)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def update_item(self, **arguments: Any) -> Any:
        answer = self.client.update_item(**arguments)
        item = self.client.get_item(TableName=arguments["TableName"], Key=arguments["Key"])["Item"]
        key = str(arguments["Key"])
        units = math.ceil(max(self.sizes.get(key, 0), size(item)) / 1024)
        self.sizes[key] = size(item)
        self.total += Counter(writes=1, units=units)
        return answer


def entry(number: int) -> LogEntry:
    device = reference_of(f"device {number % DEVICES}").upper() + f"{number % DEVICES:04X}"
    return LogEntry(
        reference=reference_of(f"message {number}"),
        step=Step.DELIVERED,
        time=NOW + number * 0.01,
        accepted_at=NOW + number * 0.01 - 0.2,
        dev_eui=device,
        frame_counter=1000 + number,
        attempts=1,
        type="DevEUI_uplink",
        routing_key=f"amqp.things.{device}.uplink",
    )


def run(services: Services, reports: int, batch: int, seconds: float, *, with_log: bool) -> tuple[Meter, float]:
    """Write drains of ``batch`` reports, one each ``seconds``; return the dollars per million reports, too."""
    meter, now = Meter(services.dynamodb), NOW
    table = services.settings.table("statistics")
    statistics = DynamoDbStatistics(meter, table, lambda: now)  # type: ignore[arg-type]  # it only updates
    for first in range(0, reports, batch):
        entries = [entry(number) for number in range(first, first + batch)]
        devices = {each.dev_eui or "" for each in entries}
        name = f"{batch}-{seconds}-{with_log}"
        statistics.add("demo", name, {"uplinksDelivered": batch}, devices, entries if with_log else ())
        now += seconds
    stored = sum(meter.sizes.values()) + ITEM_OVERHEAD * len(meter.sizes)
    months = MONTHS if with_log else OLD_MONTHS
    return meter, (meter.total["units"] * WRITE + stored / 1000 * MONTH_OF_A_GIGABYTE * months) / reports


@pytest.mark.parametrize("seconds", [90.0, 10.0, 1.0, 0.3])
@pytest.mark.parametrize("batch", PRICES)
def test_log_adds_at_most_a_twentieth_to_the_price_of_a_report(services: Services, batch: int, seconds: float) -> None:
    drains = 60
    _, before = run(services, drains * batch, batch, seconds, with_log=False)
    meter, after = run(services, drains * batch, batch, seconds, with_log=True)
    assert meter.total["writes"] == drains
    assert after - before <= 0.05 * PRICES[batch]
