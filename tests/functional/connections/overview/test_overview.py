"""The summary of a tenant's connections, its sorted list, and their numbers."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.adapters.aws.listing.totals import TenantTotals
from chalicelib.domain import breaker, downlink_fault
from chalicelib.domain.connection import Connection
from chalicelib.entry.services import Services
from chalicelib.errors import BrokerFault, BrokerMisconfigured, BrokerRefused, BrokerUnreachable
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import EventType
from tests.functional.connection_cases import TCP, UNKNOWN, changed, create, expect_problem
from tests.functional.doubles import Api, TestIssuer

REFUSED = BrokerRefused(EventType.LOGIN_REFUSED, "The broker refuses the login. Check username and password.")
DOWN = BrokerUnreachable(EventType.CONNECTION_REFUSED, "Cannot connect. Check the port.")
NO_QUEUE = BrokerMisconfigured(EventType.QUEUE_MISSING, "The queue is missing. Create it.")

Break = Callable[..., Connection]


@pytest.fixture
def break_connection(services: Services) -> Break:
    def run(connection_id: str, fault: BrokerFault, since: float) -> Connection:
        stored = services.connection_store.get("demo", connection_id)
        broken = breaker.failed(stored, fault, since, 0.0, 1.0)
        assert services.connection_store.update_breaker(broken, stored.epoch)
        return broken

    return run


def made(api: Api, name: str, **configuration: Any) -> str:
    return str(create(api, changed(TCP, **configuration) | {"name": name})["id"])


def names(api: Api, query: str) -> list[str]:
    answer = api.call("GET", f"/connections?{query}")
    assert answer.status == 200, answer.body
    return [each["name"] for each in answer.json]


def test_summary_counts_states_and_groups_faults(api: Api, services: Services, break_connection: Break) -> None:
    now = services.clock()
    a, b, c, _ = [made(api, name) for name in "ABCD"]
    off = made(api, "off")
    api.call("PATCH", f"/connections/{off}", {"active": False})
    break_connection(a, REFUSED, now - 60)
    first = break_connection(b, REFUSED, now - 600)
    break_connection(c, DOWN, now - 5)
    for number in range(3):
        services.uplink_queues.send(a, body="{}", group="g", message_id=f"{number}", deduplication_id=f"{number}")

    summary = api.call("GET", "/connections/summary").json

    assert summary["total"] == 5
    assert {state: n for state, n in summary["states"].items() if n} == {
        "AUTHENTICATION_FAILED": 2,
        "UNREACHABLE": 1,
        "OPENING": 1,
        "DEACTIVATED": 1,
    }
    assert summary["healthy"] == 1
    assert [(g["cause"], g["count"], g["waiting"], g["connectionIds"]) for g in summary["faults"]] == [
        ("LOGIN_REFUSED", 2, 3, [b, a]),
        ("CONNECTION_REFUSED", 1, 0, [c]),
    ]
    group = summary["faults"][0]
    assert (group["since"], group["reason"], group["sameReason"]) == (iso_time(now - 600), str(REFUSED), True)
    assert first.probe_at
    assert group["nextAttempt"] == iso_time(first.probe_at)
    assert (group["level"], group["direction"]) == ("error", "both")


def test_summary_follows_every_kind_of_change(api: Api, services: Services, break_connection: Break) -> None:
    def summary() -> Any:
        return api.call("GET", "/connections/summary").json

    a, b = made(api, "A"), made(api, "B")
    assert summary()["total"] == 2
    broken = break_connection(a, DOWN, services.clock())
    assert [g["connectionIds"] for g in summary()["faults"]] == [[a]]
    services.connection_store.update_breaker(breaker.recovered(broken, 0, "t", 0), broken.epoch)
    assert summary()["faults"] == []
    stored = services.connection_store.get("demo", b)
    services.connection_store.update_downlinks(downlink_fault.failed(stored, NO_QUEUE, 5, 0, 1), 0)
    assert [(g["cause"], g["direction"]) for g in summary()["faults"]] == [("QUEUE_MISSING", "downlink")]
    assert api.call("POST", f"/connections/{b}/restart").status == 202
    assert summary()["faults"] == []
    made(api, "C")
    assert api.call("DELETE", f"/connections/{a}").status == 204
    assert summary()["total"] == 2
    assert sorted(names(api, "sort=name")) == ["B", "C"]


def test_records_of_a_release_without_entries_are_listed(api: Api, services: Services) -> None:
    kept, old = made(api, "new"), made(api, "old")
    names_of_entries = ("changedAt", "listed", "listedState", "listedDownlinks")
    services.dynamodb.update_item(
        TableName=services.settings.table("connections"),
        Key={"tenant": {"S": "demo"}, "id": {"S": old}},
        UpdateExpression=f"REMOVE {', '.join(names_of_entries)}",
    )
    assert api.call("GET", "/connections/summary").json["total"] == 2
    assert names(api, "sort=name") == ["new", "old"]
    assert api.call("DELETE", f"/connections/{kept}").status == 204
    assert names(api, "sort=name") == ["old"]


def test_summary_adds_up_the_messages_of_all_connections(api: Api, services: Services) -> None:
    store = services.connection_store
    for name, delivered in (("A", 3), ("B", 4)):
        record = store.get("demo", made(api, name))
        counts = {"uplinksDelivered": delivered, "uplinksFailed": 1, "downlinksDelivered": 2, "downlinksLost": 0}
        services.monitoring.count(record, counts)
    services.statistics.flush()
    summary = api.call("GET", "/connections/summary").json
    assert summary["uplinks"] == {"delivered": 7, "failed": 2, "lost": 0}
    assert summary["downlinks"] == {"delivered": 4, "failed": 0, "lost": 0}
    assert len(summary["series"]) == 96
    assert sum(step["uplinks"] for step in summary["series"]) == 7
    assert sum(step["failed"] for step in summary["series"]) == 2


def test_certificate_that_ends_soon_is_a_warning(api: Api, services: Services) -> None:
    connection_id = made(api, "A")
    store, ends = services.connection_store, services.clock() + 10 * 86400
    stored = store.get("demo", connection_id)
    store.replace(stored.model_copy(update={"certificate_ends": ends, "version": 2}), 1)
    [group] = api.call("GET", "/connections/summary").json["faults"]
    assert (group["cause"], group["level"], group["since"]) == ("CERTIFICATE_ENDS", "warning", iso_time(ends))


def test_list_is_sorted_worst_first_and_filtered(api: Api, services: Services, break_connection: Break) -> None:
    now = services.clock()
    ids = {name: made(api, name) for name in ("quiet", "late", "early")}
    made(api, "secure", hostName="tls.example.com", protocol="SSL")
    break_connection(ids["late"], DOWN, now - 10)
    break_connection(ids["early"], REFUSED, now - 100)
    assert names(api, "sort=worst") == ["early", "late", "quiet", "secure"]
    assert names(api, "sort=name&descending=true") == ["secure", "quiet", "late", "early"]
    assert names(api, "sort=created") == ["quiet", "late", "early", "secure"]
    assert names(api, "state=UNREACHABLE,AUTHENTICATION_FAILED") == ["early", "late"]
    assert names(api, "protocol=SSL") == ["secure"]
    assert names(api, "q=TLS.example") == ["secure"]
    assert names(api, f"q={ids['late'].lower()}") == ["late"]
    assert names(api, "cause=LOGIN_REFUSED") == ["early"]
    assert names(api, "sort=worst&name=E") == ["early", "late", "quiet", "secure"]


def test_sorted_list_is_paged_by_offset_with_its_number(api: Api) -> None:
    for name in "CAB":
        made(api, name)
    answer = api.call("GET", "/connections?sort=name&limit=2")
    assert [each["name"] for each in answer.json] == ["A", "B"]
    assert answer.headers["total-count"] == "3"
    assert answer.headers["link"] == '</connections?sort=name&limit=2&offset=2>; rel="next"'
    last = api.call("GET", "/connections?sort=name&limit=2&offset=2")
    assert [each["name"] for each in last.json] == ["C"]
    assert "link" not in last.headers
    assert last.json[0] == api.call("GET", f"/connections/{last.json[0]['id']}").json


@pytest.mark.parametrize(
    "query",
    ["sort=x", "offset=-1", "offset=1000001", "protocol=UDP", "state=OPENED,x", "descending=1", "cause=a", "cause="],
)
def test_invalid_parameters_of_the_sorted_list_are_refused(api: Api, query: str) -> None:
    answer = api.call("GET", f"/connections?{query}")
    expect_problem(answer, 422)
    assert answer.pointers == {f"/{query.partition('=')[0]}"}
    expect_problem(api.call("GET", "/connections?sort=name&cursor=x"), 422)


def test_numbers_of_several_connections_come_with_one_call(api: Api, services: Services) -> None:
    a, b = made(api, "A"), made(api, "B")
    services.monitoring.count(services.connection_store.get("demo", a), {"uplinksDelivered": 2}, ["D1"])
    services.uplink_queues.send(b, body="{}", group="g", message_id="1", deduplication_id="1")
    answer = api.call("GET", f"/connections/statistics?ids={b},{a},{UNKNOWN}")
    first, second = answer.json
    assert (first["id"], first["lastMessage"], first["statistics"]["uplinks"]["waiting"]) == (b, None, 1)
    assert (second["id"], second["statistics"]["uplinks"]["delivered"]) == (a, 2)
    assert second["statistics"]["activeDevices"] == 1
    assert second["lastMessage"] == iso_time(services.clock() // 60 * 60)
    assert second["since"] == api.call("GET", f"/connections/{a}").json["updatedAt"]


@pytest.mark.parametrize("ids", ["", "x", f"{UNKNOWN},", ",".join(f"01HF7YAT00M9GG329YN3DG{n:04}" for n in range(51))])
def test_invalid_ids_of_numbers_are_refused(api: Api, ids: str) -> None:
    expect_problem(api.call("GET", f"/connections/statistics?ids={ids}"), 422)


def test_other_tenant_has_another_summary(api: Api, issuer: TestIssuer) -> None:
    connection_id = made(api, "A")
    api.call("GET", "/connections/summary")
    other = api.as_token(issuer.token("other"))
    assert other.call("GET", "/connections/summary").json["total"] == 0
    assert other.call("GET", "/connections?sort=worst").json == []
    assert other.call("GET", f"/connections/statistics?ids={connection_id}").json == []


def test_busy_process_writes_the_totals_of_tenants_once_a_minute(services: Services) -> None:
    # Given
    now = 1_800_000_000.0
    totals = TenantTotals(services.dynamodb, services.settings.table("statistics"), lambda: now)
    minute = int(now // 60)

    def stored() -> int:
        return sum(counts["uplinksDelivered"] for counts in totals.read("demo", minute, minute + 5).values())

    # When
    for _ in range(150):
        totals.note("demo", minute, {"uplinksDelivered": 1})
        totals.flush()

    # Then
    assert stored() == 100
    now += 61
    totals.flush()
    assert stored() == 150
