"""Records as another release may have stored them: unknown fields and values, tightened limits."""

import json
from typing import Any

import pytest

from chalicelib.adapters.aws.dynamodb import from_item, to_item
from chalicelib.domain.connectors.common import ReconnectStrategy
from chalicelib.entry.services import Services
from chalicelib.vocabulary import ConnectionState
from tests.functional.connection_cases import TCP, changed, create
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
    names = {*before} - {"name", "version", "updatedAt", "alarms"}
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
