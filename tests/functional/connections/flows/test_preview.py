"""``POST /flows/preview``: who would receive a report, by which flow and with which routing key."""

from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.domain.flows.flow import FlowConnector
from chalicelib.entry.services import Services
from tests.functional.connection_cases import TCP, changed, create, expect_problem, left_behind
from tests.functional.doubles import Api, CodecFunction
from tests.functional.driver_cases import CODE, DRIVER, add_driver, post_driver
from tests.functional.flow_cases import add_flow, connectors, post_flow

UPLINK = {
    "DevEUI_uplink": {
        "DevEUI": "20635f0106000123",
        "CustomerData": {"name": "Zürich", "tags": ["site=Paris"]},
        "ModelCfg": "1:TemperatureService",
    }
}


PAYLOAD = {
    "DevEUI_uplink": UPLINK["DevEUI_uplink"]
    | {
        "FPort": 2,
        "payload_hex": "00c864",
        "DriverCfg": {"mod": {"pId": "mycompany", "mId": "level-sensor", "ver": "1"}},
    }
}


def preview(api: Api, uplink: Any = UPLINK) -> dict[str, Any]:
    answer = api.call("POST", "/flows/preview", {"uplink": uplink})
    assert answer.status == 200, answer.body
    return {each["name"]: each for each in answer.json["connections"]} | {"tags": answer.json["tags"]}


def named(api: Api, name: str, **configuration: Any) -> str:
    return str(create(api, changed(TCP, **configuration) | {"name": name})["id"])


def test_preview_shows_flow_matcher_and_routing_key_of_each_connection(api: Api) -> None:
    # Given
    everything = named(api, "all")
    by_tag = named(api, "by tag", uplinkTopicPattern="{CustomerData.name}.{DevEUI}")
    named(api, "other")
    matchers = [{"type": "key", "key": "lora:0000000000000000"}, {"type": "thing", "tags": ["SITE=paris"]}]
    flow = post_flow(
        api,
        name="Paris",
        matchers=matchers,
        driver={"id": "actility:auto:1"},
        connectors=connectors(by_tag, uplinkTimeValidity="1h"),
    )

    # When
    found = preview(api)

    # Then
    assert found["tags"] == ["site=Paris", "TemperatureService"]
    assert found["all"] == {
        "connectionId": everything,
        "name": "all",
        "active": True,
        "routing": "all",
        "receives": True,
        "flow": None,
        "decoded": None,
        "routingKey": "amqp.things.20635F0106000123.uplink",
        "detail": None,
    }
    assert found["by tag"] == {
        "connectionId": by_tag,
        "name": "by tag",
        "active": True,
        "routing": "flows",
        "receives": True,
        "flow": {
            "id": flow["id"],
            "name": "Paris",
            "matcher": 1,
            "driver": "actility:auto:1",
            "uplinkTimeValidity": "1h",
        },
        "decoded": None,
        "routingKey": "Zürich.20635F0106000123",
        "detail": None,
    }


def test_preview_says_why_a_connection_would_not_receive_the_report(api: Api) -> None:
    inactive = create(api, TCP | {"name": "inactive", "active": False})["id"]
    named(api, "metadata", sendMetadata=True)
    named(api, "unresolved", uplinkTopicPattern="{missing}")
    filtered = named(api, "filtered")
    post_flow(api, filtered, inactive, matchers=[{"type": "thing", "tags": ["London"]}])
    found = preview(api, {"DevEUI_location": UPLINK["DevEUI_uplink"]})
    for name in ("inactive", "metadata", "unresolved", "filtered"):
        assert found[name]["routingKey"] is None
        assert found[name]["detail"], name
    assert [found[name]["receives"] for name in ("inactive", "filtered")] == [False, False]
    assert found["filtered"]["flow"] is None


def test_preview_of_a_flow_without_matchers_names_no_matcher(api: Api) -> None:
    post_flow(api, named(api, "c"), name="all")
    assert preview(api, {"BS_alarm": {}})["c"]["flow"]["matcher"] is None


def test_preview_stores_nothing(api: Api, services: Services) -> None:
    connection_id = named(api, "c")
    before = left_behind(services)
    preview(api)
    assert left_behind(services) == before
    assert services.uplink_queues.depth(connection_id) == (0, 0)


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({}, {"/uplink"}),
        ({"uplink": None}, {"/uplink"}),
        ({"uplink": {}}, {"/uplink"}),
        ({"uplink": {"DevEUI_downlink": {}}}, {"/uplink/DevEUI_downlink"}),
        ({"uplink": UPLINK, "flow": {}}, {"/flow"}),
        ([], {""}),
    ],
)
def test_preview_without_a_report_is_refused(api: Api, document: Any, pointers: set[str]) -> None:
    answer = api.call("POST", "/flows/preview", document)
    expect_problem(answer, 422)
    assert answer.pointers == pointers


