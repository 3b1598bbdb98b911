"""The calls of ``/flows``: create, read, list, change, delete."""

from typing import Any

import pytest

from chalicelib.config import Settings
from chalicelib.domain.flows.flow import MAX_KEYS
from chalicelib.entry.services import Services
from tests.functional.connection_cases import UNKNOWN, create, expect_problem
from tests.functional.doubles import Api
from tests.functional.flow_cases import FLOW, connectors, post_flow


@pytest.fixture
def connection_id(api: Api) -> str:
    return str(create(api)["id"])


def keys(number: int) -> list[str]:
    return [f"lora:{each * 0x9E3779B97F4A7C15 % 2**64:016x}" for each in range(number)]


# Create and read


def test_created_flow_is_read_as_it_was_sent(api: Api, connection_id: str) -> None:
    sent = FLOW | {"description": "d", "connectors": connectors(connection_id, uplinkTimeValidity="72h")}
    answer = api.call("POST", "/flows", sent)
    assert answer.status == 201
    made = answer.json
    assert answer.headers["location"] == f"/flows/{made['id']}"
    assert answer.headers["etag"] == '"1"'
    expected = sent["connectors"][0] | {"id": "actility-amqp-0.9.1-iot"}
    assert made == sent | {
        "active": True,
        "connectors": [expected],
        "id": made["id"],
        "createdAt": made["updatedAt"],
        "updatedAt": made["updatedAt"],
        "version": 1,
    }
    read = api.call("GET", f"/flows/{made['id']}")
    assert (read.status, read.json, read.headers["etag"]) == (200, made, '"1"')


def test_flow_needs_only_a_name(api: Api) -> None:
    made = api.call("POST", "/flows", {"name": "draft"}).json
    assert (made["active"], made["matchers"], made["connectors"]) == (True, [], [])
    assert {"description", "driver"}.isdisjoint(made)


def test_unknown_flow_is_not_found(api: Api) -> None:
    for method, document in (("GET", None), ("PUT", {"name": "n"}), ("PATCH", {"name": "n"}), ("DELETE", None)):
        for flow_id in (UNKNOWN, "no-ulid", "%23tenant"):
            expect_problem(api.call(method, f"/flows/{flow_id}", document), 404)


def test_ten_thousand_keys_are_stored_and_read_in_their_order(api: Api, services: Services) -> None:
    matchers = [{"type": "key", "keys": keys(MAX_KEYS)}]
    made = post_flow(api, matchers=matchers)
    assert api.call("GET", f"/flows/{made['id']}").json["matchers"] == matchers
    [item] = services.dynamodb.scan(TableName=services.settings.table("flows"))["Items"]
    assert len(item["matchers"]["B"]) < 200_000


def test_more_flows_than_the_limit_are_refused_until_one_is_deleted(api: Api, services: Services) -> None:
    services.settings = services.settings.model_copy(update={"max_flows_per_tenant": 2})
    first = post_flow(api)
    post_flow(api)
    refused = api.call("POST", "/flows", {"name": "third"})
    expect_problem(refused, 409)
    assert "limit of 2 flows" in refused.json["detail"]
    assert len(api.call("GET", "/flows").json) == 2
    assert api.call("DELETE", f"/flows/{first['id']}").status == 204
    post_flow(api)


# Lists


def test_flows_are_listed_newest_first_and_in_pages(api: Api) -> None:
    made = [post_flow(api, name=f"flow {number}")["id"] for number in range(5)]
    newest_first = sorted(made, reverse=True)
    path, found = "/flows?limit=2", []
    while path:
        page = api.call("GET", path)
        assert 0 < len(page.json) <= 2
        found += [flow["id"] for flow in page.json]
        link = page.headers.get("link", "<>")
        path = link[1 : link.index(">")]
    assert found == newest_first


def test_flows_are_filtered_by_name_and_connection(api: Api, connection_id: str) -> None:
    other = create(api)["id"]
    post_flow(api, connection_id, name="To PARIS")
    post_flow(api, other, connection_id, name="both")
    post_flow(api, name="nowhere")

    def names(query: str) -> set[str]:
        return {flow["name"] for flow in api.call("GET", f"/flows?{query}").json}

    assert names("name=paris") == {"To PARIS"}
    assert names(f"connectionId={connection_id}") == {"To PARIS", "both"}
    assert names(f"connectionId={other}") == {"both"}
    assert names(f"connectionId={UNKNOWN}") == set()
    assert names(f"connectionId={connection_id}&name=BOTH") == {"both"}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=x", "limit=a"])
