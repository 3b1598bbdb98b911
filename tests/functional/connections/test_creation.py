"""Creation of connections: accepted and refused documents, and the cleanup of failed creates."""

import json
import re
from typing import Any

import pytest

from chalicelib.domain.work_items import Wake
from chalicelib.entry.services import Services
from tests.functional.connection_cases import (
    MASK,
    NOTHING,
    TCP,
    Failing,
    changed,
    create,
    expect_problem,
    finish,
    left_behind,
    secrets_of,
)
from tests.functional.doubles import Api


def test_tcp_example_of_specification_works_unchanged(api: Api, services: Services) -> None:
    answer = api.call("POST", "/connections", TCP)
    assert answer.status == 201
    assert answer.headers["location"] == f"/connections/{answer.json['id']}"
    assert answer.headers["etag"] == '"1"'
    document = answer.json
    assert document["state"] == "OPENING"
    assert document["version"] == 1
    assert document["active"] is True
    assert document["alarms"] == []
    assert document["stateReason"] is None
    assert document["startupTime"] is None
    assert document["configuration"]["password"] == MASK
    assert "certificate" not in document["configuration"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["createdAt"])
    assert api.call("GET", f"/connections/{document['id']}").json == document
    assert secrets_of(services, document["id"]).password == "mypassword"
    assert services.uplink_queues.depth(document["id"]) == (0, 0)


def test_ssl_example_of_specification_works_with_real_certificate(
    api: Api, services: Services, ssl: dict[str, Any], pair: tuple[str, str]
) -> None:
    document = create(api, ssl)
    read = document["configuration"]
    assert (read["certificate"], read["privateKey"], read["password"]) == (MASK, MASK, MASK)
    kept = secrets_of(services, document["id"])
    assert kept.certificate.split() == pair[0].split()
    assert kept.private_key.split() == pair[1].split()


def test_pem_with_two_dashes_of_specification_is_accepted(api: Api, ssl: dict[str, Any]) -> None:
    def two_dashes(pem: str) -> str:
        return re.sub(r"-----(BEGIN|END) ([A-Z ]+)-----", r"--\1 \2--", pem).replace("\n", "")

    configuration = ssl["configuration"]
    leaf = configuration["certificate"].split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
    create(api, changed(ssl, certificate=two_dashes(leaf), privateKey=two_dashes(configuration["privateKey"])))


def test_create_sends_probe_and_poll_job_immediately(api: Api, services: Services) -> None:
    document = create(api)
    body = services.sqs.receive_message(QueueUrl=services.wake_queue.url)["Messages"][0]["Body"]
    wake = Wake.model_validate_json(body)
    record = services.connection_store.get("demo", document["id"])
    assert (wake.tenant, wake.connection_id, wake.message_id) == ("demo", document["id"], None)
    assert wake.probe == record.epoch
    poll = json.loads(services.sqs.receive_message(QueueUrl=services.poll_queue.url)["Messages"][0]["Body"])
    assert poll["targets"] == [{"tenant": "demo", "connectionId": document["id"]}]
    assert [c.id for c in services.connection_store.probes_due(services.clock())] == [document["id"]]


def test_inactive_connection_is_deactivated_and_sends_no_wake(api: Api, services: Services) -> None:
    assert create(api, TCP | {"active": False})["state"] == "DEACTIVATED"
    assert "Messages" not in services.sqs.receive_message(QueueUrl=services.wake_queue.url)
    assert list(services.connection_store.all_active()) == []


def test_connection_without_downlinks_sends_no_poll_job(api: Api, services: Services) -> None:
    create(api, changed(TCP, downlinkEnabled=False))
    assert "Messages" not in services.sqs.receive_message(QueueUrl=services.poll_queue.url)


def test_create_succeeds_when_only_the_wake_fails(api: Api, services: Services) -> None:
    services.sqs.delete_queue(QueueUrl=services.poll_queue.url)
    create(api)


