"""The HTTP API from outside: who may, what is refused, what is kept and what never shows."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chalicelib.bootstrap import Services
from chalicelib.errors import NotFound, PreconditionFailed, Unavailable
from chalicelib.ids import new_id
from chalicelib.models import Direction, Event, FailedMessage, Level, Wake, iso_time
from chalicelib.state import ConnectionState

from .doubles import Answer, Api, RecordingRemover, TestIssuer

MASK = "*****"
TCP: dict[str, Any] = {
    "connectorId": "actility-amqp-0.9.1-iot",
    "name": "Actility AMQP (TCP) Connection",
    "configuration": {
        "uplinkTopicPattern": "amqp.things.{DevEUI}.uplink",
        "downlinkTopicPattern": "amqp.things.{DevEUI}.downlink",
        "hostName": "amqp.actility.com:5672",
        "protocol": "TCP",
        "username": "mycompany",
        "password": "mypassword",
        "exchangeName": "IotFlowExchange",
    },
}
UNKNOWN = "01HF7YAT00M9GG329YN3DG02SB"


@pytest.fixture(scope="session")
def pair() -> tuple[str, str]:
    """A client certificate and its key, PEM."""
    issued = trustme.CA().issue_cert("client.test")
    certificate = b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode()
    return certificate, issued.private_key_pem.bytes().decode()


@pytest.fixture
def ssl(pair: tuple[str, str]) -> dict[str, Any]:
    certificate, key = pair
    configuration = TCP["configuration"] | {
        "hostName": "amqp.actility.com:5671",
        "protocol": "SSL",
        "certificate": certificate,
        "privateKey": key,
    }
    return TCP | {"name": "Actility AMQP (SSL) Connection", "configuration": configuration}


def changed(document: dict[str, Any], **configuration: Any) -> dict[str, Any]:
    return document | {"configuration": document["configuration"] | configuration}


def create(api: Api, document: dict[str, Any] = TCP) -> Any:
    answer = api.call("POST", "/connections", document)
    assert answer.status == 201, answer.body
    return answer.json


def secrets_of(services: Services, connection_id: str, tenant: str = "demo") -> Any:
    record = services.connection_store.get(tenant, connection_id)
    assert record.secret_version
    return Services(services.settings).secret_store.get(tenant, connection_id, record.secret_version)


def left_behind(services: Services) -> dict[str, Any]:
    """Everything that a connection consists of, in all of AWS."""
    table = services.settings.table("connections")
    items = services.dynamodb.scan(TableName=table)["Items"]
    queues = services.sqs.list_queues(QueueNamePrefix=services.settings.queue("uplinks-")).get("QueueUrls", [])
    secrets = services.secretsmanager.list_secrets()["SecretList"]
    return {
        "items": [item["id"]["S"] for item in items if item["id"]["S"] != "#tenant"],
        "queues": queues,
        "secrets": [secret["Name"] for secret in secrets],
    }


NOTHING: dict[str, Any] = {"items": [], "queues": [], "secrets": []}


# Who may


def expect_problem(answer: Answer, status: int) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    # A problem may quote what was sent.
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json["status"] == status
    assert answer.json["title"]
    assert answer.json["type"]


def test_health_and_the_gateways_own_answers_need_no_token(api: Api) -> None:
    stranger = api.as_token(None)
    assert stranger.call("GET", "/health").json == {"status": "ok"}
    assert stranger.call("POST", "/connections", raw=b"<x/>", content_type="text/xml").status == 415
    assert stranger.call("DELETE", "/health").status == 405


# Create


def test_the_specifications_tcp_example_works_as_it_stands(api: Api, services: Services) -> None:
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


def test_the_specifications_ssl_example_works_with_a_real_certificate(
    api: Api, services: Services, ssl: dict[str, Any], pair: tuple[str, str]
) -> None:
    document = create(api, ssl)
    read = document["configuration"]
    assert (read["certificate"], read["privateKey"], read["password"]) == (MASK, MASK, MASK)
    kept = secrets_of(services, document["id"])
    assert kept.certificate.split() == pair[0].split()
    assert kept.private_key.split() == pair[1].split()


def test_the_specifications_two_dash_pem_is_taken(api: Api, ssl: dict[str, Any]) -> None:
    def two_dashes(pem: str) -> str:
        return re.sub(r"-----(BEGIN|END) ([A-Z ]+)-----", r"--\1 \2--", pem).replace("\n", "")

    configuration = ssl["configuration"]
    leaf = configuration["certificate"].split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
    create(api, changed(ssl, certificate=two_dashes(leaf), privateKey=two_dashes(configuration["privateKey"])))


def test_a_create_asks_the_forwarder_and_the_consumer_to_connect_at_once(api: Api, services: Services) -> None:
    document = create(api)
    body = services.sqs.receive_message(QueueUrl=services.wake_queue.url)["Messages"][0]["Body"]
    wake = Wake.model_validate_json(body)
    record = services.connection_store.get("demo", document["id"])
    assert (wake.tenant, wake.connection_id, wake.message_id) == ("demo", document["id"], None)
    assert wake.probe == record.epoch
    poll = json.loads(services.sqs.receive_message(QueueUrl=services.poll_queue.url)["Messages"][0]["Body"])
    assert poll["targets"] == [{"tenant": "demo", "connectionId": document["id"]}]
    assert [c.id for c in services.connection_store.probes_due(services.clock())] == [document["id"]]


def test_an_inactive_one_is_deactivated_and_asks_for_nothing(api: Api, services: Services) -> None:
    assert create(api, TCP | {"active": False})["state"] == "DEACTIVATED"
    assert "Messages" not in services.sqs.receive_message(QueueUrl=services.wake_queue.url)
    assert list(services.connection_store.all_active()) == []


def test_without_downlinks_no_consumer_is_asked(api: Api, services: Services) -> None:
    create(api, changed(TCP, downlinkEnabled=False))
    assert "Messages" not in services.sqs.receive_message(QueueUrl=services.poll_queue.url)


def test_a_create_succeeds_when_only_the_wake_fails(api: Api, services: Services) -> None:
    services.sqs.delete_queue(QueueUrl=services.poll_queue.url)
    create(api)


def test_all_faults_come_at_once(api: Api) -> None:
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
def test_bodies_that_are_no_documents_are_refused(api: Api, path: str, body: bytes, status: int) -> None:
    expect_problem(api.call("POST", path, raw=body, content_type="application/json; charset=utf-8"), status)


def test_masks_are_refused_in_a_create(api: Api, services: Services) -> None:
    answer = api.call("POST", "/connections", changed(TCP, password=MASK))
    expect_problem(answer, 422)
    assert answer.pointers == {"/configuration/password"}
    assert left_behind(services) == NOTHING


def test_the_tenants_limit_is_a_conflict_and_leaves_nothing_behind(api: Api, services: Services) -> None:
    for _ in range(5):
        create(api)
    before = left_behind(services)
    expect_problem(api.call("POST", "/connections", TCP), 409)
    assert left_behind(services) == before


class _Failing:
    """A double that fails one method, before or after it did its work."""

    def __init__(self, real: Any, method: str, *, after: bool) -> None:
        self._real, self._method, self._after = real, method, after

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._real, name)
        if name != self._method:
            return function

        def failing(*args: Any, **kwargs: Any) -> Any:
            if self._after:
                function(*args, **kwargs)
            raise Unavailable("no answer")

        return failing


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
def test_a_create_that_fails_at_any_step_leaves_nothing_behind(
    api: Api, services: Services, part: str, method: str, after: bool
) -> None:
    setattr(services, part, _Failing(getattr(services, part), method, after=after))
    expect_problem(api.call("POST", "/connections", TCP), 503)
    if method == "reserve":
        finish(services)
    assert left_behind(services) == NOTHING
    assert services.connection_store.generation("demo") in (0, 2)


def finish(services: Services) -> int:
    """What the reconciler does, an hour later."""
    later = Services(services.settings, lambda: services.clock() + 3600)
    return later.connections.finish()


class _Killed(BaseException):
    """As when Lambda ends the process: nothing of ours runs any more."""


@pytest.mark.parametrize(
    ("part", "method"),
    [("secret_store", "put"), ("uplink_queues", "create"), ("connection_store", "create")],
)
def test_what_a_killed_create_made_is_found_and_removed(
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


# Read and list


def test_the_list_is_newest_first_and_paged_with_link(api: Api) -> None:
    made = [create(api, TCP | {"name": f"Connection {n}", "active": n % 2 == 0})["id"] for n in range(5)]
    seen = []
    path: str | None = "/connections?limit=2&name=CONN"
    while path:
        answer = api.call("GET", path)
        assert answer.status == 200
        seen.append([connection["id"] for connection in answer.json])
        link = answer.headers.get("link", "")
        match = re.fullmatch(r'<(/connections\?[^>]+)>; rel="next"', link)
        path = match[1] if match else None
        assert path is None or "limit=2&name=CONN&cursor=" in path
    assert seen == [made[4:2:-1], made[2:0:-1], made[:1]]
    assert len(api.call("GET", "/connections").json) == 5
    assert [c["id"] for c in api.call("GET", "/connections?state=DEACTIVATED").json] == [made[3], made[1]]
    assert [c["id"] for c in api.call("GET", "/connections?name=tion%203").json] == [made[3]]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "limit=", "limit=-1", "limit=1.0", "state=open", "cursor=x", "cursor="],
)
def test_query_parameters_that_mean_nothing_are_refused(api: Api, query: str) -> None:
    answer = api.call("GET", f"/connections?{query}")
    expect_problem(answer, 422)
    assert answer.pointers == {f"/{query.partition('=')[0]}"}


def test_a_cursor_of_another_list_is_refused(api: Api, issuer: TestIssuer) -> None:
    for _ in range(2):
        create(api)
    link = api.call("GET", "/connections?limit=1").headers["link"]
    cursor = re.search(r"cursor=([^>]+)>", link)
    assert cursor
    expect_problem(api.as_token(issuer.token("other")).call("GET", f"/connections?cursor={cursor[1]}"), 422)
    expect_problem(api.call("GET", f"/events?cursor={cursor[1]}"), 422)


@pytest.mark.parametrize("name", ["%23tenant", "x", "%20", "x" * 4000, "%E2%98%83", "..", UNKNOWN.lower()])
def test_names_that_are_no_ids_are_not_found(api: Api, name: str) -> None:
    create(api)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/restart"), ("GET", "/messages"), ("GET", "/events")):
        expect_problem(api.call(method, f"/connections/{name}{path}"), 404)


def test_paths_in_headers_begin_with_the_stage(api: Api) -> None:
    from app import app  # noqa: PLC0415  # the handler itself, as Lambda calls it

    event: dict[str, Any] = {
        "requestContext": {
            "httpMethod": "POST",
            "resourcePath": "/connections",
            "path": "/api/connections",
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "headers": {"authorization": f"Bearer {api.token}", "content-type": "application/json"},
        "pathParameters": None,
        "stageVariables": None,
        "multiValueQueryStringParameters": None,
        "body": json.dumps(TCP),
    }
    answers = [app(event, None) for _ in range(2)]
    for answer in answers:
        assert answer["headers"]["Location"] == f"/api/connections/{json.loads(answer['body'])['id']}"
    event["requestContext"]["httpMethod"] = "GET"
    listed = app(event | {"multiValueQueryStringParameters": {"limit": ["1"]}, "body": None}, None)
    assert listed["headers"]["Link"].startswith("</api/connections?limit=1&cursor=")


# Change


def test_a_put_keeps_masked_secrets_replaces_new_ones_and_removes_those_left_out(
    api: Api, services: Services, ssl: dict[str, Any]
) -> None:
    made = create(api, ssl)
    path = f"/connections/{made['id']}"
    read = api.call("GET", path).json

    kept = api.call("PUT", path, read)
    assert kept.status == 200, kept.body
    assert kept.json["version"] == 2
    assert kept.headers["etag"] == '"2"'
    assert secrets_of(services, made["id"]).password == "mypassword"

    new = api.call("PUT", path, changed(read, password="changed"))
    assert new.json["configuration"]["password"] == MASK
    assert secrets_of(services, made["id"]).password == "changed"
    assert secrets_of(services, made["id"]).private_key

    configuration = {k: v for k, v in read["configuration"].items() if k not in {"certificate", "privateKey"}}
    gone = api.call("PUT", path, read | {"configuration": configuration})
    assert gone.status == 200
    assert "certificate" not in gone.json["configuration"]
    kept_secrets = secrets_of(services, made["id"])
    assert (kept_secrets.password, kept_secrets.certificate, kept_secrets.private_key) == ("changed", None, None)


def test_a_secret_is_never_sent_to_a_new_host(api: Api, services: Services) -> None:
    made = create(api)
    path = f"/connections/{made['id']}"
    moved = changed(made, hostName="evil.example.com")
    for answer in (
        api.call("PUT", path, moved),
        api.call("PATCH", path, {"configuration": {"hostName": "evil.example.com"}}),
        api.call("PATCH", path, {"configuration": {"protocol": "SSL"}}),
    ):
        expect_problem(answer, 422)
        assert "/configuration/password" in answer.pointers
    assert api.call("PUT", path, changed(moved, password="sent anew")).status == 200
    assert secrets_of(services, made["id"]).password == "sent anew"


def test_a_new_certificate_must_fit_the_key_that_is_kept(api: Api, ssl: dict[str, Any]) -> None:
    made = create(api, ssl)
    other = trustme.CA().issue_cert("client.test").cert_chain_pems[0].bytes().decode()
    expect_problem(api.call("PATCH", f"/connections/{made['id']}", {"configuration": {"certificate": other}}), 422)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    expect_problem(api.call("PATCH", f"/connections/{made['id']}", {"configuration": {"privateKey": pem}}), 422)


def test_put_without_an_id_in_the_path_takes_it_from_the_body(api: Api) -> None:
    made = create(api)
    renamed = api.call("PUT", "/connections", made | {"name": "renamed"})
    assert (renamed.status, renamed.json["name"], renamed.json["version"]) == (200, "renamed", 2)
    wrong: list[Any] = [TCP, TCP | {"id": 5}, TCP | {"id": ""}, []]
    for document in wrong:
        answer = api.call("PUT", "/connections", document)
        expect_problem(answer, 422)
        assert answer.pointers == {"/id"}
    mismatch = api.call("PUT", f"/connections/{made['id']}", TCP | {"id": UNKNOWN})
    expect_problem(mismatch, 422)
    assert mismatch.pointers == {"/id"}


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
def test_a_patch_changes_what_it_names(api: Api, content_type: str) -> None:
    made = create(api, changed(TCP, description="old"))
    path = f"/connections/{made['id']}"
    patch = {"name": "patched", "configuration": {"description": None, "exchangeName": "amq.topic"}}
    answer = api.call("PATCH", path, patch, content_type=content_type)
    assert answer.status == 200, answer.body
    expected = {k: v for k, v in made["configuration"].items() if k != "description"}
    assert answer.json["configuration"] == expected | {"exchangeName": "amq.topic"}
    assert answer.json["name"] == "patched"
    expect_problem(api.call("PATCH", path, {"configuration": {"hostNmae": "x"}}), 422)
    expect_problem(api.call("PATCH", path, {"configuration": {"hostName": None}}), 422)
    expect_problem(api.call("PATCH", path, []), 422)


def test_if_match_names_the_version_that_may_be_changed(api: Api) -> None:
    made = create(api)
    path = f"/connections/{made['id']}"
    for tag in ('"2"', '"0"', "1", "nonsense", 'W/"1"', '"01"'):
        expect_problem(api.call("PUT", path, TCP, if_match=tag), 412)
        expect_problem(api.call("PATCH", path, {"name": "x"}, if_match=tag), 412)
    assert api.call("PUT", path, TCP, if_match='"1"').json["version"] == 2
    assert api.call("PUT", path, TCP, if_match='"1", "2"').json["version"] == 3
    assert api.call("PATCH", path, {"name": "x"}, if_match="*").json["version"] == 4
    expect_problem(api.call("PUT", f"/connections/{UNKNOWN}", TCP, if_match='"1"'), 404)


@pytest.mark.parametrize("path", ["/connections/{id}", "/connections?id={id}"])
def test_if_match_names_the_version_that_may_be_deleted(api: Api, services: Services, path: str) -> None:
    made = create(api)
    path = path.replace("{id}", made["id"])
    for tag in ('"2"', "nonsense", 'W/"1"'):
        expect_problem(api.call("DELETE", path, if_match=tag), 412)
    with pytest.raises(PreconditionFailed):
        # Changed between the look and the delete.
        services.connection_store.delete("demo", made["id"], 2)
    assert api.call("DELETE", path, if_match='"1"').status == 204
    expect_problem(api.call("DELETE", path, if_match='"1"'), 404)
    with pytest.raises(NotFound):
        services.connection_store.delete("demo", made["id"], 1)
    assert left_behind(services) == NOTHING


@pytest.mark.parametrize("document", [TCP | {"id": 5}, TCP | {"id": UNKNOWN}, TCP | {"name": ""}, []])
def test_what_fits_no_version_is_told_before_that_the_version_is_another(api: Api, document: Any) -> None:
    path = f"/connections/{create(api)['id']}"
    for method in ("PUT", "PATCH"):
        expect_problem(api.call(method, path, document, if_match='"7"'), 422)


def test_of_two_writers_the_second_goes_on_top_or_is_told(api: Api, services: Services) -> None:
    made = create(api)
    path = f"/connections/{made['id']}"
    interrupt(services, lambda: Services(services.settings).connections.patch("demo", made["id"], {"name": "B"}, None))
    answer = api.call("PATCH", path, {"configuration": {"description": "A", "password": "from A"}})
    assert answer.status == 200
    assert (answer.json["name"], answer.json["configuration"]["description"]) == ("B", "A")
    assert answer.json["version"] == 3
    assert secrets_of(services, made["id"]).password == "from A"

    interrupt(services, lambda: Services(services.settings).connections.patch("demo", made["id"], {"name": "C"}, None))
    expect_problem(api.call("PATCH", path, {"configuration": {"password": "lost"}}, if_match='"3"'), 412)
    assert secrets_of(services, made["id"]).password == "from A"
    # Of the four versions that were put, the two that lost and the one that was replaced have no label of ours.
    # (Moto takes all labels of a version that loses AWSCURRENT; AWS takes that one.)
    labels = services.secretsmanager.describe_secret(SecretId=f"iot-flow/demo/{made['id']}")["VersionIdsToStages"]
    current = services.connection_store.get("demo", made["id"]).secret_version
    assert not [
        label for version, stages in labels.items() if version != current for label in stages if label[:2] == "v-"
    ]


def test_a_change_that_comes_too_late_for_a_delete_leaves_no_secret_behind(api: Api, services: Services) -> None:
    made = create(api)
    interrupt(services, lambda: Services(services.settings).connections.delete("demo", made["id"]))
    expect_problem(api.call("PATCH", f"/connections/{made['id']}", {"configuration": {"password": "late"}}), 404)
    assert left_behind(services) == NOTHING


def interrupt(services: Services, other: Callable[[], Any]) -> None:
    """Lets somebody else in just before the next replace is written."""
    store = services.connection_store
    real = store.replace

    def interrupted(*args: Any, **kwargs: Any) -> None:
        store.replace = real  # type: ignore[method-assign]
        other()
        real(*args, **kwargs)

    store.replace = interrupted  # type: ignore[method-assign]


def test_a_changed_configuration_connects_anew_and_a_new_name_does_not(api: Api, services: Services) -> None:
    made = create(api)
    store = services.connection_store
    record = store.get("demo", made["id"])
    broken = record.model_copy(
        update={"epoch": 2, "state": ConnectionState.UNREACHABLE, "outage_since": 1.0, "failures": 2, "probe_at": 9e9}
    )
    assert store.update_breaker(broken, 1)
    renamed = api.call("PATCH", f"/connections/{made['id']}", {"name": "renamed"})
    assert (renamed.json["state"], renamed.json["nextAttempt"]) == ("UNREACHABLE", "2255-03-14T16:00:00.000Z")
    assert api.call("GET", f"/connections/{made['id']}/events").json[0]["details"]["fields"] == ["name"]
    assert api.call("PUT", f"/connections/{made['id']}", renamed.json).status == 200
    drain(services)
    changed_one = api.call("PATCH", f"/connections/{made['id']}", {"configuration": {"password": "other"}})
    assert changed_one.json["state"] == "OPENING"
    assert "nextAttempt" not in changed_one.json
    after = store.get("demo", made["id"])
    assert (after.epoch, after.failures, after.outage_since) == (3, 0, None)
    assert drain(services) == [3]


def drain(services: Services) -> list[int | None]:
    """The probes of the wakes that were sent."""
    wakes = []
    while messages := services.sqs.receive_message(QueueUrl=services.wake_queue.url).get("Messages"):
        wakes.append(Wake.model_validate_json(messages[0]["Body"]).probe)
    return wakes


def test_deactivating_and_activating(api: Api, services: Services) -> None:
    made = create(api)
    path = f"/connections/{made['id']}"
    services.connection_store.mark("demo", made["id"], 5.0, "token")
    drain(services)
    off = api.call("PATCH", path, {"active": False})
    assert (off.json["state"], off.json["active"]) == ("DEACTIVATED", False)
    assert drain(services) == []
    record = services.connection_store.get("demo", made["id"])
    assert (record.probe_at, record.wake_at, record.wake_token) == (None, 5.0, "token")
    expect_problem(api.call("POST", f"{path}/restart"), 409)
    assert api.call("PATCH", path, {"active": True}).json["state"] == "OPENING"
    assert drain(services) == [3]


def test_restart_forgets_the_schedule_and_keeps_the_version(api: Api, services: Services) -> None:
    made = create(api)
    drain(services)
    record = services.connection_store.get("demo", made["id"])
    assert services.connection_store.update_breaker(record.model_copy(update={"epoch": 2, "outage_since": 1.0}), 1)
    answer = api.call("POST", f"/connections/{made['id']}/restart")
    assert (answer.status, answer.json["state"], answer.json["version"]) == (202, "OPENING", 1)
    after = services.connection_store.get("demo", made["id"])
    assert (after.epoch, after.outage_since) == (3, None)
    assert after.probe_at is not None
    assert drain(services) == [3]


# Delete


@pytest.mark.parametrize("path", ["/connections/{id}", "/connections?id={id}"])
def test_a_delete_takes_everything_along(api: Api, services: Services, path: str) -> None:
    made = create(api)
    services.failed_messages.add("demo", made["id"], [failed()])
    services.secret_store.put_as_key("demo", made["id"], "0011")
    deleted = api.call("DELETE", path.replace("{id}", made["id"]))
    assert (deleted.status, deleted.body) == (204, b"")
    assert left_behind(services) == NOTHING
    assert services.failed_messages.page("demo", made["id"], 5, None) == ([], None)
    expect_problem(api.call("DELETE", path.replace("{id}", made["id"])), 404)


@pytest.mark.parametrize("state", ConnectionState)
def test_a_delete_takes_the_downlink_queue_along_in_whatever_state_the_connection_is(
    api: Api, services: Services, state: ConnectionState
) -> None:
    # Given: a missing permission, for instance, reads CLOSED, and does not hinder the removal
    made = create(api)
    stored = services.connection_store.get("demo", made["id"])
    after = stored.model_copy(update={"state": state, "epoch": stored.epoch + 1})
    assert services.connection_store.update_breaker(after, stored.epoch)

    # When
    assert api.call("DELETE", f"/connections/{made['id']}").status == 204

    # Then
    remover = services.queue_remover
    assert isinstance(remover, RecordingRemover)
    assert remover.removed == [(made["id"], "mypassword")]


def test_a_delete_without_an_id_is_refused(api: Api) -> None:
    create(api)
    for path in ("/connections", "/connections?id="):
        expect_problem(api.call("DELETE", path), 422)
    assert len(api.call("GET", "/connections").json) == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("connection_store", "delete"),
        ("uplink_queues", "delete"),
        ("secret_store", "delete"),
        ("failed_messages", "purge"),
        ("connection_store", "settle"),
    ],
)
def test_a_delete_that_fails_at_any_step_can_be_repeated_and_is_ended_if_nobody_does(
    api: Api, services: Services, part: str, method: str, after: bool
) -> None:
    real = getattr(services, part)
    first, second = create(api)["id"], create(api)["id"]
    for repeated, connection_id in ((True, first), (False, second)):
        setattr(services, part, _Failing(real, method, after=after))
        services.__dict__.pop("connections", None)
        services.__dict__.pop("connections_api", None)
        expect_problem(api.call("DELETE", f"/connections/{connection_id}"), 503)
        setattr(services, part, real)
        services.__dict__.pop("connections", None)
        services.__dict__.pop("connections_api", None)
        if repeated or (method == "delete" and part == "connection_store" and not after):
            answer = api.call("DELETE", f"/connections/{connection_id}")
            assert answer.status == (404 if method == "settle" and after else 204)
        else:
            finish(services)
    assert left_behind(services) == NOTHING


# What happened


def failed(number: int = 0, direction: Direction = Direction.UPLINK) -> FailedMessage:
    return FailedMessage(
        id=new_id(1_764_000_000 + number),
        time=iso_time(1_764_000_000 + number),
        direction=direction,
        reason="UNROUTABLE",
        detail="no queue is bound",
        dev_eui="70B3D5E75E000001",
        body='{"DevEUI_uplink": {}}',
        message_id="m",
    )


def test_failed_messages_are_shown_without_what_is_ours(api: Api, services: Services) -> None:
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


def test_events_are_shown_by_connection_time_and_level(api: Api, services: Services) -> None:
    made = create(api)
    for n, level in enumerate((Level.INFO, Level.ERROR, Level.WARNING)):
        event = Event(
            id=new_id(1_764_000_000 + n),
            time=iso_time(1_764_000_000 + n),
            level=level,
            type="T",
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
    assert [e["type"] for e in api.call("GET", path).json] == ["CREATED", "T", "T"]
    assert [e["level"] for e in api.call("GET", f"{path}?level=error").json] == ["error"]
    since = iso_time(1_764_000_002)
    assert [e["details"]["n"] for e in api.call("GET", f"/events?from={since}&to={until}").json] == [2]
    assert [e["details"]["n"] for e in api.call("GET", f"/events?to={iso_time(1_764_000_000)}").json] == [0]
    assert len(api.call("GET", "/events?from=2020-01-01T00:00:00+01:00").json) == 4
    for query in ("from=yesterday", "to=", "level=fatal", "limit=101", "cursor=x"):
        expect_problem(api.call("GET", f"/events?{query}"), 422)


# The rest


def test_connectors_show_the_schema_that_requests_are_held_to(api: Api) -> None:
    (listed,) = api.call("GET", "/connectors").json
    one = api.call("GET", "/connectors/actility-amqp-0.9.1-iot").json
    assert one == listed
    schema = one["connection"]["configurationSchema"]
    assert set(schema["required"]) == {"hostName", "protocol", "uplinkTopicPattern"}
    assert schema["additionalProperties"] is False
    expect_problem(api.call("GET", "/connectors/other"), 404)


def test_application_servers_come_and_go_without_showing_a_key(api: Api, services: Services) -> None:
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


def test_a_fault_of_ours_is_a_500_that_says_nothing_and_a_log_line_without_the_secret(
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


def test_no_secret_stands_anywhere_but_in_secrets_manager(
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