def test_list_with_wrong_parameters_is_refused(api: Api, query: str) -> None:
    answer = api.call("GET", f"/flows?{query}")
    expect_problem(answer, 422)
    assert answer.pointers == {"/" + query.partition("=")[0]}


def test_page_of_flows_with_many_keys_fits_into_a_lambda_response(api: Api) -> None:
    for _ in range(5):
        post_flow(api, matchers=[{"type": "key", "keys": keys(MAX_KEYS)}])
    first = api.call("GET", "/flows")
    assert len(first.json) == 4
    link = first.headers["link"]
    assert len(api.call("GET", link[1 : link.index(">")]).json) == 1


# Changes


def test_put_replaces_the_whole_flow(api: Api, connection_id: str) -> None:
    made = post_flow(api, connection_id, description="d", driver={"id": "actility:auto:1"})
    for path, document in (
        (f"/flows/{made['id']}", {"name": "new"}),
        ("/flows", {"name": "newer", "id": made["id"]}),
    ):
        changed = api.call("PUT", path, document)
        assert changed.status == 200, changed.body
        assert changed.json["connectors"] == []
        assert {"description", "driver"}.isdisjoint(changed.json)
    assert api.call("GET", f"/flows/{made['id']}").json["version"] == 3


def test_put_without_id_in_the_body_is_refused(api: Api) -> None:
    answer = api.call("PUT", "/flows", {"name": "n"})
    expect_problem(answer, 422)
    assert answer.pointers == {"/id"}


def test_flow_that_was_read_can_be_sent_back(api: Api, connection_id: str) -> None:
    made = post_flow(api, connection_id, **{k: v for k, v in FLOW.items() if k != "connectors"})
    again = api.call("PUT", f"/flows/{made['id']}", made)
    assert again.status == 200, again.body
    assert again.json == made | {"version": 2, "updatedAt": again.json["updatedAt"]}
    other = api.call("PUT", f"/flows/{made['id']}", made | {"id": UNKNOWN})
    expect_problem(other, 422)
    assert other.pointers == {"/id"}


def test_patch_changes_only_the_fields_that_it_names(api: Api, connection_id: str) -> None:
    made = post_flow(api, connection_id, driver={"id": "actility:auto:1"}, matchers=FLOW["matchers"])
    changed = api.call("PATCH", f"/flows/{made['id']}", {"active": False, "driver": None})
    assert changed.status == 200
    expected = made | {"active": False, "version": 2, "updatedAt": changed.json["updatedAt"]}
    del expected["driver"]
    assert changed.json == expected


def test_change_with_an_old_version_is_refused(api: Api) -> None:
    made = post_flow(api)
    path = f"/flows/{made['id']}"
    assert api.call("PATCH", path, {"name": "b"}, if_match='"1"').status == 200
    expect_problem(api.call("PATCH", path, {"name": "c"}, if_match='"1"'), 412)
    expect_problem(api.call("PUT", path, {"name": "c"}, if_match='"1"'), 412)
    expect_problem(api.call("DELETE", path, if_match='"1"'), 412)
    assert api.call("GET", path).json["name"] == "b"
    assert api.call("DELETE", path, if_match='"2"').status == 204


@pytest.mark.parametrize("path", ["/flows/{id}", "/flows?id={id}"])
def test_deleted_flow_is_gone(api: Api, path: str) -> None:
    made = post_flow(api)
    answer = api.call("DELETE", path.replace("{id}", made["id"]))
    assert (answer.status, answer.body) == (204, b"")
    expect_problem(api.call("GET", f"/flows/{made['id']}"), 404)
    expect_problem(api.call("DELETE", path.replace("{id}", made["id"])), 404)


# Violations

