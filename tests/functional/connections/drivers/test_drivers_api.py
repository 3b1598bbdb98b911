"""The calls of ``/drivers``: create, read, list, replace, delete."""

import random
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.domain.drivers.driver import MAX_CODE
from chalicelib.entry.services import Services
from chalicelib.errors import NotFound
from tests.functional.connection_cases import create, expect_problem
from tests.functional.doubles import Api, CodecFunction
from tests.functional.driver_cases import CODE, DRIVER, post_driver
from tests.functional.flow_cases import post_flow

PATH = f"/drivers/{DRIVER['id']}"


def test_created_driver_is_read_as_it_was_sent(api: Api) -> None:
    sent = DRIVER | {"description": "d"}
    answer = api.call("POST", "/drivers", sent)
    assert answer.status == 201
    assert (answer.headers["location"], answer.headers["etag"]) == ("/drivers/mycompany%3Alevel-sensor%3A1", '"1"')
    made = answer.json
    assert made == sent | {
        "codeSize": len(CODE),
        "createdAt": made["createdAt"],
        "updatedAt": made["createdAt"],
        "version": 1,
    }
    read = api.call("GET", PATH)
    assert (read.status, read.json, read.headers["etag"]) == (200, made, '"1"')


def test_driver_needs_only_id_and_code(api: Api) -> None:
    made = api.call("POST", "/drivers", {"id": "a:b:1", "code": "function Decoder() {}"}).json
    assert (made["name"], made["signature"], made["models"]) == ("a:b:1", "lora-alliance", [])


def test_id_of_a_driver_may_be_escaped_in_the_path(api: Api) -> None:
    post_driver(api)
    assert api.call("GET", "/drivers/mycompany%3Alevel-sensor%3A1").status == 200


