"""``POST /flows/preview``: who would receive a report, by which flow and with which routing key."""

from typing import Any

import pytest

from chalicelib.entry.services import Services
from tests.functional.connection_cases import TCP, changed, create, expect_problem, left_behind
from tests.functional.doubles import Api
from tests.functional.flow_cases import connectors, post_flow

UPLINK = {
    "DevEUI_uplink": {
        "DevEUI": "20635f0106000123",
        "CustomerData": {"name": "Zürich", "tags": ["site=Paris"]},
        "ModelCfg": "1:TemperatureService",
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