def test_preview_decodes_with_the_driver_of_the_flow(api: Api) -> None:
    # Given: one connection without a flow, one with a driver by its id, one with the driver that fits the device
    named(api, "bytes")
    pattern = "{DevEUI}.{payload.temperature}"
    exact, automatic = (named(api, name, uplinkTopicPattern=pattern) for name in ("exact", "automatic"))
    post_driver(api)
    for connection_id, driver in ((exact, DRIVER["id"]), (automatic, "actility:auto:1")):
        post_flow(api, connection_id, driver={"id": driver})

    # When
    found = preview(api, PAYLOAD)

    # Then: the routing key is that of the decoded report
    for name in ("exact", "automatic"):
        decoded = found[name]["decoded"]
        assert decoded.pop("milliseconds") >= 0
        assert decoded == {
            "driver": DRIVER["id"],
            "name": "Level sensor",
            "payload": {"temperature": 2, "battery": 100},
            "warnings": [],
            "errors": [],
        }
        assert found[name]["routingKey"] == "20635F0106000123.2"
    assert found["bytes"]["decoded"] is None


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("throw new Error('no');", "no (line 1)"),
        ("return { errors: ['too short'] };", "too short"),
        ("while (true) {}", "100 ms"),
        ("return { data: {}.missing };", "The driver returned no data."),
        ("return { data: { a: 0 / 0 } };", "NaN"),
    ],
)
def test_preview_shows_the_errors_of_a_driver_as_data(api: Api, body: str, error: str) -> None:
    connection_id = named(api, "c", uplinkTopicPattern="{payload.a}")
    post_driver(api, code=f"function decodeUplink(input) {{ {body} }}")
    post_flow(api, connection_id, driver={"id": DRIVER["id"]})
    found = preview(api, PAYLOAD)["c"]
    assert found["decoded"]["payload"] is None
    assert error in " ".join(found["decoded"]["errors"])
    # As in the real report, the pattern finds no payload.
    assert (found["receives"], found["routingKey"]) == (True, None)
    assert "payload.a" in found["detail"]


def test_preview_shows_warnings_of_a_driver(api: Api) -> None:
    post_driver(api, code="function decodeUplink() { return { data: {}, warnings: ['old'] }; }")
    post_flow(api, named(api, "c"), driver={"id": DRIVER["id"]})
    assert preview(api, PAYLOAD)["c"]["decoded"]["warnings"] == ["old"]


@pytest.mark.parametrize(
    "fields", [{"FPort": 0}, {"FPort": None}, {"payload_hex": None}, {"payload_hex": ""}, {"DriverCfg": {}}], ids=str
)
def test_preview_decodes_nothing_where_a_forwarder_would_not(
    api: Api, functions: CodecFunction, fields: dict[str, Any]
) -> None:
    post_driver(api)
    post_flow(api, named(api, "c"), driver={"id": "actility:auto:1"})
    functions.requests.clear()
    assert preview(api, {"DevEUI_uplink": PAYLOAD["DevEUI_uplink"] | fields})["c"]["decoded"] is None
    assert functions.requests == []


def test_preview_decodes_nothing_for_connections_that_do_not_receive(api: Api, functions: CodecFunction) -> None:
    post_driver(api)
    inactive = create(api, TCP | {"name": "inactive", "active": False})["id"]
    post_flow(api, inactive, driver={"id": DRIVER["id"]})
    post_flow(api, named(api, "c"), driver={"id": DRIVER["id"]}, matchers=[{"type": "thing", "tags": ["London"]}])
    functions.requests.clear()
    assert [preview(api, PAYLOAD)[name]["decoded"] for name in ("inactive", "c")] == [None, None]
    assert functions.requests == []


def test_preview_names_a_driver_that_does_not_exist_any_more(api: Api, services: Services) -> None:
    connection_id = named(api, "c")
    driver = add_driver(services, "gone:driver:1")
    add_flow(
        services,
        "01JD0000000000000000000000",
        driver=driver.id,
        connectors=[FlowConnector(connection_id=connection_id)],
    )
    services.dynamodb.delete_item(
        TableName=services.settings.table("drivers"), Key={"tenant": {"S": "demo"}, "id": {"S": driver.id}}
    )
    decoded = preview(api, PAYLOAD)["c"]["decoded"]
    assert (decoded["driver"], decoded["errors"]) == (driver.id, ["The driver gone:driver:1 does not exist any more."])


def test_preview_calls_the_codec_once_for_each_driver(api: Api, functions: CodecFunction) -> None:
    first, second, third = (named(api, str(number)) for number in range(3))
    post_driver(api)
    post_driver(api, id="mycompany:other:1", code=CODE + "// other")
    post_flow(api, first, second, driver={"id": DRIVER["id"]})
    post_flow(api, third, driver={"id": "mycompany:other:1"})
    functions.requests.clear()
    found = preview(api, PAYLOAD)
    assert [found[str(number)]["decoded"]["payload"]["battery"] for number in range(3)] == [100] * 3
    assert [len(request["messages"]) for request in functions.requests] == [2]


def test_preview_is_refused_while_the_codec_is_down(api: Api, functions: CodecFunction) -> None:
    post_driver(api)
    post_flow(api, named(api, "c"), driver={"id": DRIVER["id"]})
    functions.failure = ReadTimeoutError(endpoint_url="codec")
    expect_problem(api.call("POST", "/flows/preview", {"uplink": PAYLOAD}), 503)
    assert api.call("POST", "/flows/preview", {"uplink": UPLINK}).status == 200


def test_payloads_of_a_preview_fit_into_one_response(api: Api) -> None:
    # Given: more payloads than a response of Lambda holds
    post_driver(api, code="function decodeUplink() { return { data: '€'.repeat(260000) }; }")
    for number in range(5):
        post_flow(api, named(api, str(number)), driver={"id": DRIVER["id"]})
    limit = 3 * 260_000

    # When
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chalicelib.connections.flows.preview._MAX_PAYLOADS", limit + 10)
        found = preview(api, PAYLOAD)

    # Then
    shown = [found[str(number)]["decoded"] for number in range(5)]
    assert [each["payload"] is None for each in shown] == [True, True, False, False, False]
    assert all("not shown" in each["errors"][0] for each in shown[:2])
