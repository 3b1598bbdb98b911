"""Records as another release may have stored them: unknown fields and values, tightened limits, unreadable ones."""

import json
import time
from typing import Any

import pytest

from chalicelib.adapters.aws.dynamodb import from_item, to_item
from chalicelib.domain.connectors.common import ReconnectStrategy
from chalicelib.domain.work_items import DownlinkJob, Wake
from chalicelib.entry.services import Services
from chalicelib.errors import Unavailable
from chalicelib.ports.queues import QueueRecord
from chalicelib.vocabulary import ConnectionState
from tests.functional.connection_cases import NOTHING, TCP, changed, create, finish, left_behind
from tests.functional.doubles import Api

ALARM = {"startTime": "08:00", "endTime": "18:00", "uplinkRateMinPerHour": 5}


def record(services: Services, connection_id: str) -> dict[str, Any]:
    key = to_item({"tenant": "demo", "id": connection_id})
    return from_item(services.dynamodb.get_item(TableName=services.settings.table("connections"), Key=key)["Item"])


def store(services: Services, item: dict[str, Any]) -> None:
    services.dynamodb.put_item(TableName=services.settings.table("connections"), Item=to_item(item))


def stored_by_another_release(api: Api, services: Services, **attributes: Any) -> str:
    """Create a connection with an alarm, change its record and return its id."""
    connection_id = str(create(api, TCP | {"alarms": [ALARM]})["id"])
    item = record(services, connection_id)
    for name, value in attributes.items():
        item[name] = item[name] | value if isinstance(value, dict) and name in item else value
    store(services, item)
    return connection_id


UNKNOWN = {
    "schema": 7,
    "region": {"name": "eu", "zones": [1, 2.5, None]},
    "configuration": {"prefetch": 5, "tls": {"versions": ["1.3"]}},
    "alarms": json.dumps([ALARM | {"channel": "mail"}, {"kind": "battery"}]),
    "state": "THROTTLED",
}


def test_connection_with_unknown_fields_and_state_is_read(api: Api, services: Services) -> None:
    # Given
    connection_id = stored_by_another_release(api, services, **UNKNOWN)

    # When
    answer = api.call("GET", f"/connections/{connection_id}")

    # Then
    assert answer.status == 200
    assert answer.json["state"] == "CLOSED"
    assert "prefetch" not in answer.json["configuration"]
    assert [alarm["uplinkRateMinPerHour"] for alarm in answer.json["alarms"]] == [5]
    assert [each["id"] for each in api.call("GET", "/connections").json] == [connection_id]
    assert [each.id for each in services.connection_store.all_active()] == [connection_id]


def test_update_keeps_what_this_release_does_not_know(api: Api, services: Services) -> None:
    # Given
    connection_id = stored_by_another_release(api, services, **UNKNOWN)
    before = record(services, connection_id)

    # When
    answer = api.call("PATCH", f"/connections/{connection_id}", {"name": "renamed"})

    # Then
    assert answer.status == 200, answer.body
    after = record(services, connection_id)
    assert after["name"] == "renamed"
    names = {*before} - {"name", "version", "updatedAt", "alarms", "listed", "changedAt"}
    assert {name: after[name] for name in names} == {name: before[name] for name in names}
    (known, unknown) = json.loads(after["alarms"])
    assert known["channel"] == "mail"
    assert unknown == {"kind": "battery"}


def test_replacement_keeps_unknown_fields_of_the_configuration_only(api: Api, services: Services) -> None:
    connection_id = stored_by_another_release(api, services, **UNKNOWN)
    document = changed(TCP, hostName="other.actility.com") | {"alarms": [ALARM | {"uplinkRateMinPerHour": 9}]}
    assert api.call("PUT", f"/connections/{connection_id}", document).status == 200
    after = record(services, connection_id)
    assert after["configuration"]["hostName"] == "other.actility.com"
    assert after["configuration"]["tls"] == {"versions": ["1.3"]}
    assert [alarm.get("channel") for alarm in json.loads(after["alarms"])] == [None, None]


def test_breaker_transition_replaces_an_unknown_state_only(api: Api, services: Services) -> None:
    # Given
    connection_id = stored_by_another_release(api, services, **UNKNOWN)
    before = record(services, connection_id)

    # When
    services.connection_store.set_pending_wake("demo", connection_id, 1.0, "token")
    pending = record(services, connection_id)["state"]
    read = services.connection_store.get("demo", connection_id)
    opened = read.model_copy(update={"state": ConnectionState.OPENED, "epoch": read.epoch + 1})
    assert services.connection_store.update_breaker(opened, read.epoch)

    # Then
    after = record(services, connection_id)
    assert (pending, after["state"]) == ("THROTTLED", "OPENED")
    assert {name: after[name] for name in UNKNOWN if name != "state"} == {
        name: before[name] for name in UNKNOWN if name != "state"
    }


