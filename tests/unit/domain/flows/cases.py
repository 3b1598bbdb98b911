"""Flows and reports for the tests of matching."""

import json
from collections.abc import Sequence
from typing import Any

from chalicelib.domain.flows.flow import Flow, FlowConnector, Matcher
from chalicelib.domain.report import Report
from chalicelib.network_servers.thingpark.reports import parse_report

DEVICE = "70B3D5E75E000001"


def thing(*tags: str) -> Matcher:
    return Matcher(type="thing", tags=list(tags))


def key(*keys: str) -> Matcher:
    return Matcher(type="key", key=keys[0]) if len(keys) == 1 else Matcher(type="key", keys=list(keys))


def flow(flow_id: str = "f1", to: Sequence[str] = ("c1",), validity: str | None = None, **fields: Any) -> Flow:
    """Return a flow for the connections ``to``."""
    connectors = [FlowConnector(connection_id=each, uplink_time_validity=validity) for each in to]
    record = {"tenant": "demo", "name": flow_id, "created_at": "", "updated_at": "", **fields}
    return Flow(id=flow_id, connectors=connectors, **record)


def report(dev_eui: str | None = DEVICE, tags: Sequence[str] | None = None, **fields: Any) -> Report:
    """Return an uplink of a device."""
    given: dict[str, Any] = {"DevEUI": dev_eui, **fields}
    if tags is not None:
        given["CustomerData"] = {"tags": list(tags)}
    return parse_report(json.dumps({"DevEUI_uplink": given}).encode())