ID = "/connectors/0/connectionId"
KEY = {"type": "key", "key": "lora:0018b20000000b20"}
INVALID: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no name": ({"name": ""}, {"/name"}),
    "a blank name": ({"name": " \u200b"}, {"/name"}),
    "a long name": ({"name": "x" * 129}, {"/name"}),
    "a long description": ({"description": "x" * 1025}, {"/description"}),
    "an unknown field": ({"flow": 1}, {"/flow"}),
    "a read-only field": ({"version": 1}, {"/version"}),
    "another type of matcher": ({"matchers": [{"type": "tag"}]}, {"/matchers/0/type"}),
    "a thing without tags": ({"matchers": [{"type": "thing"}]}, {"/matchers/0/tags"}),
    "a key without keys": ({"matchers": [{"type": "key"}]}, {"/matchers/0/key"}),
    "no tag": ({"matchers": [{"type": "thing", "tags": []}]}, {"/matchers/0/tags"}),
    "a blank tag": ({"matchers": [{"type": "thing", "tags": ["a", " "]}]}, {"/matchers/0/tags/1"}),
    "101 matchers": ({"matchers": [KEY] * 101}, {"/matchers"}),
    "51 tags": ({"matchers": [{"type": "thing", "tags": ["a"] * 51}]}, {"/matchers/0/tags"}),
    "tags of a key": ({"matchers": [KEY | {"tags": ["a"]}]}, {"/matchers/0/tags"}),
    "a key of a thing": ({"matchers": [KEY | {"type": "thing", "tags": ["a"]}]}, {"/matchers/0/key"}),
    "key and keys": ({"matchers": [KEY | {"keys": [KEY["key"]]}]}, {"/matchers/0/keys"}),
    "a short prefix": ({"matchers": [{"type": "key", "keys": [KEY["key"], "lora:0018b*"]}]}, {"/matchers/0/keys/1"}),
    "a key without lora": ({"matchers": [{"type": "key", "key": "0018b20000000b20"}]}, {"/matchers/0/key"}),
    "a prefix without an asterisk": ({"matchers": [{"type": "key", "key": "lora:0018b2"}]}, {"/matchers/0/key"}),
    "a longer key": ({"matchers": [{"type": "key", "key": "lora:0018b20000000b200*"}]}, {"/matchers/0/key"}),
    "a line break after a key": ({"matchers": [{"type": "key", "key": KEY["key"] + "\n"}]}, {"/matchers/0/key"}),
    "10,001 keys": ({"matchers": [{"type": "key", "keys": keys(MAX_KEYS)}, KEY]}, {"/matchers"}),
    "an unknown driver": ({"driver": {"id": "mycompany:level-sensor:1"}}, {"/driver/id"}),
    "a driver with a control character": ({"driver": {"id": "a:auto:1\u0007"}}, {"/driver/id"}),
    "an unknown connection": ({"connectors": connectors(UNKNOWN)}, {ID}),
    "an item that is no connection": ({"connectors": connectors("#tenant")}, {ID}),
    "another connector": ({"connectors": [{"id": "kafka", "connectionId": ""}]}, {"/connectors/0/id", ID}),
    "no duration": ({"connectors": connectors("x", uplinkTimeValidity="3w")}, {"/connectors/0/uplinkTimeValidity", ID}),
    "51 connectors": ({"connectors": connectors(*[UNKNOWN] * 51)}, {"/connectors", ID}),
    "many faults": ({"name": 1, "active": "yes", "matchers": {}}, {"/name", "/active", "/matchers"}),
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID)
def test_invalid_flow_is_refused_with_all_its_faults(api: Api, name: str) -> None:
    changes, pointers = INVALID[name]
    answer = api.call("POST", "/flows", {"name": "n"} | changes)
    expect_problem(answer, 422)
    assert pointers <= answer.pointers
    assert len(answer.pointers - pointers) <= (49 if name == "51 connectors" else 0), answer.pointers
    assert all(fault["detail"] for fault in answer.json["errors"])
    assert api.call("GET", "/flows").json == []


def test_fields_at_their_limits_are_accepted(api: Api) -> None:
    matchers = [{"type": "thing", "tags": [str(number) for number in range(50)]}] * 100
    post_flow(api, name="x" * 128, description="x" * 1024, matchers=matchers)
    post_flow(api, matchers=[{"type": "key", "key": "lora:0018b2*"}])


def test_two_hundred_flows_and_drivers_of_a_tenant_are_allowed_by_default() -> None:
    assert (Settings().max_flows_per_tenant, Settings().max_drivers_per_tenant) == (200, 200)


def test_connection_that_a_flow_has_twice_is_refused(api: Api, connection_id: str) -> None:
    answer = api.call("POST", "/flows", {"name": "n", "connectors": connectors(connection_id, connection_id)})
    expect_problem(answer, 422)
    assert answer.pointers == {"/connectors/1/connectionId"}


def test_driver_that_is_chosen_by_the_device_is_accepted(api: Api) -> None:
    assert post_flow(api, driver={"id": "actility:auto:1"})["driver"] == {"id": "actility:auto:1"}


def test_fifty_connectors_of_existing_connections_are_accepted(api: Api, services: Services) -> None:
    stored = services.connection_store.get("demo", create(api)["id"])
    copies = [stored.model_copy(update={"id": f"01JDAAAAAAAAAAAAAAAAAAAA{number:02}"}) for number in range(50)]
    for copy in copies:
        services.connection_store.create(copy, 100)
    made = post_flow(api, *[copy.id for copy in copies])
    assert len(api.call("GET", f"/flows/{made['id']}").json["connectors"]) == 50
