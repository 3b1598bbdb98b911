"""Changes of connections: PUT, PATCH, concurrent writers, restart."""

from collections.abc import Callable
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chalicelib.domain import downlink_fault
from chalicelib.domain.work_items import Wake
from chalicelib.entry.services import Services
from chalicelib.errors import BrokerMisconfigured, NotFound, PreconditionFailed
from chalicelib.vocabulary import ConnectionState, EventType
from tests.functional.connection_cases import (
    MASK,
    NOTHING,
    TCP,
    UNKNOWN,
    changed,
    create,
    expect_problem,
    left_behind,
    secrets_of,
)
from tests.functional.doubles import Api


def test_put_keeps_masked_secrets_replaces_new_and_removes_omitted_ones(
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


def test_stored_secret_is_never_sent_to_new_host(api: Api, services: Services) -> None:
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


def test_new_certificate_must_match_stored_key(api: Api, ssl: dict[str, Any]) -> None:
    made = create(api, ssl)
    other = trustme.CA().issue_cert("client.test").cert_chain_pems[0].bytes().decode()
    expect_problem(api.call("PATCH", f"/connections/{made['id']}", {"configuration": {"certificate": other}}), 422)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    expect_problem(api.call("PATCH", f"/connections/{made['id']}", {"configuration": {"privateKey": pem}}), 422)


def test_put_without_id_in_path_uses_id_of_body(api: Api) -> None:
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
def test_patch_changes_only_named_members(api: Api, content_type: str) -> None:
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


def test_change_is_refused_when_if_match_names_another_version(api: Api) -> None:
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
def test_delete_is_refused_when_if_match_names_another_version(api: Api, services: Services, path: str) -> None:
    made = create(api)
    path = path.replace("{id}", made["id"])
    for tag in ('"2"', "nonsense", 'W/"1"'):
        expect_problem(api.call("DELETE", path, if_match=tag), 412)
    with pytest.raises(PreconditionFailed):
        # Another request changed the connection between the read and the delete.
        services.connection_store.delete("demo", made["id"], 2)
    assert api.call("DELETE", path, if_match='"1"').status == 204
    expect_problem(api.call("DELETE", path, if_match='"1"'), 404)
    with pytest.raises(NotFound):
        services.connection_store.delete("demo", made["id"], 1)
    assert left_behind(services) == NOTHING


@pytest.mark.parametrize("document", [TCP | {"id": 5}, TCP | {"id": UNKNOWN}, TCP | {"name": ""}, []])
def test_invalid_document_is_reported_before_version_conflict(api: Api, document: Any) -> None:
    path = f"/connections/{create(api)['id']}"
    for method in ("PUT", "PATCH"):
        expect_problem(api.call(method, path, document, if_match='"7"'), 422)


def test_concurrent_change_is_reapplied_or_refused(api: Api, services: Services) -> None:
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
    # Only the current version remains; the versions of the refused writes and the first one are deleted.
    labels = services.secretsmanager.describe_secret(SecretId=f"iot-flow/demo/{made['id']}")["VersionIdsToStages"]
    current = services.connection_store.get("demo", made["id"]).secret_version
    assert not [
        label for version, stages in labels.items() if version != current for label in stages if label[:2] == "v-"
    ]


def test_change_after_concurrent_delete_leaves_no_secret(api: Api, services: Services) -> None:
    made = create(api)
    interrupt(services, lambda: Services(services.settings).connections.delete("demo", made["id"]))
    expect_problem(api.call("PATCH", f"/connections/{made['id']}", {"configuration": {"password": "late"}}), 404)
    assert left_behind(services) == NOTHING


def interrupt(services: Services, other: Callable[[], Any]) -> None:
    """Run another writer immediately before the next replace."""
    store = services.connection_store
    real = store.replace

    def interrupted(*args: Any, **kwargs: Any) -> None:
        store.replace = real  # type: ignore[method-assign]
        other()
        real(*args, **kwargs)

    store.replace = interrupted  # type: ignore[method-assign]


def test_changed_configuration_reconnects_and_new_name_does_not(api: Api, services: Services) -> None:
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


def test_restart_and_changed_configuration_clear_the_fault_of_the_downlinks(api: Api, services: Services) -> None:
    made = create(api)
    path, store = f"/connections/{made['id']}", services.connection_store
    assert (made["downlinkState"], made["downlinkStateReason"]) == (None, None)
    fault = BrokerMisconfigured(EventType.PERMISSION_REFUSED, "May not use a queue.")

    def fail() -> dict[str, Any]:
        record = store.get("demo", made["id"])
        assert store.update_downlinks(downlink_fault.failed(record, fault, services.clock(), 0.0, 1.0), 0)
        document: dict[str, Any] = api.call("GET", path).json
        assert document["stateReason"] == "Downlinks: May not use a queue."
        assert (document["downlinkState"], document["downlinkStateReason"]) == ("CLOSED", "May not use a queue.")
        return document

    # A name does not change the fault, and a client may send back what it has read.
    renamed = api.call("PUT", path, fail() | {"name": "renamed"})
    assert (renamed.status, renamed.json["downlinkState"]) == (200, "CLOSED")
    assert api.call("POST", f"{path}/restart").json["downlinkState"] is None
    assert api.call("GET", path).json["stateReason"] is None
    fail()
    changed = api.call("PATCH", path, {"configuration": {"exchangeName": "other"}})
    assert (changed.json["downlinkState"], changed.json["stateReason"]) == (None, None)
    assert api.call("GET", path).json["downlinkState"] is None


def drain(services: Services) -> list[int | None]:
    """Receive the sent wakes and return their probes."""
    wakes = []
    while messages := services.sqs.receive_message(QueueUrl=services.wake_queue.url).get("Messages"):
        wakes.append(Wake.model_validate_json(messages[0]["Body"]).probe)
    return wakes


def test_deactivation_stops_and_activation_reconnects(api: Api, services: Services) -> None:
    made = create(api)
    path = f"/connections/{made['id']}"
    services.connection_store.set_pending_wake("demo", made["id"], 5.0, "token")
    drain(services)
    off = api.call("PATCH", path, {"active": False})
    assert (off.json["state"], off.json["active"]) == ("DEACTIVATED", False)
    assert drain(services) == []
    record = services.connection_store.get("demo", made["id"])
    assert (record.probe_at, record.wake_at, record.wake_token) == (None, 5.0, "token")
    expect_problem(api.call("POST", f"{path}/restart"), 409)
    assert api.call("PATCH", path, {"active": True}).json["state"] == "OPENING"
    assert drain(services) == [3]


def test_restart_resets_schedule_and_keeps_version(api: Api, services: Services) -> None:
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
