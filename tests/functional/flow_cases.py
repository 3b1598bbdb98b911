"""Flows for the tests of the API."""

from typing import Any

from chalicelib.domain.flows.flow import Flow
from chalicelib.entry.services import Services
from tests.functional.doubles import Api

FLOW: dict[str, Any] = {
    "name": "Temperature to Paris",
    "matchers": [
        {"type": "thing", "tags": ["TemperatureService", "site=Paris"]},
        {"type": "key", "key": "lora:0018b20000000b20"},
        {"type": "key", "keys": ["lora:0018b200*", "lora:20635f01*"]},
    ],
    "driver": {"id": "actility:auto:1"},
    "connectors": [],
}


def connectors(*connection_ids: str, **fields: str) -> list[dict[str, str]]:
    return [{"connectionId": each, **fields} for each in connection_ids]


def post_flow(api: Api, *connection_ids: str, **fields: Any) -> Any:
    """Create a flow for the connections that matches every report unless it has matchers."""
    answer = api.call("POST", "/flows", {"name": "all", "connectors": connectors(*connection_ids), **fields})
    assert answer.status == 201, answer.body
    return answer.json


def add_flow(services: Services, flow_id: str, tenant: str = "demo", **fields: Any) -> None:
    """Store a flow under an id, which need not be a new one."""
    record = {"name": "stored", "created_at": "", "updated_at": "", **fields}
    assert services.flow_store.create(Flow(tenant=tenant, id=flow_id, **record), 200) == []
