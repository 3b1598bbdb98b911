"""Flows in DynamoDB: checks inside the transaction, and items of another release."""

import json
import zlib
from typing import Any

import pytest

from chalicelib.domain.flows.flow import Flow, FlowConnector, Matcher
from chalicelib.domain.flows.matching import FlowTable
from chalicelib.entry.services import Services
from chalicelib.errors import PreconditionFailed, TooLarge
from tests.functional.connection_cases import UNKNOWN, create
from tests.functional.doubles import Api
from tests.functional.flow_cases import add_flow, post_flow
from tests.unit.domain.flows.cases import report

FLOW_ID = "01JDBBBBBBBBBBBBBBBBBBBBBB"


def stored(services: Services) -> Flow:
    return services.flow_store.find("demo", FLOW_ID)


def test_write_that_names_a_missing_connection_changes_nothing(services: Services) -> None:
    # Given
    add_flow(services, FLOW_ID)
    before, generation = stored(services), services.connection_store.generation("demo")
    connectors = [FlowConnector(connection_id=UNKNOWN)]

    # When
    changed = before.model_copy(update={"connectors": connectors, "version": 2})
    missing = services.flow_store.replace(changed, 1)
    also_missing = services.flow_store.create(changed.model_copy(update={"id": UNKNOWN}), 200)

    # Then
    assert (missing, also_missing) == ([UNKNOWN], [UNKNOWN])
    assert list(services.flow_store.of_tenant("demo")) == [before]
    assert services.connection_store.generation("demo") == generation


def test_each_write_of_a_flow_changes_the_generation_of_the_tenant(services: Services) -> None:
    generations = [services.connection_store.generation("demo")]
    add_flow(services, FLOW_ID)
    generations.append(services.connection_store.generation("demo"))
    services.flow_store.replace(stored(services).model_copy(update={"version": 2}), 1)
    generations.append(services.connection_store.generation("demo"))
    with pytest.raises(PreconditionFailed):
        services.flow_store.replace(stored(services), 1)
    services.flow_store.delete("demo", FLOW_ID)
    generations.append(services.connection_store.generation("demo"))
    assert generations == [0, 1, 2, 3]


def test_flow_that_does_not_fit_into_an_item_is_refused(services: Services) -> None:
    keys = [f"lora:{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(50_000)]
    with pytest.raises(TooLarge):
        add_flow(services, FLOW_ID, matchers=[Matcher.model_construct(type="key", keys=keys)])


@pytest.mark.parametrize(
    "change",
    [
        {"matchers": zlib.compress(json.dumps([{"type": "area", "polygon": []}]).encode())},
        {"matchers": zlib.compress(b"{")},
        {"matchers": b"no zlib"},
        {"matchers": None},
        {"connectors": {"L": [{"M": {"id": {"S": "kafka"}, "connectionId": {"S": "the connection"}}}]}},
    ],
)
def test_flow_of_a_later_release_matches_nothing_and_keeps_its_connection(
    services: Services, api: Api, change: dict[str, Any]
) -> None:
    # Given
    connection_id = create(api)["id"]
    flow_id = post_flow(api, connection_id)["id"]
    key = {"tenant": {"S": "demo"}, "id": {"S": flow_id}}
    [(name, value)] = change.items()
    table, client = services.settings.table("flows"), services.dynamodb
    if value is None:
        client.update_item(TableName=table, Key=key, UpdateExpression=f"REMOVE {name}")
    else:
        new = {"B": value} if isinstance(value, bytes) else _with_id(value, connection_id)
        client.update_item(
            TableName=table, Key=key, UpdateExpression=f"SET {name} = :new", ExpressionAttributeValues={":new": new}
        )

    # Then
    table_of_flows = FlowTable(services.flow_store.of_tenant("demo"))
    assert table_of_flows.names(connection_id)
    assert table_of_flows.route(report(), [connection_id]) == {}
    assert api.call("GET", f"/flows/{flow_id}").json["active"] is False


def _with_id(value: Any, connection_id: str) -> Any:
    return json.loads(json.dumps(value).replace("the connection", connection_id))


def test_attributes_of_a_later_release_stay(services: Services) -> None:
    add_flow(services, FLOW_ID)
    table, client = services.settings.table("flows"), services.dynamodb
    key = {"tenant": {"S": "demo"}, "id": {"S": FLOW_ID}}
    values = {":new": {"S": "kept"}}
    client.update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET later = :new",
        ExpressionAttributeValues=values,
    )
    services.flow_store.replace(stored(services).model_copy(update={"name": "changed", "version": 2}), 1)
    item = client.get_item(TableName=table, Key=key)["Item"]
    assert (item["later"], item["name"]) == ({"S": "kept"}, {"S": "changed"})