@pytest.mark.parametrize(
    "configuration",
    [
        {"connectionTimeout": 60_000},
        {"actionTimeout": 5},
        {"downlinkPort": 300},
        {"hostName": "h" * 300},
        {"description": "d" * 5000},
        {"virtualHost": ""},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_value_beyond_a_tightened_limit_is_read(api: Api, services: Services, configuration: dict[str, Any]) -> None:
    connection_id = stored_by_another_release(api, services, configuration=configuration)
    answer = api.call("GET", f"/connections/{connection_id}")
    assert answer.status == 200
    assert answer.json["configuration"].items() >= configuration.items()


def test_unknown_strategy_reads_as_the_default_and_stays_until_it_changes(api: Api, services: Services) -> None:
    # Given
    connection_id = stored_by_another_release(api, services, configuration={"reconnectStrategy": "LAZY"})
    path = f"/connections/{connection_id}"

    # When
    read = services.connection_store.get("demo", connection_id)
    renamed = api.call("PATCH", path, {"name": "renamed"})
    kept = record(services, connection_id)["configuration"]["reconnectStrategy"]
    calmed = api.call("PATCH", path, {"configuration": {"reconnectStrategy": "CALM"}})

    # Then
    assert read.configuration.reconnect_strategy is ReconnectStrategy.NORMAL
    assert (renamed.status, kept) == (200, "LAZY")
    assert (calmed.status, record(services, connection_id)["configuration"]["reconnectStrategy"]) == (200, "CALM")


def test_alarm_beyond_a_tightened_limit_is_read(api: Api, services: Services) -> None:
    alarms = json.dumps([ALARM | {"message": "m" * 5000}])
    connection_id = stored_by_another_release(api, services, alarms=alarms)
    (alarm,) = services.connection_store.get("demo", connection_id).alarms
    assert len(alarm.message) == 5000


def test_record_without_schema_gets_its_number(api: Api, services: Services) -> None:
    connection_id = str(create(api)["id"])
    item = record(services, connection_id)
    assert item.pop("schema") == 1
    store(services, item)
    assert api.call("PATCH", f"/connections/{connection_id}", {"name": "renamed"}).status == 200
    assert record(services, connection_id)["schema"] == 1


UNREADABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "configuration missing": ("configuration", {"configuration": None}),
    "configuration is a text": ("configuration", {"configuration": "amqp://"}),
    "host is a number": ("configuration.hostName", {"configuration": {"hostName": 7}}),
    "pattern is missing": ("configuration.uplinkTopicPattern", {"configuration": {"uplinkTopicPattern": None}}),
    "unknown protocol": ("configuration.protocol", {"configuration": {"protocol": "WSS"}}),
    "unknown form of duration": ("configuration.uplinkTimeValidity", {"configuration": {"uplinkTimeValidity": "P1D"}}),
    "alarms are a number": ("alarms", {"alarms": 3}),
    "name is a number": ("name", {"name": 3}),
    "epoch is missing": ("epoch", {"epoch": None}),
    "version is a text": ("version", {"version": "two"}),
    "creation time is missing": ("createdAt", {"createdAt": None}),
    "bindings are texts": ("oldBindings", {"oldBindings": ["binding"]}),
}
CASES = pytest.mark.parametrize(("field", "attributes"), UNREADABLE.values(), ids=UNREADABLE)


@CASES
def test_unreadable_connection_is_shown_as_faulty(
    api: Api, services: Services, caplog: pytest.LogCaptureFixture, field: str, attributes: dict[str, Any]
) -> None:
    # Given
    connection_id = stored_by_another_release(api, services, **attributes)
    other = create(api, TCP | {"name": "other"})["id"]

    # When
    answer = api.call("GET", f"/connections/{connection_id}")
    listed = api.call("GET", "/connections")

    # Then
    assert (answer.status, listed.status) == (200, 200)
    assert answer.json["state"] == "CLOSED"
    assert answer.json["stateReason"] == (
        f"The stored record cannot be read by this release: {field}. Update the connection, or contact the operator."
    )
    assert [each["id"] for each in listed.json] == [other, connection_id]
    assert listed.json[1] == answer.json
    assert answer.json["name"] == (connection_id if field == "name" else TCP["name"])
    assert answer.json["configuration"].get("username") == (None if field == "configuration" else "mycompany")
    assert any(vars(line).get("connection") == connection_id for line in caplog.records if line.levelname == "ERROR")
    for path in ("statistics", "events", "messages"):
        assert api.call("GET", f"/connections/{connection_id}/{path}").status == 200
    for path in ("restart", "test"):
        refused = api.call("POST", f"/connections/{connection_id}/{path}")
        assert (refused.status, refused.json["detail"]) == (409, answer.json["stateReason"])


@CASES
def test_unreadable_connection_is_replaced(
    api: Api, services: Services, field: str, attributes: dict[str, Any]
) -> None:
    # Given
    connection_id = stored_by_another_release(api, services, region="eu", **attributes)
    before = record(services, connection_id)
    path = f"/connections/{connection_id}"

    # When
    answer = api.call("PUT", path, TCP | {"name": "repaired"}, If_Match=api.call("GET", path).headers["etag"])

    # Then
    assert answer.status == 200, answer.body
    read = services.connection_store.get("demo", connection_id)
    assert (read.name, read.state, read.configuration.host_name) == ("repaired", "OPENING", "amqp.actility.com:5672")
    assert services.secret_store.of(read).password == "mypassword"
    assert record(services, connection_id)["region"] == "eu"
    assert field == "epoch" or read.epoch > before["epoch"]
    assert [each.id for each in services.connection_store.probes_due(services.clock())] == [connection_id]
    assert api.call("PATCH", path, {"name": "again"}).status == 200


@CASES
def test_unreadable_connection_is_deleted(api: Api, services: Services, field: str, attributes: dict[str, Any]) -> None:
    connection_id = stored_by_another_release(api, services, **attributes)
    assert api.call("DELETE", f"/connections/{connection_id}").status == 204, field
    assert left_behind(services) == NOTHING


def test_unreadable_connection_is_repaired_by_a_patch_with_its_secrets(api: Api, services: Services) -> None:
    connection_id = stored_by_another_release(api, services, configuration={"hostName": 7})
    path, moved = f"/connections/{connection_id}", {"hostName": "broker.actility.com"}
    refused = api.call("PATCH", path, {"configuration": moved})
    assert (refused.status, refused.pointers) == (422, {"/configuration/password"})
    assert api.call("PATCH", path, {"configuration": moved | {"password": "new"}}).status == 200
    assert services.connection_store.get("demo", connection_id).configuration.host_name == "broker.actility.com"


@CASES
def test_report_is_queued_for_readable_and_unreadable_connections(
    api: Api, services: Services, field: str, attributes: dict[str, Any]
) -> None:
    # Given
    unreadable = stored_by_another_release(api, services, **attributes)
    readable = create(api, TCP | {"name": "other"})["id"]

    # When
    services.ingress.accept("demo", b'{"DevEUI_uplink": {"DevEUI": "70B3D5E75E000001", "FCntUp": 1}}')

    # Then
    assert [services.uplink_queues.depth(each)[0] for each in (unreadable, readable)] == [1, 1], field


def test_report_is_not_queued_if_it_is_unknown_whether_the_connection_is_active(api: Api, services: Services) -> None:
    connection_id = stored_by_another_release(api, services, active=3)
    services.ingress.accept("demo", b'{"DevEUI_uplink": {"DevEUI": "70B3D5E75E000001", "FCntUp": 1}}')
    assert services.uplink_queues.depth(connection_id)[0] == 0


def test_reconciler_skips_unreadable_connections(api: Api, services: Services) -> None:
    # Given
    unreadable = [
        stored_by_another_release(api, services, **attributes) for _, attributes in [*UNREADABLE.values()][:4]
    ]
    readable = create(api, TCP | {"name": "other"})["id"]
    for each in (*unreadable, readable):
        services.connection_store.set_pending_wake("demo", each, 1.0, "token")
    services.sqs.purge_queue(QueueUrl=services.wake_queue.url)

    # When
    services.reconciler.run()

    # Then
    messages = services.sqs.receive_message(QueueUrl=services.wake_queue.url, MaxNumberOfMessages=10)["Messages"]
    assert {json.loads(message["Body"])["connectionId"] for message in messages} == {readable}
    assert record(services, unreadable[0])["wakeToken"] == "token"


def test_wake_of_an_unreadable_connection_becomes_a_pending_one(api: Api, services: Services) -> None:
    # Given
    connection_id = stored_by_another_release(api, services, configuration={"hostName": 7})
    wake = Wake(tenant="demo", connection_id=connection_id, message_id="m")
    queued = QueueRecord("r", "m", wake.model_dump_json(by_alias=True))

    # When
    services.forwarder.handle([queued], time.monotonic() + 30)

    # Then
    assert record(services, connection_id)["wakeAt"] > services.clock()


def test_downlink_of_an_unreadable_connection_stays_queued(api: Api, services: Services) -> None:
    connection_id = stored_by_another_release(api, services, configuration={"hostName": 7})
    job = DownlinkJob(tenant="demo", connection_id=connection_id, downlink={"DevEUI": "0A", "FPort": 1}, received_at=1)
    queued = QueueRecord("r", "m", job.model_dump_json(by_alias=True), "g", 10)
    with pytest.raises(Unavailable):
        services.downlink_sender.handle([queued], time.monotonic() + 30)
    assert api.call("GET", f"/connections/{connection_id}/messages").json == []


def test_unfinished_create_with_an_unreadable_record_is_finished(api: Api, services: Services) -> None:
    connection_id = stored_by_another_release(api, services, configuration={"hostName": 7})
    services.connection_store.reserve("demo", connection_id, 5)
    assert finish(services) == 0
    assert left_behind(services)["items"] == [connection_id]
