"""The OpenAPI document is valid, covers all routes and agrees with the behaviour of the API."""

import json
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from app import app
from chalicelib.domain.flows.validation import parse_flow
from chalicelib.entry.services import Services
from chalicelib.errors import InvalidRequest
from chalicelib.kernel.cursors import encode
from chalicelib.kernel.durations import parse_duration
from chalicelib.network_servers.thingpark.reports import parse_report
from tests.functional.connection_cases import TCP, create
from tests.functional.connections.test_replay import failed
from tests.functional.doubles import Api
from tests.functional.driver_cases import DRIVER, add_driver
from tests.functional.flow_cases import FLOW, add_flow


@pytest.fixture
def document(api: Api) -> Any:
    answer = api.as_token(None).call("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json


def routes() -> dict[tuple[str, str], str]:
    """Return the function name of every route by method and path, without the files of the web page."""
    return {
        (method, path): entry.view_name
        for path, entries in app.routes.items()
        for method, entry in entries.items()
        if not path.startswith("/console")
    }


def test_document_is_valid_openapi_3_1(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_document_lists_exactly_the_routes_with_their_function_names(document: Any) -> None:
    described = {
        (method.upper(), path): operation["operationId"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert described == routes()


def test_media_types_match_the_routes(document: Any) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            taken = app.routes[path][method.upper()].content_types
            content = operation.get("requestBody", {}).get("content")
            assert content is None or set(content) == set(taken), (method, path)


def test_all_operations_but_two_require_a_scope(document: Any) -> None:
    scopes = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            scopes[method.upper(), path] = operation["security"]
            assert ("401" in operation["responses"]) is bool(operation["security"])
    assert {key for key, security in scopes.items() if not security} == {("GET", "/health"), ("GET", "/openapi.json")}
    assert scopes["POST", "/connections"] == [{"bearer": ["connections:write"]}]
    assert scopes["POST", "/uplinks"] == [{"bearer": ["uplinks:write"]}, {"lrc": []}]


@pytest.mark.parametrize(
    "text",
    ["30s", "007d", " 5m ", "72h", "999999999s", "", "0s", "000h", "5", "m", "-5m", "5w", "5 m", "1.5h", "9999999999s"],
)
def test_schema_of_durations_agrees_with_the_parser(document: Any, text: str) -> None:
    fields = document["components"]["schemas"]["AmqpConfiguration"]["properties"]
    described = jsonschema.Draft202012Validator(fields["uplinkTimeValidity"]).is_valid(text)
    try:
        parse_duration(text)
    except ValueError:
        assert not described
    else:
        assert described


@pytest.mark.parametrize("position", ["", "a", "01JDZZZZZZZZZZZZZZZZZZZZZZ", "2026-11-24T00:00:00.000Z#\u00e9\uffff"])
def test_schema_of_cursors_accepts_encoded_cursors(document: Any, position: str) -> None:
    parameters = document["paths"]["/events"]["get"]["parameters"]
    schema = next(one["schema"] for one in parameters if one["name"] == "cursor")
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(encode("acme", position))
    assert not validator.is_valid("")


@pytest.mark.parametrize(
    "report",
    [
        {"DevEUI_uplink": {"DevEUI": "20635f0106000123"}},
        {"DevEUI_uplink": {"DevEUI": None}},
        {"DevEUI_uplink": {"DevEUI": "20635f010600012"}},
        {"DevEUI_downlink": {}},
        {"DevEUI_downlink_Sent": {}},
        {"DevEUI_downlinks": {}},
        {"DevEUI_": {}},
        {"BS_alarm": {}},
        {"bs_alarm": {}},
        {"BS_alarm": []},
        {},
        {"DevEUI_uplink": {}, "BS_alarm": {}},
    ],
)
def test_schema_of_reports_agrees_with_the_parser(document: Any, report: dict[str, Any]) -> None:
    content = document["paths"]["/uplinks"]["post"]["requestBody"]["content"]["application/json"]
    described = jsonschema.Draft202012Validator(content["schema"]).is_valid(report)
    try:
        parse_report(json.dumps(report).encode())
    except InvalidRequest:
        assert not described
    else:
        assert described


@pytest.mark.parametrize(
    "matcher",
    [
        {"type": "thing", "tags": ["a"]},
        {"type": "thing", "tags": ["a"], "key": None, "keys": None},
        {"type": "thing", "tags": []},
        {"type": "thing", "tags": None},
        {"type": "thing"},
        {"type": "thing", "key": "lora:0018b20000000b20"},
        {"type": "thing", "tags": ["a"], "keys": ["lora:0018b2*"]},
        {"type": "key", "key": "LoRa:0018B20000000B20"},
        {"type": "key", "key": "lora:0018b2*", "tags": None},
        {"type": "key", "keys": ["lora:0018b2*"]},
        {"type": "key", "keys": ["lora:0018b2"]},
        {"type": "key", "keys": []},
        {"type": "key", "key": "lora:0018b2*", "keys": ["lora:0018b2*"]},
        {"type": "key", "tags": ["a"]},
        {"type": "key"},
        {"type": "area"},
        {"tags": ["a"]},
        {"type": "thing", "tags": ["a"], "tag": "a"},
    ],
)
def test_schema_of_matchers_agrees_with_the_validation(document: Any, matcher: dict[str, Any]) -> None:
    schema = resolved(document, {"$ref": "#/components/schemas/FlowRequest"})
    flow = {"name": "n", "matchers": [matcher]}
    described = jsonschema.Draft202012Validator(schema).is_valid(flow)
    try:
        parse_flow(flow, None, lambda _: True, lambda _: True)
    except InvalidRequest:
        assert not described
    else:
        assert described


def test_server_address_is_the_base_path_of_the_request(document: Any) -> None:
    assert document["servers"] == [{"url": "/"}]


def resolved(document: Any, schema: Any) -> Any:
    return {**schema, "components": document["components"]}


def test_examples_match_their_schemas(document: Any) -> None:
    number = 0
    for methods in document["paths"].values():
        for operation in methods.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for example in content["examples"].values():
                    number += 1
                    jsonschema.validate(example["value"], resolved(document, content["schema"]))
    assert number > 8


def test_answers_match_their_schemas(api: Api, services: Services, document: Any) -> None:
    # Given
    alarm = {"startTime": "08:00", "endTime": "18:00", "uplinkRateMinPerHour": 5}
    connection_id = create(api, TCP | {"alarms": [alarm]})["id"]
    services.failed_messages.add("demo", connection_id, [failed(0)])
    api.call("POST", "/application-servers", {"asId": "AS", "asKey": "k"})
    api.call("POST", f"/connections/{connection_id}/messages/replay", {"all": True})
    services.failed_messages.add("demo", connection_id, [failed(1)])
    add_flow(services, connection_id, matchers=FLOW["matchers"], driver="actility:auto:1")
    add_driver(services, connection_id, models=DRIVER["models"])
    assert api.call("PUT", "/notifications", {"url": "https://hooks.example.com"}).status == 200
    assert api.call("POST", "/notifications/test").status == 200

    for path, methods in document["paths"].items():
        operation = methods.get("get")
        if operation is None:
            continue
        # When
        name = "actility-amqp-0.9.1-iot" if "connectors" in path else connection_id
        answer = api.call("GET", path.replace("{id}", name))

        # Then
        content = operation["responses"][str(answer.status)]["content"]
        assert answer.json, path
        jsonschema.validate(
            answer.json, resolved(document, content[answer.headers.get("content-type", "application/json")]["schema"])
        )

    trials = {
        "/drivers/test": {"code": DRIVER["code"], "bytes": "00c864", "examples": [{"type": "uplink", "input": {}}]},
        "/drivers/{id}/decode-uplink": {"bytes": "00c864", "fPort": 1},
        "/drivers/{id}/encode-downlink": {"data": {"interval": 60}},
    }
    for path, body in trials.items():
        answer = api.call("POST", path.replace("{id}", connection_id), body)
        schema = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json, resolved(document, schema))

    refused = api.call("POST", "/connections", {})
    problem = document["paths"]["/connections"]["post"]["responses"]["422"]["content"]["application/problem+json"]
    jsonschema.validate(refused.json, resolved(document, problem["schema"]))
