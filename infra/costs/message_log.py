"""The message log's part of a report's price: the writes that it adds, and what it stores."""

from dataclasses import dataclass

from chalicelib.adapters.aws.statistics import _KEPT
from chalicelib.config import Settings
from chalicelib.domain.messages.entries import LogEntry, Step, reference_of
from chalicelib.entry.services import Services
from infra.costs.measured import MINUTES_OF_A_MONTH
from infra.costs.meter import Meter, item_size
from infra.costs.prices import PRICES, Unit
from infra.local.aws import data_stack

GOAL = 5.0
"""Percent of a report's price."""
DRAINS = 60
"""Drains of one connection in a minute, so that further items are needed."""
_MILLION = 1_000_000
_NOW = 1_764_000_000.0


@dataclass(frozen=True)
class LogUsage:
    """What ``DRAINS`` drains of ``reports`` reports each use: write units, and bytes, with the log and without it."""

    reports: int
    units: float
    units_without: float
    bytes: int
    bytes_without: int


def usage(settings: Settings, reports: int) -> LogUsage:
    """Write the statistics of the drains to a stage of their own, which this call creates."""
    services, plain = Services(settings, lambda: _NOW), Services(settings)
    data_stack.create(plain.dynamodb, plain.sqs, settings.resource_prefix, settings.timing)
    meter = Meter(plain.dynamodb, settings.resource_prefix)
    meter.listen(services.dynamodb)
    found = []
    for name, logged in (("with", True), ("without", False)):
        for drain in range(DRAINS):
            entries = [_entry(drain * reports + number) for number in range(reports)]
            devices = {str(entry.dev_eui) for entry in entries}
            counts = {"uplinksDelivered": reports}
            services.statistics.add(name, "01KAT5JFT2ZMK0QW8YQ6T1E5A7", counts, devices, entries if logged else ())
        _, units = meter.take()
        items = plain.dynamodb.scan(TableName=settings.table("statistics"))["Items"]
        found.append(
            (units[Unit.WRITE], sum(item_size(i) for i in items if i["connection"]["S"].startswith(f"{name}#")))
        )
    (units_with, bytes_with), (units_without, bytes_without) = found
    return LogUsage(reports, units_with, units_without, bytes_with, bytes_without)


def writes(log: LogUsage) -> float:
    """Return the dollars of the log's write units for a million reports."""
    return (log.units - log.units_without) / (DRAINS * log.reports) * _MILLION * PRICES[Unit.WRITE]


def storage(log: LogUsage) -> float:
    """Return the dollars of the log's storage for a million reports, until the items expire."""
    months = _KEPT / 60 / MINUTES_OF_A_MONTH
    return (log.bytes - log.bytes_without) / (DRAINS * log.reports) * _MILLION * months * PRICES[Unit.STORED_BYTE]


def dollars(log: LogUsage) -> float:
    """Return the dollars of the log for a million reports."""
    return writes(log) + storage(log)


def _entry(number: int) -> LogEntry:
    device = f"70B3D5E75E{number:06X}"
    return LogEntry(
        reference_of(f"message {number}"),
        Step.DELIVERED,
        _NOW,
        _NOW - 0.2,
        dev_eui=device,
        frame_counter=1000 + 37 * number,
        attempts=1,
        type="DevEUI_uplink",
        routing_key=f"things.{device}.uplink",
    )
