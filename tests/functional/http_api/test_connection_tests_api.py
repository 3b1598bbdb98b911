"""Calls that save nothing: the test of a connection and the preview of a message."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_test import CheckStep
from chalicelib.entry.services import Services
from tests.functional.connection_cases import MASK, TCP, UNKNOWN, changed, create, expect_problem, left_behind
from tests.functional.doubles import READ_ONLY, Api, TestIssuer

CONFIGURATION: dict[str, Any] = {"uplinkTopicPattern": "amqp.things.{DevEUI}.uplink"}
UPLINK: dict[str, Any] = {
    "DevEUI_uplink": {
        "Time": "2026-11-23T09:00:00.000+01:00",
        "DevEUI": "20635f0106000123",
        "FPort": "2",
        "FCntUp": "7",
        "CustomerID": "100000001",
        "payload_hex": "00ff",
        "payload": {"temperature": 1.10},
        "CustomerData": {"name": "Zürich", "tags": ["Paris:west"]},
    }
}


@dataclass
class ScriptedTester:
    """A ``ports.ConnectionTester`` that returns ``steps`` and records the connections that it tested."""

    steps: Sequence[CheckStep] = (CheckStep(name="resolve", ok=True, milliseconds=1, detail="Found."),)
    tried: list[tuple[Connection, ConnectionSecrets]] = field(default_factory=list)

    def test(self, connection: Connection, secrets: ConnectionSecrets, _deadline: float) -> list[CheckStep]:
        self.tried.append((connection, secrets))
        return list(self.steps)


@pytest.fixture
def tester(services: Services) -> ScriptedTester:
    scripted = ScriptedTester()
    services.connection_tester = scripted  # type: ignore[assignment]
    return scripted


# The test of a connection


@pytest.mark.parametrize("document", [TCP, {"configuration": TCP["configuration"]}], ids=["whole", "configuration"])
def test_unsaved_connection_is_tested_and_not_saved(
    api: Api, services: Services, tester: ScriptedTester, document: dict[str, Any]
) -> None:
    answer = api.call("POST", "/connections/test", document)
    assert answer.status == 200
    assert answer.json == {
        "ok": True,
        "steps": [{"name": "resolve", "ok": True, "milliseconds": 1, "detail": "Found."}],
    }
    ((connection, secrets),) = tester.tried
    assert (connection.tenant, connection.configuration.password, secrets.password) == ("demo", MASK, "mypassword")
    assert left_behind(services) == {"items": [], "queues": [], "secrets": []}


def test_failed_step_fails_the_test_with_status_200(api: Api, tester: ScriptedTester) -> None:
    tester.steps = [
        CheckStep(name="resolve", ok=True, milliseconds=1, detail="Found."),
        CheckStep(name="connect", ok=False, milliseconds=2, detail="Refused: check the port."),
    ]
    answer = api.call("POST", "/connections/test", TCP)
    assert answer.status == 200
    assert [answer.json["ok"], *(step["ok"] for step in answer.json["steps"])] == [False, True, False]


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ([], ""),
        ({}, "/configuration"),
        ({"configuration": 5}, "/configuration"),
        ({"configuration": {}}, "/configuration/hostName"),
        (changed(TCP, hostName="10.0.0.1"), "/configuration/hostName"),
        (changed(TCP, password=MASK), "/configuration/password"),
        (TCP | {"unknown": 1}, "/unknown"),
        (TCP | {"name": ""}, "/name"),
    ],
)
def test_invalid_connection_is_not_tested(api: Api, tester: ScriptedTester, document: Any, pointer: str) -> None:
    answer = api.call("POST", "/connections/test", document)
    expect_problem(answer, 422)
    assert pointer in answer.pointers
    assert tester.tried == []


def test_saved_inactive_connection_is_tested_with_its_secrets(api: Api, tester: ScriptedTester) -> None:
    document = create(api, TCP | {"active": False})
    assert api.call("POST", f"/connections/{document['id']}/test").status == 200
    ((connection, secrets),) = tester.tried
    assert (connection.id, secrets.password) == (document["id"], "mypassword")
    assert api.call("GET", f"/connections/{document['id']}").json == document


def test_other_tenant_or_read_only_token_cannot_test_a_connection(
    api: Api, issuer: TestIssuer, tester: ScriptedTester
) -> None:
    connection_id = create(api)["id"]
    expect_problem(api.as_token(issuer.token("other")).call("POST", f"/connections/{connection_id}/test"), 404)
    expect_problem(api.call("POST", f"/connections/{UNKNOWN}/test"), 404)
    read_only = api.as_token(issuer.token(scope=READ_ONLY))
    expect_problem(read_only.call("POST", f"/connections/{connection_id}/test"), 403)
    expect_problem(read_only.call("POST", "/connections/test", TCP), 403)
    assert tester.tried == []


def test_tenant_at_the_rate_limit_gets_429_with_retry_after(
    api: Api, issuer: TestIssuer, services: Services, tester: ScriptedTester
) -> None:
    services.settings = services.settings.model_copy(update={"connection_tests_per_minute": 3})
    services.clock = lambda: 1_800_000_030.0
    for _ in range(3):
        assert api.call("POST", "/connections/test", TCP).status == 200
    refused = api.call("POST", "/connections/test", TCP)
    expect_problem(refused, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json["detail"] == "At most 3 connection tests per minute are allowed. Try again in 30 seconds."
    assert len(tester.tried) == 3
    # An invalid request does not count, and each tenant has its own limit.
    expect_problem(api.call("POST", "/connections/test", {}), 422)
    assert api.as_token(issuer.token("other")).call("POST", "/connections/test", TCP).status == 200


def test_tests_of_all_tenants_at_a_time_are_limited(
    api: Api, issuer: TestIssuer, services: Services, tester: ScriptedTester
) -> None:
    services.settings = services.settings.model_copy(update={"connection_tests_at_once": 2})
    now = [1_800_000_030.0]
    services.clock = lambda: now[0]
    answers: list[Any] = []
    begun: list[bool] = []

    def while_others_run(*_: Any) -> list[CheckStep]:
        """Another tenant's test begins while this one runs."""
        if not begun:
            begun.append(True)
            answers.append(api.as_token(issuer.token("other")).call("POST", "/connections/test", TCP))
        return list(tester.steps)

    services.slots.take("connection-test", "killed", 2, 30.0)
    tester.test = while_others_run  # type: ignore[assignment,method-assign]
    assert api.call("POST", "/connections/test", TCP).status == 200
    [refused] = answers
    expect_problem(refused, 429)
    assert refused.headers["retry-after"] == "10"
    assert refused.json["detail"] == "Too many connections are being tested at this moment. Try again in 10 seconds."
    # A test that ended makes room at once, one of a killed function after its time-out.
    assert api.call("POST", "/connections/test", TCP).status == 200
    now[0] += 31
    answers.clear()
    begun.clear()
    assert api.call("POST", "/connections/test", TCP).status == 200
    assert [answer.status for answer in answers] == [200]


