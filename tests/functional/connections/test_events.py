"""Events of changes to a connection."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from chalicelib.entry.services import Services
from tests.functional.connection_cases import MASK, TCP, changed, create
from tests.functional.doubles import Api

DAY = 86400.0
ALARM = {"startTime": "00:00", "endTime": "00:00", "uplinkRateMinPerHour": 5, "message": "Silence"}


def events(api: Api, path: str = "/events") -> list[Any]:
    """Return the events as (type, details), oldest first."""
    return [(event["type"], event["details"]) for event in api.call("GET", path).json][::-1]


def test_events_record_all_changes_without_values(api: Api) -> None:
    # When
    made = create(api)
    path = f"/connections/{made['id']}"
    read = api.call("GET", path).json
    api.call("PUT", path, read)
    api.call(
        "PATCH", path, {"name": "Other", "configuration": {"description": "new", "username": None, "password": None}}
    )
    api.call("PATCH", path, {"active": False})
    api.call("PATCH", path, {"active": True, "configuration": {"actionTimeout": 2000}})
    api.call("POST", f"{path}/restart")
    api.call("PATCH", path, {"configuration": {"hostName": "10.0.0.1"}})
    api.call("DELETE", path)

    # Then
    expected = [
        ("CREATED", {"active": True}),
        ("UPDATED", {"version": 2, "fields": []}),
        (
            "UPDATED",
            {
                "version": 3,
                "fields": [
                    "name",
                    "configuration.description",
                    "configuration.password",
                    "configuration.username",
                    "secrets",
                ],
            },
        ),
        ("DEACTIVATED", {}),
        ("ACTIVATED", {}),
        ("UPDATED", {"version": 5, "fields": ["configuration.actionTimeout"]}),
        ("RESTARTED", {}),
        ("DELETED", {}),
    ]
    assert events(api) == expected
    whole = api.call("GET", "/events").body.decode()
    assert "mypassword" not in whole


def test_new_password_is_reported_only_as_changed_secret(api: Api) -> None:
    made = create(api)
    api.call("PATCH", f"/connections/{made['id']}", {"configuration": {"password": "n3w-password"}})
    assert events(api)[-1] == ("UPDATED", {"version": 2, "fields": ["secrets"]})
    assert "n3w-password" not in api.call("GET", "/events").body.decode()


def test_refused_create_leaves_no_event(api: Api) -> None:
    api.call("POST", "/connections", changed(TCP, hostName="10.0.0.1"))
    api.call("POST", "/connections", changed(TCP, password=MASK))
    assert events(api) == []


def test_reconciler_reports_low_rate_once_per_window(api: Api, services: Services) -> None:
    # Given
    quiet = create(api, TCP | {"alarms": [ALARM]})
    busy = create(api, TCP | {"alarms": [ALARM]})
    create(api, TCP | {"alarms": [ALARM], "active": False})
    create(api, TCP)
    services.statistics.add("demo", busy["id"], {"uplinksDelivered": 5})

    # When
    for _ in range(2):
        services.reconciler.run()
    Services(services.settings).reconciler.run()

    # Then
    reported = [event for event in api.call("GET", "/events").json if event["type"] == "LOW_UPLINK_RATE"]
    assert [event["connectionId"] for event in reported] == [quiet["id"]]
    assert reported[0]["message"].startswith("Silence")
    assert reported[0]["details"]["uplinks"] == 0


@pytest.fixture
def short_lived() -> dict[str, Any]:
    """A connection whose client certificate ends in twenty days."""
    ends = datetime.now(UTC) + timedelta(days=20)
    issued = trustme.CA().issue_cert("client.test", not_after=ends)
    pair = {
        "certificate": issued.cert_chain_pems[0].bytes().decode(),
        "privateKey": issued.private_key_pem.bytes().decode(),
    }
    return changed(TCP, protocol="SSL", hostName="amqp.actility.com", **pair)


def test_reconciler_reports_expiring_client_certificate(
    api: Api, services: Services, short_lived: dict[str, Any]
) -> None:
    made = create(api, short_lived)
    path = f"/connections/{made['id']}"
    for _ in range(2):
        services.reconciler.run()
    later = Services(services.settings, lambda: services.clock() + 14 * DAY)
    later.reconciler.run()
    reported = [details["days"] for type_, details in events(api, f"{path}/events") if type_ == "CERTIFICATE_EXPIRES"]
    assert reported == [19, 5]

    # A stored certificate keeps its end; a removed one has none.
    api.call("PATCH", path, {"name": "Other"})
    assert services.connection_store.get("demo", made["id"]).certificate_ends
    api.call("PATCH", path, {"configuration": {"certificate": None, "privateKey": None}})
    assert services.connection_store.get("demo", made["id"]).certificate_ends is None
