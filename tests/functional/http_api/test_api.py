"""The HTTP API: health, events, failed messages, connectors and application servers. No answer shows a secret."""

import json
import re
from typing import Any

import pytest

from chalicelib import __version__
from chalicelib.domain.event import Event, Level
from chalicelib.domain.failed_message import Direction
from chalicelib.entry.services import Services
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import EventType
from tests.functional.connection_cases import (
    MASK,
    TCP,
    changed,
    create,
    expect_problem,
    failed,
    left_behind,
)
from tests.functional.doubles import Api


def test_health_and_errors_of_the_gateway_need_no_token(api: Api) -> None:
    stranger = api.as_token(None)
    assert stranger.call("GET", "/health").json == {"status": "ok", "release": __version__}
    assert stranger.call("POST", "/connections", raw=b"<x/>", content_type="text/xml").status == 415
    assert stranger.call("DELETE", "/health").status == 405


def test_health_is_unavailable_while_settings_have_placeholders(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished = {"oidc_issuer": "https://cognito-idp.REGION.amazonaws.com/USER_POOL_ID", "network_server_url": ""}
    monkeypatch.setitem(services.__dict__, "settings", services.settings.model_copy(update=unfinished))
    answer = api.as_token(None).call("GET", "/health")
    expect_problem(answer, 503)
    assert "OIDC_ISSUER, NETWORK_SERVER_URL" in answer.json["detail"]


def test_failed_messages_are_paged_without_internal_fields(api: Api, services: Services) -> None:
    made = create(api)
    messages = [failed(0), failed(1, Direction.DOWNLINK), failed(2)]
    services.failed_messages.add("demo", made["id"], messages)
    path = f"/connections/{made['id']}/messages"
    first = api.call("GET", f"{path}?limit=2&status=failed")
    assert set(first.json[0]) == {
        "id", "time", "direction", "status", "reason", "detail", "devEUI", "routingKey", "attempts", "body",
    }  # fmt: skip
    match = re.fullmatch(r'<([^>]+)>; rel="next"', first.headers["link"])
    assert match
    rest = api.call("GET", match[1])
    assert [m["id"] for m in first.json + rest.json] == [message.id for message in messages[::-1]]
    assert "link" not in rest.headers
    assert [m["id"] for m in api.call("GET", f"{path}?direction=downlink").json] == [messages[1].id]
    for query in ("status=waiting", "direction=up", "limit=0", "cursor=x"):
        expect_problem(api.call("GET", f"{path}?{query}"), 422)


def test_events_are_filtered_by_connection_time_and_level(api: Api, services: Services) -> None:
    made = create(api)
    for n, level in enumerate((Level.INFO, Level.ERROR, Level.WARNING)):
        event = Event(
            id=new_id(1_764_000_000 + n),
            time=iso_time(1_764_000_000 + n),
            level=level,
            type=EventType.OPENED,
            connection_id=made["id"] if n else None,
            message="m",
            details={"n": n},
        )
        services.event_log.add("demo", event)
    until = iso_time(1_764_000_100)
    everything = api.call("GET", f"/events?to={until}").json
    assert [event["details"]["n"] for event in everything] == [2, 1, 0]
    assert set(everything[0]) == {"id", "time", "level", "type", "connectionId", "message", "details"}
    path = f"/connections/{made['id']}/events"
    assert [e["type"] for e in api.call("GET", path).json] == ["CREATED", "OPENED", "OPENED"]
    assert [e["level"] for e in api.call("GET", f"{path}?level=error").json] == ["error"]
    since = iso_time(1_764_000_002)
    assert [e["details"]["n"] for e in api.call("GET", f"/events?from={since}&to={until}").json] == [2]
    assert [e["details"]["n"] for e in api.call("GET", f"/events?to={iso_time(1_764_000_000)}").json] == [0]
    assert len(api.call("GET", "/events?from=2020-01-01T00:00:00+01:00").json) == 4
    for query in ("from=yesterday", "to=", "level=fatal", "limit=101", "cursor=x"):
        expect_problem(api.call("GET", f"/events?{query}"), 422)


def test_connectors_show_the_schema_of_their_configuration(api: Api) -> None:
    (listed,) = api.call("GET", "/connectors").json
    one = api.call("GET", "/connectors/actility-amqp-0.9.1-iot").json
    assert one == listed
    schema = one["connection"]["configurationSchema"]
    assert set(schema["required"]) == {"hostName", "protocol", "uplinkTopicPattern"}
    assert schema["additionalProperties"] is False
    expect_problem(api.call("GET", "/connectors/other"), 404)


def test_application_servers_are_created_and_deleted_with_masked_keys(api: Api, services: Services) -> None:
    made = api.call("POST", "/application-servers", {"asId": "TPX.AS:1@x", "asKey": "very secret"})
    assert made.status == 201
    assert made.headers["location"] == "/application-servers/TPX.AS%3A1%40x"
    assert set(made.json) == {"asId", "asKey", "createdAt"}
    assert made.json["asKey"] == MASK
    assert api.call("GET", "/application-servers").json == [made.json]
    expect_problem(api.call("POST", "/application-servers", {"asId": "TPX.AS:1@x", "asKey": "other"}), 409)
    assert services.application_server_store.keys("TPX.AS:1@x") == [("demo", "very secret")]
    wrong = api.call("POST", "/application-servers", {"asId": "a/b", "asKey": MASK, "x": 1})
    expect_problem(wrong, 422)
    assert wrong.pointers == {"/asId", "/x"}
    expect_problem(api.call("POST", "/application-servers", {"asId": "a", "asKey": MASK}), 422)
    assert api.call("DELETE", made.headers["location"]).status == 204
    expect_problem(api.call("DELETE", made.headers["location"]), 404)
    assert left_behind(services)["secrets"] == []


def test_unexpected_error_is_a_500_with_a_request_id_and_logs_no_secret(
    api: Api, services: Services, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def create(self, tenant: str, document: Any) -> None:
            raise ZeroDivisionError(f"{tenant} {document['configuration']['password']}")

    services.connections = Broken()  # type: ignore[assignment]
    answer = api.call("POST", "/connections", TCP)
    expect_problem(answer, 500)
    assert set(answer.json) == {"type", "title", "status", "requestId"}
    from chalicelib.monitoring import _JsonFormatter  # noqa: PLC0415

    (record,) = [record for record in caplog.records if record.name == "iot_flow"]
    line = _JsonFormatter().format(record)
    assert answer.json["requestId"] in line
    assert "ZeroDivisionError" in line
    assert "mypassword" not in line + capsys.readouterr().out


def test_secrets_appear_in_secrets_manager_only(
    api: Api, services: Services, ssl: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for name in ("botocore", "boto3", "urllib3"):
        caplog.set_level("WARNING", logger=name)
    document = changed(
        ssl, downlinkAsId="AS", downlinkAsKey="as-key-value", trustedCaCertificate=ssl["configuration"]["certificate"]
    )
    seen = [api.call("POST", "/connections", document)]
    path = f"/connections/{seen[0].json['id']}"
    seen += [api.call("GET", path), api.call("GET", "/connections")]
    seen += [
        api.call("PUT", path, seen[1].json),
        api.call("PATCH", path, {"configuration": {"password": "mypassword2"}}),
    ]
    seen += [api.call("POST", "/connections", changed(document, protocol="UDP", hostName="mypassword"))]
    seen += [api.call("POST", "/application-servers", {"asId": "AS", "asKey": "as-key-value"})]
    seen += [api.call("POST", "/application-servers", {"asId": "AS", "asKey": "as-key-value"})]
    seen += [api.call("POST", f"{path}/restart")]
    everything = [answer.body.decode() + json.dumps(answer.headers) for answer in seen]
    tables, queues = services.dynamodb.list_tables()["TableNames"], services.sqs.list_queues()["QueueUrls"]
    everything += [repr(services.dynamodb.scan(TableName=table)["Items"]) for table in tables]
    everything += [repr(services.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)) for url in queues]
    everything += [repr(record.__dict__) for record in caplog.records]
    marks = [
        "mypassword2",
        "as-key-value",
        *("".join(pem.split())[60:100] for pem in (ssl["configuration"]["privateKey"],)),
    ]
    for text in everything:
        assert '"mypassword"' not in text
        assert "'mypassword'" not in text
        for mark in marks:
            assert mark not in text
        assert "PRIVATE KEY" not in text
