"""Isolation of tenants: through no route can another tenant read or change the first tenant's data."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app import app
from chalicelib.domain.event import Event, Level
from chalicelib.domain.notifications.changes import Change
from chalicelib.entry.services import Services
from chalicelib.http_api.openapi.operations import OPERATIONS
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import EventType, NotificationKind
from tests.functional.connection_cases import TCP, UNKNOWN, changed, create, expect_problem
from tests.functional.connections.test_replay import failed
from tests.functional.doubles import Api, TestIssuer
from tests.functional.driver_cases import CODE, DRIVER, add_driver, post_driver
from tests.functional.flow_cases import add_flow, post_flow
from tests.functional.http_api.test_connection_tests_api import UPLINK, ScriptedTester
from tests.functional.http_api.test_routes import BODIES, EVERYTHING, GUARDED, MESSAGE, Route, named

PRIVATE = "Northwind"
"""Part of all data of the first tenant."""
LISTS = {
    "/connections",
    "/flows",
    "/drivers",
    "/events",
    "/messages",
    "/application-servers",
    "/notifications/deliveries",
}
OF_TENANT = {("GET", "/notifications"), ("DELETE", "/notifications"), ("POST", "/notifications/test")}
OF_TENANT |= {("POST", "/notifications/rotate-secret")}
"""Calls that concern the settings of the caller's tenant, which the stranger does not have."""


@pytest.fixture
def stranger(api: Api, services: Services, issuer: TestIssuer) -> Api:
    """Another tenant, with every scope."""
    services.connection_tester = ScriptedTester()  # type: ignore[assignment]
    return api.as_token(issuer.token("other", scope=EVERYTHING))


@pytest.fixture
def connection_id(api: Api, services: Services) -> str:
    """The first tenant's connection, with an event, a failed message, statistics, an application server and a flow."""
    document = changed(TCP, description=PRIVATE, username=PRIVATE, hostName=f"{PRIVATE}.example") | {"name": PRIVATE}
    made = str(create(api, document)["id"])
    record = services.connection_store.get("demo", made)
    body = json.dumps({"DevEUI_uplink": {"DevEUI": "70B3D5E75E000001", "name": PRIVATE}})
    now = time.time()
    messages = [failed(0, id=MESSAGE), failed(1, id=new_id(now), time=iso_time(now))]
    private = [message.model_copy(update={"body": body, "routing_key": PRIVATE}) for message in messages]
    services.failed_messages.add("demo", made, private)
    event = Event(
        id=UNKNOWN,
        time=record.created_at,
        level=Level.INFO,
        type=EventType.CREATED,
        connection_id=made,
        message=PRIVATE,
    )
    services.event_log.add("demo", event)
    services.monitoring.count(record, {"uplinksDelivered": 7}, ["70B3D5E75E000001"])
    services.statistics.flush()
    services.application_server_store.put("demo", "AS", PRIVATE)
    add_flow(services, made, name=PRIVATE, description=PRIVATE)
    services.notifications.replace("demo", {"url": f"https://{PRIVATE}.example/hook"}, None)
    services.outbox.add(Change(NotificationKind.OPENED, record, services.clock() + 1, "now", PRIVATE))
    add_driver(services, made, name=PRIVATE, description=PRIVATE, code=f"// {PRIVATE}\n{CODE}")
    return made


def belongings(services: Services, connection_id: str) -> dict[str, Any]:
    """Return all data of the first tenant in AWS."""
    tables = services.dynamodb.list_tables()["TableNames"]
    items = [json.dumps(item, sort_keys=True, default=repr) for table in tables for item in _items(services, table)]
    names = [secret["Name"] for secret in services.secretsmanager.list_secrets()["SecretList"]]
    return {
        "items": sorted(item for item in items if "demo" in item),
        "secrets": {
            name: services.secretsmanager.get_secret_value(SecretId=name)["SecretString"]
            for name in names
            if "/demo/" in name
        },
        "waiting": services.uplink_queues.depth(connection_id),
    }