def test_failing_test_makes_room(api: Api, services: Services, tester: ScriptedTester) -> None:
    services.settings = services.settings.model_copy(update={"connection_tests_at_once": 1})

    def fail(*_: Any) -> list[CheckStep]:
        raise RuntimeError

    tester.test, working = fail, tester.test  # type: ignore[assignment,method-assign]
    expect_problem(api.call("POST", "/connections/test", TCP), 500)
    tester.test = working  # type: ignore[method-assign]
    assert api.call("POST", "/connections/test", TCP).status == 200


# The preview of a message


def preview(api: Api, uplink: Any = UPLINK, **configuration: Any) -> Any:
    document = {"configuration": CONFIGURATION | configuration, "uplink": uplink}
    answer = api.call("POST", "/connections/preview", document)
    assert answer.status == 200, answer.body
    return answer.json


def test_preview_shows_the_message_to_be_published(api: Api) -> None:
    shown = preview(api)
    assert shown["routingKey"] == "amqp.things.20635F0106000123.uplink"
    assert shown["headers"] == {
        "devEUI": "20635F0106000123",
        "fPort": 2,
        "fCntUp": 7,
        "customerId": "100000001",
        "connectionId": "preview",
    }
    properties = shown["properties"]
    assert len(properties.pop("message_id")) == 64
    assert properties == {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "timestamp": 1795420800,
        "type": "DevEUI_uplink",
        "app_id": "iot-flow",
    }
    assert json.loads(shown["body"]) == UPLINK


def test_preview_keeps_the_dots_of_a_value_and_warns_of_them(api: Api) -> None:
    fields = UPLINK["DevEUI_uplink"] | {"CustomerData": {"name": "Room 1.2"}}
    shown = preview(api, {"DevEUI_uplink": fields}, uplinkTopicPattern="site.{CustomerData.name}.uplink")
    assert shown["routingKey"] == "site.Room 1.2.uplink"
    (warning,) = shown["warnings"]
    assert warning["pointer"] == "/configuration/uplinkTopicPattern"
    assert "{CustomerData.name}" in warning["detail"]
    assert "site.*.uplink" in warning["detail"]
    # The pattern may hold dots, so that the warning does not depend on the example.
    assert preview(api, uplinkTopicPattern="site.{CustomerData.name}.uplink")["warnings"] == [warning]
    assert "warnings" not in preview(api, uplinkTopicPattern="site.{DevEUI}.{FPort}.{FCntUp}")


