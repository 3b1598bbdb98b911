"""Time that flows cost each report, and the time to compile them after a change."""

import json
import time
from collections.abc import Callable

from chalicelib.domain.flows.flow import Flow, FlowConnector, Matcher
from chalicelib.domain.flows.matching import FlowTable
from chalicelib.network_servers.thingpark.reports import parse_report

FLOWS, KEYS, CONNECTIONS = 200, 10_000, 100
GOAL = 1.0
"""Milliseconds per report."""
_REPORTS = 2000
_STEP = 0x9E3779B97F4A7C15
"""Spreads the DevEUIs over all 64-bit numbers."""


def measure() -> float:
    """Print the figures for 10,000 keys in all flows and in each one; return the milliseconds of a report."""
    few = _measured("in all", KEYS // FLOWS)
    _measured("in each", KEYS)
    return few


def _measured(name: str, keys: int) -> float:
    flows = [_flow(number, keys) for number in range(FLOWS)]
    began = time.process_time()
    table = FlowTable(flows)
    compiled = time.process_time() - began
    connections = [f"c{number}" for number in range(CONNECTIONS)]
    reports = [parse_report(_body(number)) for number in range(_REPORTS)]
    own = _milliseconds(lambda: [table.route(report, connections) for report in reports])
    print(f"{FLOWS} flows with {KEYS:,} keys {name}, {CONNECTIONS} connections: {own:.3f} ms per report ", end="")
    print(f"(goal {GOAL:.0f} ms), compiled in {compiled * 1000:.0f} ms, {table.weight * 8 / 1e6:.1f} MB")
    return own


def _milliseconds(route_all: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        route_all()
        best = min(best, time.process_time() - began)
    return best / _REPORTS * 1000


def _flow(number: int, keys: int) -> Flow:
    listed = [f"lora:{(number * keys + each) * _STEP % 2**64:016x}" for each in range(keys)]
    tags = ["common", f"site={number}"]
    return Flow(
        tenant="bench",
        id=f"f{number:03}",
        name="bench",
        matchers=[Matcher(type="key", keys=listed), Matcher(type="thing", tags=tags)],
        connectors=[FlowConnector(connection_id=f"c{(number + each) % CONNECTIONS}") for each in range(50)],
        created_at="",
        updated_at="",
    )


def _body(number: int) -> bytes:
    fields = {
        "DevEUI": f"{number * 5 * _STEP % 2**64:016X}",
        "CustomerData": {"tags": ["common", f"site={number % (2 * FLOWS)}", "floor=2"]},
        "ModelCfg": "1:TemperatureService",
    }
    return json.dumps({"DevEUI_uplink": fields}).encode()


if __name__ == "__main__":
    measure()