def test_driver_with_a_known_id_is_refused(api: Api) -> None:
    post_driver(api)
    refused = api.call("POST", "/drivers", DRIVER)
    expect_problem(refused, 409)
    assert "PUT" in refused.json["detail"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"id": "two:parts"}, "/id"),
        ({"id": "a:b:c:d"}, "/id"),
        ({"id": "a:b c:1"}, "/id"),
        ({"id": "actility:auto:1"}, "/id"),
        ({"id": None}, "/id"),
        ({"name": ""}, "/name"),
        ({"name": "\u202e"}, "/name"),
        ({"signature": "other"}, "/signature"),
        ({"code": ""}, "/code"),
        ({"code": 1}, "/code"),
        ({"code": "\u00e9" * (MAX_CODE // 2 + 1)}, "/code"),
        ({"models": [{"producerId": "p"}]}, "/models/0/moduleId"),
        ({"models": [{"producerId": "p", "moduleId": "m", "version": "1", "x": 1}]}, "/models/0/x"),
        ({"sigature": "ttn"}, "/sigature"),
    ],
)
def test_invalid_field_is_named(api: Api, changes: dict[str, Any], pointer: str) -> None:
    refused = api.call("POST", "/drivers", DRIVER | changes)
    expect_problem(refused, 422)
    assert pointer in refused.pointers
    assert all(fault["detail"].endswith((".", "?")) for fault in refused.json["errors"])


def test_syntax_error_is_refused_with_line_and_column(api: Api) -> None:
    refused = api.call("POST", "/drivers", DRIVER | {"code": "function decodeUplink(input) {\n  let x = ;\n}"})
    expect_problem(refused, 422)
    [fault] = refused.json["errors"]
    assert (fault["pointer"], fault["line"], fault["column"]) == ("/code", 2, 11)
    assert "line 2, column 11" in fault["detail"]
    expect_problem(api.call("GET", PATH), 404)


def test_code_is_not_run_when_it_is_saved(api: Api) -> None:
    assert post_driver(api, code="while (true) {}")["version"] == 1


def test_code_of_512_kb_that_does_not_compress_is_stored_and_read(api: Api, services: Services) -> None:
    # Given: an item of DynamoDB has at most 400 KB
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/\u00e9\u4e2d"
    noise = "".join(random.Random(1).choices(letters, k=460_000))  # noqa: S311  # noise, not a secret
    code = f"//{noise}"
    code += "x" * (MAX_CODE - len(code.encode()))

    # When
    post_driver(api, code=code)

    # Then
    assert api.call("GET", PATH).json["code"] == code
    sizes = [
        sum(len(str(value)) for value in item.values())
        for item in services.dynamodb.scan(TableName=services.settings.table("drivers"))["Items"]
    ]
    assert len(sizes) > 2
    assert api.call("DELETE", PATH).status == 204
    assert services.dynamodb.scan(TableName=services.settings.table("drivers"))["Items"] == []


def test_list_has_drivers_by_id_without_code_and_in_pages(api: Api) -> None:
    for name in ("c", "a", "b"):
        post_driver(api, id=f"x:{name}:1", name=f"Sensor {name}")
    first = api.call("GET", "/drivers?limit=2")
    assert [each["id"] for each in first.json] == ["x:a:1", "x:b:1"]
    assert all("code" not in each for each in first.json)
    link = first.headers["link"]
    second = api.call("GET", link[1 : link.index(">")])
    assert [each["id"] for each in second.json] == ["x:c:1"]
    assert "link" not in second.headers
    assert [each["id"] for each in api.call("GET", "/drivers?name=SENSOR%20B").json] == ["x:b:1"]
    expect_problem(api.call("GET", "/drivers?limit=0"), 422)
    expect_problem(api.call("GET", "/drivers?cursor=nonsense"), 422)


def test_driver_is_replaced_with_its_read_only_fields_sent_back(api: Api, services: Services) -> None:
    made = post_driver(api)
    stored = services.driver_store.find("demo", DRIVER["id"])
    answer = api.call("PUT", PATH, made | {"code": "function decodeUplink() { return { data: 2 }; }"})
    assert (answer.status, answer.json["version"], answer.headers["etag"]) == (200, 2, '"2"')
    assert api.call("POST", f"{PATH}/decode-uplink", {"bytes": "00"}).json["data"] == 2
    with pytest.raises(NotFound):
        services.driver_store.code(stored)
    unchanged = api.call("PUT", PATH, answer.json | {"name": "other"}).json
    assert (unchanged["version"], unchanged["code"]) == (3, answer.json["code"])
    assert api.call("GET", PATH).json == unchanged


def test_replacement_depends_on_version_and_id(api: Api) -> None:
    post_driver(api)
    expect_problem(api.call("PUT", PATH, DRIVER, if_match='"7"'), 412)
    wrong = api.call("PUT", PATH, DRIVER | {"id": "a:b:1"})
    expect_problem(wrong, 422)
    assert wrong.pointers == {"/id"}
    expect_problem(api.call("PUT", "/drivers/a:b:1", DRIVER | {"id": "a:b:1"}), 404)
    expect_problem(api.call("PUT", PATH, DRIVER | {"code": "("}), 422)
    assert api.call("GET", PATH).json["version"] == 1


def test_driver_is_deleted_unless_a_flow_names_it(api: Api) -> None:
    post_driver(api)
    flow = post_flow(api, driver={"id": DRIVER["id"]})
    refused = api.call("DELETE", PATH)
    expect_problem(refused, 409)
    assert flow["id"] in refused.json["detail"]
    api.call("PATCH", f"/flows/{flow['id']}", {"driver": None})
    expect_problem(api.call("DELETE", PATH, if_match='"9"'), 412)
    assert api.call("DELETE", PATH).status == 204
    expect_problem(api.call("DELETE", PATH), 404)
    expect_problem(api.call("PATCH", f"/flows/{flow['id']}", {"driver": {"id": DRIVER["id"]}}), 422)


def test_flow_that_names_the_driver_during_its_deletion_prevents_it(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: the flow is written after the deletion has found no flow
    post_driver(api)
    store = services.driver_store
    delete = store.delete

    def late(driver: Any, generation: int) -> bool:
        monkeypatch.undo()
        post_flow(api, driver={"id": DRIVER["id"]})
        return delete(driver, generation)

    monkeypatch.setattr(store, "delete", late)

    # Then
    expect_problem(api.call("DELETE", PATH), 409)
    assert api.call("GET", PATH).status == 200


def test_flow_cannot_name_a_driver_that_is_deleted_during_its_check(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    post_driver(api)
    monkeypatch.setattr(services.driver_store, "exists", lambda *_: True)
    refused = api.call("POST", "/flows", {"name": "n", "driver": {"id": "no:such:1"}})
    expect_problem(refused, 422)
    assert refused.pointers == {"/driver/id"}
    assert api.call("GET", "/flows").json == []


def test_more_drivers_than_the_limit_are_refused_until_one_is_deleted(api: Api, services: Services) -> None:
    services.settings = services.settings.model_copy(update={"max_drivers_per_tenant": 1})
    create(api)
    post_driver(api)
    refused = api.call("POST", "/drivers", DRIVER | {"id": "a:b:1"})
    expect_problem(refused, 409)
    assert "limit of 1 drivers" in refused.json["detail"]
    assert api.call("DELETE", PATH).status == 204
    post_driver(api, id="a:b:1")


def test_codec_that_does_not_answer_is_503(api: Api, functions: CodecFunction) -> None:
    functions.failure = ReadTimeoutError(endpoint_url="http://codec")
    expect_problem(api.call("POST", "/drivers", DRIVER), 503)
    functions.failure = None
    post_driver(api)
