"""Connections that flows name: their routing, and their deletion."""

import itertools
import json
from typing import Any

import pytest

from chalicelib.connections.flows.references import FlowReferences
from chalicelib.domain.flows.flow import Flow
from chalicelib.entry.services import Services
from tests.functional.connection_cases import NOTHING, create, expect_problem, finish, left_behind
from tests.functional.doubles import Api
from tests.functional.flow_cases import connectors, post_flow

UPLINK: dict[str, Any] = {"DevEUI_uplink": {"DevEUI": "20635F0106000123", "CustomerData": {"tags": ["site=Paris"]}}}


@pytest.fixture
def connection_id(api: Api) -> str:
    return str(create(api)["id"])


def routing(api: Api, connection_id: str) -> str:
    """Return the routing that a read and a list show."""
    read = api.call("GET", f"/connections/{connection_id}").json["routing"]
    [listed] = [each for each in api.call("GET", "/connections").json if each["id"] == connection_id]
    assert listed["routing"] == read
    return str(read)


def test_routing_of_a_connection_says_whether_flows_choose_its_reports(api: Api, connection_id: str) -> None:
    assert create(api)["routing"] == "all"
    assert routing(api, connection_id) == "all"
    made = post_flow(api, connection_id, active=False)
    assert routing(api, connection_id) == "flows"
    assert api.call("DELETE", f"/flows/{made['id']}").status == 204
    assert routing(api, connection_id) == "all"


def test_routing_is_read_only(api: Api, connection_id: str) -> None:
    read = api.call("GET", f"/connections/{connection_id}").json
    assert api.call("PATCH", f"/connections/{connection_id}", {"routing": "flows"}).json["routing"] == "all"
    assert api.call("PUT", f"/connections/{connection_id}", read).json["routing"] == "all"


def test_connection_that_flows_name_cannot_be_deleted(api: Api, services: Services, connection_id: str) -> None:
    flows = [post_flow(api, connection_id, name=f"flow {number}") for number in range(7)]
    for query in (f"/{connection_id}", f"?id={connection_id}", f"?id={connection_id}&force=false"):
        refused = api.call("DELETE", f"/connections{query}")
        expect_problem(refused, 409)
        assert f"flow 0 ({flows[0]['id']})" in refused.json["detail"]
        assert "and 2 more name this connection" in refused.json["detail"]
        assert "force=true" in refused.json["detail"]
    assert api.call("GET", f"/connections/{connection_id}").status == 200
    assert services.uplink_queues.depth(connection_id) == (0, 0)


@pytest.mark.parametrize("path", ["/connections/{id}?force=true", "/connections?id={id}&force=true"])
def test_forced_deletion_removes_the_connection_from_its_flows(api: Api, connection_id: str, path: str) -> None:
    other = create(api)["id"]
    both, only = post_flow(api, other, connection_id), post_flow(api, connection_id)
    assert api.call("DELETE", path.replace("{id}", connection_id)).status == 204
    after = api.call("GET", f"/flows/{both['id']}").json
    assert ([each["connectionId"] for each in after["connectors"]], after["version"]) == ([other], 2)
    assert api.call("GET", f"/flows/{only['id']}").json["connectors"] == []


def test_force_is_true_or_false(api: Api, connection_id: str) -> None:
    answer = api.call("DELETE", f"/connections/{connection_id}?force=yes")
    expect_problem(answer, 422)
    assert answer.pointers == {"/force"}


def test_forced_deletion_that_was_killed_is_finished_by_the_reconciler(
    api: Api, services: Services, connection_id: str
) -> None:
    # Given: the record is deleted, and the flow still names it
    made = post_flow(api, connection_id)
    services.connection_store.delete("demo", connection_id)
    assert api.call("GET", f"/flows/{made['id']}").json["connectors"] != []
    # A flow with a connection that is gone is harmless for the others.
    other = create(api)["id"]
    services.ingress.accept("demo", json.dumps(UPLINK).encode())
    assert len(services.uplink_queues.receive(other, 10)) == 1

    # When
    finish(services)

    # Then
    assert api.call("GET", f"/flows/{made['id']}").json["connectors"] == []
    assert left_behind(services)["items"] == [other]


def test_flow_written_while_its_connection_is_deleted_does_not_name_it(
    api: Api, services: Services, connection_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: the connection is deleted after the flow was checked, and before it is written
    create_flow = services.flow_store.create

    def late(flow: Flow, limit: int) -> object:
        assert api.call("DELETE", f"/connections/{connection_id}").status == 204
        return create_flow(flow, limit)

    monkeypatch.setattr(services.flow_store, "create", late)

    # When
    refused = api.call("POST", "/flows", {"name": "n", "connectors": connectors(connection_id)})

    # Then
    expect_problem(refused, 422)
    assert refused.pointers == {"/connectors/0/connectionId"}
    assert api.call("GET", "/flows").json == []
    assert left_behind(services) == NOTHING


def test_flow_written_after_the_check_of_a_deletion_loses_the_connection(
    api: Api, connection_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a flow that names the connection is written after the deletion found none
    check = FlowReferences.check_unused

    def early(self: FlowReferences, tenant: str, connection_id: str) -> None:
        check(self, tenant, connection_id)
        post_flow(api, connection_id)

    monkeypatch.setattr(FlowReferences, "check_unused", early)

    # When
    assert api.call("DELETE", f"/connections/{connection_id}").status == 204

    # Then
    [flow] = api.call("GET", "/flows").json
    assert flow["connectors"] == []


def test_flow_changed_while_a_connection_is_removed_from_it_keeps_the_change(
    api: Api, services: Services, connection_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: another writer is faster once
    made = post_flow(api, connection_id)
    replace = services.flow_store.replace
    calls: list[Flow] = []

    def slow(flow: Flow, expected_version: int, *, check: bool = True) -> object:
        if not check and not calls:
            calls.append(flow)
            stored = services.flow_store.find("demo", flow.id)
            renamed = stored.model_copy(update={"name": "renamed", "version": 2})
            assert replace(renamed, 1, check=False) == []
        return replace(flow, expected_version, check=check)

    monkeypatch.setattr(services.flow_store, "replace", slow)

    # When
    assert api.call("DELETE", f"/connections/{connection_id}?force=true").status == 204

    # Then
    after = api.call("GET", f"/flows/{made['id']}").json
    assert (after["name"], after["connectors"], after["version"]) == ("renamed", [], 3)


def test_next_report_after_the_answer_follows_the_flow(api: Api, services: Services, connection_id: str) -> None:
    counters = itertools.count()

    def received() -> int:
        report = {"DevEUI_uplink": UPLINK["DevEUI_uplink"] | {"FCntUp": next(counters)}}
        services.ingress.accept("demo", json.dumps(report).encode())
        found = services.uplink_queues.receive(connection_id, 10)
        services.uplink_queues.delete_messages(connection_id, [each.receipt for each in found])
        return len(found)

    def change(**fields: Any) -> None:
        assert api.call("PATCH", f"/flows/{made['id']}", fields).status == 200

    assert received() == 1
    made = post_flow(api, connection_id, matchers=[{"type": "thing", "tags": ["site=London"]}])
    assert received() == 0
    change(matchers=[{"type": "thing", "tags": ["SITE=paris"]}])
    assert received() == 1
    change(active=False)
    assert received() == 0
    assert api.call("DELETE", f"/flows/{made['id']}").status == 204
    assert received() == 1