def _items(services: Services, table: str) -> Iterator[Any]:
    for page in services.dynamodb.get_paginator("scan").paginate(TableName=table):
        yield from page["Items"]


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_other_tenant_reads_and_changes_nothing(
    stranger: Api, services: Services, connection_id: str, route: Route
) -> None:
    # Given
    before = belongings(services, connection_id)
    assert PRIVATE in str(before["items"])
    assert PRIVATE in str(before["secrets"])

    # When
    answer = route.send(stranger, connection_id)
    unknown = route.send(stranger, UNKNOWN)

    # Then
    assert PRIVATE.encode() not in answer.body
    assert PRIVATE not in str(answer.headers)
    assert belongings(services, connection_id) == before
    if route.key in OF_TENANT:
        expect_problem(answer, 404)
    elif ("{" in route.path and not route.path.startswith("/connectors")) or route.is_one_connections:
        expect_problem(answer, 404)
        # An unknown connection and another tenant's have the same answer.
        assert answer.body.decode().replace(connection_id, UNKNOWN) == unknown.body.decode()
    elif route.method == "GET" and route.path in LISTS:
        assert (answer.status, answer.json) == (200, [])
    else:
        assert answer.status == OPERATIONS[route.key].success


@pytest.mark.parametrize("path", ["/connections", "/events", "/flows", "/drivers"])
def test_cursor_of_another_tenant_is_refused(api: Api, stranger: Api, connection_id: str, path: str) -> None:
    for _ in range(2):
        create(api)
        post_flow(api)
    for number in range(2):
        post_driver(api, id=f"a:b:{number}")
    link = api.call("GET", f"{path}?limit=1").headers["link"]
    assert api.call("GET", link[1 : link.index(">")]).status == 200
    expect_problem(stranger.call("GET", link[1 : link.index(">")]), 422)
    assert connection_id


def test_flow_cannot_name_connection_of_another_tenant(api: Api, stranger: Api, connection_id: str) -> None:
    # Given: the answer for an unknown connection
    unknown = stranger.call("POST", "/flows", {"name": "n", "connectors": [{"connectionId": UNKNOWN}]})
    expect_problem(unknown, 422)

    # When
    foreign = stranger.call("POST", "/flows", {"name": "n", "connectors": [{"connectionId": connection_id}]})

    # Then
    assert foreign.body == unknown.body
    own = post_flow(stranger, connectors=[])
    changed_one = stranger.call("PATCH", f"/flows/{own['id']}", {"connectors": [{"connectionId": connection_id}]})
    expect_problem(changed_one, 422)
    assert api.call("GET", f"/connections/{connection_id}").json["routing"] == "all"


def test_flow_of_one_tenant_chooses_no_report_of_another(api: Api, stranger: Api, services: Services) -> None:
    # Given: both tenants have a flow that matches every report
    mine, theirs = create(api)["id"], create(stranger)["id"]
    post_flow(api, mine, driver={"id": "actility:auto:1"})
    post_flow(stranger, theirs, matchers=[{"type": "key", "key": "lora:0000000000000000"}])

    # When
    for tenant in ("demo", "other"):
        services.ingress.accept(tenant, json.dumps(UPLINK).encode())

    # Then
    assert [each.driver for each in services.uplink_queues.receive(mine, 10)] == ["actility:auto:1"]
    assert services.uplink_queues.receive(theirs, 10) == []
    for caller, own in ((api, mine), (stranger, theirs)):
        previewed = caller.call("POST", "/flows/preview", {"uplink": UPLINK}).json
        assert [each["connectionId"] for each in previewed["connections"]] == [own]