def test_preview_keeps_the_bytes_of_the_report(api: Api) -> None:
    uplink = '{ "DevEUI_uplink" : {"DevEUI":"20635F0106000123", "v" : 1.10, "s": "\\u00fc\\ud800", "n": 1e400} }'
    raw = f'{{"uplink": {uplink} , "configuration": {json.dumps(CONFIGURATION)}}}'.encode()
    answer = api.call("POST", "/connections/preview", raw=raw)
    assert answer.status == 200, answer.body
    assert answer.json["body"] == uplink


def test_preview_applies_the_options_that_reduce_the_body(api: Api) -> None:
    assert json.loads(preview(api, sendMetadata=True)["body"]) == UPLINK["DevEUI_uplink"]
    assert preview(api, sendRawDecodedFormat=True)["body"] == '{"temperature": 1.1}'


def test_preview_accepts_a_whole_configuration_with_masked_secrets(api: Api) -> None:
    configuration = create(api)["configuration"]
    assert configuration["password"] == MASK
    assert preview(api, **configuration)["routingKey"] == "amqp.things.20635F0106000123.uplink"


def test_preview_needs_the_read_scope_only(api: Api, issuer: TestIssuer) -> None:
    assert preview(api.as_token(issuer.token(scope=READ_ONLY)))["routingKey"]


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        (5, ""),
        ({}, "/uplink"),
        ({}, "/configuration"),
        ({"uplink": UPLINK, "configuration": {}}, "/configuration/uplinkTopicPattern"),
        ({"uplink": UPLINK, "configuration": {"uplinkTopicPattern": "{"}}, "/configuration/uplinkTopicPattern"),
        ({"uplink": UPLINK, "configuration": {"uplinkTopicPattern": "a\x00"}}, "/configuration/uplinkTopicPattern"),
        ({"uplink": UPLINK, "configuration": {"uplinkTopicPattern": "\ud800"}}, "/configuration/uplinkTopicPattern"),
        ({"uplink": UPLINK, "configuration": {"uplinkTopicPattern": "{no}"}}, "/configuration/uplinkTopicPattern"),
        ({"uplink": UPLINK, "configuration": {"uplinkTopicPattern": "x" * 300}}, "/configuration/uplinkTopicPattern"),
        ({"uplink": UPLINK, "configuration": CONFIGURATION | {"colour": 1}}, "/configuration/colour"),
        ({"uplink": UPLINK, "configuration": CONFIGURATION | {"protocol": "UDP"}}, "/configuration/protocol"),
        ({"uplink": "text", "configuration": CONFIGURATION}, "/uplink"),
        ({"uplink": {}, "configuration": CONFIGURATION}, "/uplink"),
        ({"uplink": {"DevEUI_downlink": {}}, "configuration": CONFIGURATION}, "/uplink/DevEUI_downlink"),
        (
            {"uplink": {"DevEUI_uplink": {"DevEUI": "1"}}, "configuration": CONFIGURATION},
            "/uplink/DevEUI_uplink/DevEUI",
        ),
        ({"uplink": {"BS_alarm": {}}, "configuration": {"uplinkTopicPattern": "a", "sendMetadata": True}}, "/uplink"),
        ({"uplink": UPLINK, "configuration": CONFIGURATION, "more": 1}, "/more"),
    ],
)
def test_invalid_preview_names_the_pointer_of_the_violation(api: Api, document: Any, pointer: str) -> None:
    answer = api.call("POST", "/connections/preview", document)
    expect_problem(answer, 422)
    assert pointer in answer.pointers


def test_preview_lists_violations_of_report_and_configuration_together(api: Api) -> None:
    document = {"uplink": {"A": {}}, "configuration": {"uplinkTopicPattern": "{"}}
    answer = api.call("POST", "/connections/preview", document)
    assert answer.pointers == {"/uplink/A", "/configuration/uplinkTopicPattern"}


def test_preview_of_a_too_large_report_is_413(api: Api) -> None:
    uplink = {"DevEUI_uplink": {"x": "y" * 262_144}}
    expect_problem(api.call("POST", "/connections/preview", {"uplink": uplink, "configuration": CONFIGURATION}), 413)