def test_all_violations_are_reported_together(api: Api) -> None:
    document = {
        "connectorId": "other",
        "nmae": "x",
        "configuration": {
            "hostName": "127.0.0.1",
            "protocol": "UDP",
            "uplinkTopicPattern": "{DevEUI",
            "username": "only",
            "connectionTimeout": 1,
            "downlinkPort": 0,
            "certificate": "nonsense",
        },
    }
    answer = api.call("POST", "/connections", document)
    expect_problem(answer, 422)
    assert answer.pointers >= {
        "/connectorId",
        "/name",
        "/nmae",
        "/configuration/hostName",
        "/configuration/protocol",
        "/configuration/uplinkTopicPattern",
        "/configuration/downlinkTopicPattern",
        "/configuration/connectionTimeout",
        "/configuration/downlinkPort",
    }
    assert all(fault["detail"] for fault in answer.json["errors"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"name": "\xff"}', 400),
        (b'{"name": 1, "name": 2}', 400),
        (b'{"name": NaN}', 400),
        (b"[" * 100_000, 400),
        (b'{"name": ' + b"1" * 5000 + b"}", 422),
        (b'{"name": "\\ud800"}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b'"x"', 422),
        (b" " * 300_000, 413),
    ],
)
@pytest.mark.parametrize("path", ["/connections", "/application-servers"])
def test_bodies_that_are_not_json_objects_are_refused(api: Api, path: str, body: bytes, status: int) -> None:
    expect_problem(api.call("POST", path, raw=body, content_type="application/json; charset=utf-8"), status)


def test_masked_secrets_are_refused_in_create(api: Api, services: Services) -> None:
    answer = api.call("POST", "/connections", changed(TCP, password=MASK))
    expect_problem(answer, 422)
    assert answer.pointers == {"/configuration/password"}
    assert left_behind(services) == NOTHING


def test_create_beyond_tenant_limit_conflicts_and_leaves_nothing(api: Api, services: Services) -> None:
    for _ in range(5):
        create(api)
    before = left_behind(services)
    expect_problem(api.call("POST", "/connections", TCP), 409)
    assert left_behind(services) == before


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("connection_store", "reserve"),
        ("secret_store", "put"),
        ("uplink_queues", "create"),
        ("connection_store", "create"),
    ],
)
def test_failed_create_leaves_nothing(api: Api, services: Services, part: str, method: str, after: bool) -> None:
    setattr(services, part, Failing(getattr(services, part), method, after=after))
    expect_problem(api.call("POST", "/connections", TCP), 503)
    if method == "reserve":
        finish(services)
    assert left_behind(services) == NOTHING
    assert services.connection_store.generation("demo") in (0, 2)


class _Killed(BaseException):
    """Simulates that Lambda ends the process: no handler of ``Exception`` runs."""


@pytest.mark.parametrize(
    ("part", "method"),
    [("secret_store", "put"), ("uplink_queues", "create"), ("connection_store", "create")],
)
def test_reconciler_removes_remains_of_killed_create(
    api: Api, services: Services, part: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise _Killed

    monkeypatch.setattr(type(getattr(services, part)), method, killed)
    with pytest.raises(_Killed):
        api.call("POST", "/connections", TCP)
    monkeypatch.undo()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert len(left_behind(services)["items"]) == 1
    assert services.connections.finish() == 0
    assert finish(services) == 1
    assert left_behind(services) == NOTHING


def test_connection_to_the_downlinks_of_another_one_is_answered_with_a_warning(api: Api) -> None:
    first = create(api)
    assert "warnings" not in first
    second = create(api, TCP | {"name": "Second"})
    (warning,) = second["warnings"]
    assert warning["pointer"] == "/configuration/downlinkTopicPattern"
    assert first["id"] in warning["detail"]
    assert "warnings" not in api.call("GET", f"/connections/{second['id']}").json
    # What an answer contains can be sent back, and each change is answered alike.
    assert api.call("PUT", f"/connections/{second['id']}", second).json["warnings"] == [warning]
    path = f"/connections/{first['id']}"
    assert second["id"] in api.call("PATCH", path, {"name": "x"}).json["warnings"][0]["detail"]
    assert "warnings" not in api.call("PATCH", path, {"configuration": {"downlinkTopicPattern": "other.#"}}).json
    assert "warnings" not in api.call("PATCH", path, {"configuration": {"downlinkEnabled": False}}).json