def test_tags_and_keys_of_one_tenant_choose_no_report_of_another(api: Api, stranger: Api, services: Services) -> None:
    # Given: flows with the same tags and keys, and other connections and drivers
    own = {"demo": create(api)["id"], "other": create(stranger)["id"]}
    device = f"lora:{UPLINK['DevEUI_uplink']['DevEUI'].lower()}"
    matchers = [{"type": "key", "key": device}, {"type": "thing", "tags": ["shared"]}]
    for caller, tenant in ((api, "demo"), (stranger, "other")):
        post_driver(caller, id=f"{tenant}:driver:1")
        post_flow(caller, own[tenant], matchers=matchers, driver={"id": f"{tenant}:driver:1"})
    by_tag = {"DevEUI_uplink": UPLINK["DevEUI_uplink"] | {"DevEUI": "FF" * 8, "CustomerData": {"tags": ["shared"]}}}

    # When
    for report in (UPLINK, by_tag):
        services.ingress.accept("demo", json.dumps(report).encode())

    # Then
    assert [each.driver for each in services.uplink_queues.receive(own["demo"], 10)] == ["demo:driver:1"] * 2
    assert services.uplink_queues.receive(own["other"], 10) == []


def test_flow_cannot_name_driver_of_another_tenant(api: Api, stranger: Api) -> None:
    post_driver(api)
    unknown = stranger.call("POST", "/flows", {"name": "n", "driver": {"id": "un:known:1"}})
    foreign = stranger.call("POST", "/flows", {"name": "n", "driver": {"id": DRIVER["id"]}})
    expect_problem(foreign, 422)
    assert foreign.body == unknown.body
    own = post_flow(stranger)
    for method, document in (("PATCH", {}), ("PUT", {"name": "n"})):
        changed_one = stranger.call(method, f"/flows/{own['id']}", document | {"driver": {"id": DRIVER["id"]}})
        expect_problem(changed_one, 422)
        assert changed_one.pointers == {"/driver/id"}


def test_preview_decodes_with_no_driver_of_another_tenant(api: Api, stranger: Api) -> None:
    # Given: a driver of the first tenant fits the device
    post_driver(api)
    names = {"pId": "mycompany", "mId": "level-sensor", "ver": "1"}
    fields = {"FPort": 2, "payload_hex": "00c864", "DriverCfg": {"mod": names}}
    report = {"DevEUI_uplink": UPLINK["DevEUI_uplink"] | fields}
    for caller in (api, stranger):
        post_flow(caller, create(caller)["id"], driver={"id": "actility:auto:1"})

    # Then
    mine, theirs = (
        caller.call("POST", "/flows/preview", {"uplink": report}).json["connections"][0]["decoded"]
        for caller in (api, stranger)
    )
    assert mine["driver"] == DRIVER["id"]
    assert theirs is None


def test_tenants_have_drivers_with_the_same_id(api: Api, stranger: Api) -> None:
    post_driver(api)
    post_driver(stranger, code="function decodeUplink() { return { data: 'other' }; }")
    path, payload = f"/drivers/{DRIVER['id']}/decode-uplink", {"bytes": "00c864", "fPort": 1}
    assert api.call("POST", path, payload).json["data"] == {"temperature": 2, "battery": 100}
    assert stranger.call("POST", path, payload).json["data"] == "other"
    assert stranger.call("DELETE", f"/drivers/{DRIVER['id']}").status == 204
    assert api.call("POST", path, payload).status == 200


def test_first_tenant_sees_its_own_data(api: Api, connection_id: str) -> None:
    """Check that the test above can find the first tenant's data in the answers."""
    for route in GUARDED:
        if route.method == "GET" and not {"connectors", "statistics", "summary"} & set(route.path.split("/")):
            answer = route.send(api, connection_id)
            assert PRIVATE in answer.body.decode() or "AS" in answer.body.decode(), route
    assert api.call("GET", "/connections/summary").json["total"] == 1
    series = api.call("GET", f"/connections/{connection_id}/statistics").json
    assert series["uplinks"]["delivered"] == 7


def test_every_route_but_the_public_ones_is_tested() -> None:
    declared = {(method, path) for path, methods in app.routes.items() for method in methods}
    page = {key for key in declared if key[1].startswith("/console")}
    open_to_all = {("GET", "/health"), ("GET", "/openapi.json"), *page}
    assert {route.key for route in GUARDED} == declared - open_to_all
    assert set(BODIES) <= declared
