"""The stores against moto: conditional writes, indexes, paging, limits."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.bootstrap import Services
from chalicelib.connections_store import DynamoDbConnections
from chalicelib.dynamodb import from_item
from chalicelib.errors import Conflict, InvalidRequest, NotFound, PreconditionFailed, Unavailable
from chalicelib.ids import first_id, is_id, last_id, new_id
from chalicelib.leases_store import DynamoDbLeases
from chalicelib.models import (
    AmqpConfiguration,
    Connection,
    ConnectionSecrets,
    Direction,
    Event,
    FailedMessage,
    Level,
    iso_time,
)
from chalicelib.state import ConnectionState

NOW = 1_764_000_000.25


def connection(number: int = 0, **changes: Any) -> Connection:
    base = Connection(
        tenant="demo",
        id=new_id(NOW + number),
        name=f"Connection {number}",
        active=True,
        configuration=AmqpConfiguration.model_validate(
            {"hostName": "amqp.test", "protocol": "TCP", "uplinkTopicPattern": "{DevEUI}", "password": "*****"}
        ),
        created_at=iso_time(NOW),
        updated_at=iso_time(NOW),
        state=ConnectionState.OPENING,
        epoch=1,
        probe_at=NOW,
    )
    return base.model_copy(update=changes)


@pytest.fixture
def store(services: Services) -> DynamoDbConnections:
    return services.connection_store


def test_a_connection_is_read_as_it_was_written(store: DynamoDbConnections) -> None:
    written = connection(wake_at=NOW + 0.123456, wake_token="t", state_reason="éà ☃", outage_since=1.0)
    store.create(written, 5)
    assert store.get("demo", written.id) == written
    assert store.of_tenant("demo") == [written]
    assert store.of_tenant("other") == []


def test_the_limit_holds_and_a_delete_makes_room(store: DynamoDbConnections) -> None:
    first, second = connection(0), connection(1)
    store.create(first, 1)
    with pytest.raises(Conflict, match="limit"):
        store.create(second, 1)
    with pytest.raises(Conflict, match="limit"):
        store.reserve("demo", second.id, 1)
    store.delete("demo", first.id)
    store.reserve("demo", second.id, 1)
    store.create(second, 1)
    assert [c.id for c in store.of_tenant("demo")] == [second.id]


def test_every_change_of_the_api_moves_the_generation_and_no_other(store: DynamoDbConnections) -> None:
    kept = connection()
    seen = [store.generation("demo")]
    store.create(kept, 5)
    seen.append(store.generation("demo"))
    store.replace(kept.model_copy(update={"version": 2}), 1)
    seen.append(store.generation("demo"))
    store.mark("demo", kept.id, NOW, "t")
    assert store.update_breaker(kept.model_copy(update={"epoch": 2}), 1)
    assert store.generation("demo") == seen[-1]
    store.delete("demo", kept.id)
    seen.append(store.generation("demo"))
    assert seen == [0, 1, 2, 3]


def test_of_two_replaces_on_one_version_the_second_loses(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    store.replace(stored.model_copy(update={"version": 2, "name": "first"}), 1)
    with pytest.raises(PreconditionFailed):
        store.replace(stored.model_copy(update={"version": 2, "name": "second"}), 1)
    assert store.get("demo", stored.id).name == "first"
    with pytest.raises(NotFound):
        store.replace(connection(9), 1)


def test_a_replace_leaves_the_breaker_and_the_mark_that_were_written_meanwhile(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    failed = stored.model_copy(
        update={
            "epoch": 2,
            "state": ConnectionState.UNREACHABLE,
            "outage_since": NOW,
            "failures": 1,
            "probe_at": NOW + 300,
        }
    )
    assert store.update_breaker(failed, 1)
    store.mark("demo", stored.id, NOW + 60, "token")
    store.replace(stored.model_copy(update={"version": 2, "name": "renamed"}), 1)
    after = store.get("demo", stored.id)
    assert after == failed.model_copy(
        update={"version": 2, "name": "renamed", "wake_at": NOW + 60, "wake_token": "token"}
    )


def test_a_reset_moves_the_epoch_on_whatever_it_is_and_shuts_out_who_read_before(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    assert store.update_breaker(stored.model_copy(update={"epoch": 2, "outage_since": NOW, "failures": 3}), 1)
    drained = store.get("demo", stored.id)
    store.replace(stored.model_copy(update={"version": 2, "probe_at": NOW + 9}), 1, reset=True)
    assert not store.update_breaker(drained.model_copy(update={"epoch": 3, "failures": 4}), drained.epoch)
    after = store.get("demo", stored.id)
    assert (after.epoch, after.failures, after.outage_since, after.probe_at) == (3, 0, None, NOW + 9)


def test_update_breaker_changes_nothing_that_the_api_writes(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    store.replace(stored.model_copy(update={"version": 2, "name": "renamed", "secret_version": "s2"}), 1)
    assert store.update_breaker(stored.model_copy(update={"epoch": 2, "state": ConnectionState.OPENED}), 1)
    after = store.get("demo", stored.id)
    assert (after.name, after.version, after.secret_version, after.state) == (
        "renamed",
        2,
        "s2",
        ConnectionState.OPENED,
    )


def test_update_breaker_of_one_that_is_gone_writes_nothing(store: DynamoDbConnections) -> None:
    gone = connection()
    assert not store.update_breaker(gone, 1)
    store.mark("demo", gone.id, NOW, "t")
    store.clear_mark("demo", gone.id, "t")
    store.postpone_probe(gone, NOW)
    with pytest.raises(NotFound):
        store.get("demo", gone.id)


def test_an_older_breaker_without_a_mark_does_not_remove_one(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    store.mark("demo", stored.id, NOW, "token")
    assert store.update_breaker(stored.model_copy(update={"epoch": 2}), 1)
    assert store.get("demo", stored.id).wake_token == "token"


def test_a_mark_is_cleared_with_its_own_token_only(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    store.mark("demo", stored.id, NOW, "one")
    store.mark("demo", stored.id, NOW, "two")
    store.clear_mark("demo", stored.id, "one")
    assert [c.wake_token for c in store.marks_due(NOW)] == ["two"]
    store.clear_mark("demo", stored.id, "two")
    assert list(store.marks_due(NOW)) == []


def test_a_later_mark_does_not_put_off_an_earlier_one(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    store.mark("demo", stored.id, NOW + 60, "one")
    store.mark("demo", stored.id, NOW + 900, "two")
    after = store.get("demo", stored.id)
    assert (after.wake_at, after.wake_token) == (NOW + 60, "two")
    store.mark("demo", stored.id, NOW + 5, "three")
    after = store.get("demo", stored.id)
    assert (after.wake_at, after.wake_token) == (NOW + 5, "three")


def test_the_indexes_hold_what_is_due_and_active_only(store: DynamoDbConnections) -> None:
    active, idle = connection(0, probe_at=NOW), connection(1, active=False, probe_at=None)
    late = connection(2, probe_at=NOW + 100)
    for each in (active, idle, late):
        store.create(each, 5)
    store.mark("demo", idle.id, NOW + 1, "t")
    assert {c.id for c in store.all_active()} == {active.id, late.id}
    assert {c.id for c in store.probes_due(NOW)} == {active.id}
    assert list(store.marks_due(NOW)) == []
    assert {c.id for c in store.marks_due(NOW + 1)} == {idle.id}
    store.postpone_probe(active, NOW + 50)
    assert list(store.probes_due(NOW)) == []
    assert {c.id for c in store.probes_due(NOW + 50)} == {active.id}
    store.postpone_probe(active.model_copy(update={"epoch": 7}), NOW)
    assert list(store.probes_due(NOW)) == []


def test_deactivating_leaves_the_index_and_activating_comes_back(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    off = stored.model_copy(update={"version": 2, "active": False, "probe_at": None})
    store.replace(off, 1, reset=True)
    assert list(store.all_active()) == []
    assert list(store.probes_due(NOW + 1e6)) == []
    store.replace(off.model_copy(update={"version": 3, "active": True, "probe_at": NOW}), 2, reset=True)
    assert [c.id for c in store.all_active()] == [stored.id]


def test_a_name_that_is_no_id_is_never_found(store: DynamoDbConnections) -> None:
    store.create(connection(), 5)
    for name in ("#tenant", "", "x" * 5000, "☃"):
        with pytest.raises(NotFound):
            store.get("demo", name)
        with pytest.raises(NotFound):
            store.delete("demo", name)


def test_what_was_begun_and_not_ended_is_found(store: DynamoDbConnections, services: Services) -> None:
    begun, done, deleted = connection(0), connection(1), connection(2)
    store.reserve("demo", begun.id, 5)
    for each in (done, deleted):
        store.reserve("demo", each.id, 5)
        store.create(each, 5)
    store.delete("demo", deleted.id)
    later = services.clock() + 1
    assert set(store.unfinished(later)) == {("demo", begun.id), ("demo", deleted.id)}
    assert list(store.unfinished(later - 3600)) == []
    assert [c.id for c in store.of_tenant("demo")] == [done.id]
    assert store.is_pending("demo", deleted.id)
    store.settle("demo", deleted.id)
    assert not store.is_pending("demo", deleted.id)
    assert {c.id for c in store.all_active()} == {done.id}


def test_throttling_and_silence_are_unavailable(services: Services) -> None:
    services.dynamodb.delete_table(TableName=services.settings.table("connections"))
    with pytest.raises(Unavailable):
        services.connection_store.get("demo", new_id(NOW))
    with pytest.raises(Unavailable):
        services.connection_store.generation("demo")
    with pytest.raises(Unavailable):
        services.connection_store.create(connection(), 5)


class _Conflicting:
    """A client whose first calls meet a transaction on the same item."""

    def __init__(self, client: Any, conflicts: int) -> None:
        self._client, self._left = client, conflicts

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)
        if name not in {"update_item", "transact_write_items"}:
            return function

        def call(**arguments: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                return function(**arguments)
            code = "TransactionConflictException" if name == "update_item" else "TransactionCanceledException"
            reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
            response: Any = {"Error": {"Code": code}, "CancellationReasons": reasons}
            raise ClientError(response, name)

        return call


@pytest.mark.parametrize("conflicts", [1, 5, 6])
def test_a_transaction_on_the_same_item_is_waited_for(services: Services, conflicts: int) -> None:
    pauses: list[float] = []
    table = services.settings.table("connections")

    def store() -> DynamoDbConnections:
        client: Any = _Conflicting(services.dynamodb, conflicts)
        return DynamoDbConnections(client, table, services.clock, pauses.append)

    stored = connection()
    if conflicts == 6:
        with pytest.raises(Unavailable):
            store().create(stored, 5)
        services.connection_store.create(stored, 5)
        with pytest.raises(Unavailable):
            store().mark("demo", stored.id, NOW, "t")
    else:
        store().create(stored, 5)
        store().mark("demo", stored.id, NOW, "t")
        assert services.connection_store.get("demo", stored.id).wake_token == "t"
        assert len(pauses) == 2 * conflicts


# Secrets


def test_versions_of_a_secret_do_not_overwrite_each_other(services: Services) -> None:
    secrets = services.secret_store
    one = secrets.put("demo", "01A", ConnectionSecrets(password="one"))
    two = secrets.put("demo", "01A", ConnectionSecrets(password="two"))
    fresh = Services(services.settings).secret_store
    assert fresh.get("demo", "01A", one).password == "one"
    assert fresh.get("demo", "01A", two).password == "two"
    secrets.drop_version("demo", "01A", one)
    secrets.drop_version("demo", "01A", one)
    labels = services.secretsmanager.describe_secret(SecretId="iot-flow/demo/01A")["VersionIdsToStages"]
    assert labels[two] == [f"v-{two}", "AWSCURRENT"]
    assert not labels.get(one)
    secrets.delete("demo", "01A")
    secrets.delete("demo", "01A")
    with pytest.raises(NotFound):
        Services(services.settings).secret_store.get("demo", "01A", two)


def test_secrets_too_large_for_secrets_manager_are_the_callers_fault(services: Services) -> None:
    large = ConnectionSecrets(certificate="é" * 32768, private_key="x")
    with pytest.raises(InvalidRequest):
        services.secret_store.put("demo", "01A", large)


def test_the_as_key_of_a_downlink_has_one_name_and_goes_with_the_connection(services: Services) -> None:
    name = services.secret_store.put_as_key("demo", "01A", "0011")
    again = Services(services.settings).secret_store
    assert again.put_as_key("demo", "01A", "0011") == name
    assert again.put_as_key("demo", "01A", "0022") != name
    assert Services(services.settings).secret_store.get_as_key(name) == "0011"
    assert "0011" not in name.split("/")
    services.secret_store.delete("demo", "01A")
    with pytest.raises(NotFound):
        Services(services.settings).secret_store.get_as_key(name)


def test_an_application_server_may_stand_at_several_tenants(services: Services) -> None:
    servers = services.application_server_store
    servers.put("demo", "AS", "key one")
    servers.put("other", "AS", "key two")
    with pytest.raises(Conflict):
        servers.put("demo", "AS", "key three")
    assert sorted(servers.keys("AS")) == [("demo", "key one"), ("other", "key two")]
    assert [server.as_id for server in servers.of_tenant("demo")] == ["AS"]
    servers.delete("demo", "AS")
    assert servers.keys("AS") == [("other", "key two")]
    with pytest.raises(NotFound):
        servers.delete("demo", "AS")
    servers.put("demo", "AS", "key four")
    assert sorted(servers.keys("AS")) == [("demo", "key four"), ("other", "key two")]
    assert servers.keys("") == servers.keys("x" * 9999) == []


# Failed messages, events, statistics, leases


def failed(number: int, body: str = "{}", **changes: Any) -> FailedMessage:
    base = FailedMessage(
        id=new_id(NOW + number),
        time=iso_time(NOW + number),
        direction=Direction.UPLINK,
        reason="UNROUTABLE",
        detail="no queue is bound",
        body=body,
        message_id=f"m{number}",
    )
    return base.model_copy(update=changes)


@pytest.mark.parametrize("body", ["{}", "é☃" * 400, '{"a": "' + "ü" * 131_000 + '"}'])
def test_a_failed_message_keeps_its_body_and_message_id(services: Services, body: str) -> None:
    message = failed(0, body, dev_eui="70B3D5E75E000001")
    services.failed_messages.add("demo", "01A", [message, message])
    assert services.failed_messages.page("demo", "01A", 10, None) == ([message], None)


def test_failed_messages_are_paged_newest_first_with_a_cursor_of_their_own(services: Services) -> None:
    store = services.failed_messages
    messages = [failed(n, direction=Direction.DOWNLINK if n % 3 == 0 else Direction.UPLINK) for n in range(60)]
    store.add("demo", "01A", messages)
    seen: list[FailedMessage] = []
    cursor = None
    while True:
        part, cursor = store.page("demo", "01A", 25, cursor)
        seen += part
        if cursor is None:
            break
        for tenant, other in (("demo", "01B"), ("other", "01A")):
            with pytest.raises(InvalidRequest) as caught:
                store.page(tenant, other, 25, cursor)
            assert [fault.pointer for fault in caught.value.faults] == ["/cursor"]
    assert seen == messages[::-1]
    assert [m.id for m in store.page("demo", "01A", 3, None, Direction.DOWNLINK)[0]] == [
        messages[n].id for n in (57, 54, 51)
    ]
    store.purge("demo", "01A")
    assert store.page("demo", "01A", 25, None) == ([], None)


def test_a_page_of_large_bodies_stays_below_what_lambda_may_answer(services: Services) -> None:
    services.failed_messages.add("demo", "01A", [failed(n, "x" * 250_000) for n in range(12)])
    first, cursor = services.failed_messages.page("demo", "01A", 100, None)
    assert sum(len(message.body) for message in first) <= 2_000_000
    rest, end = services.failed_messages.page("demo", "01A", 100, cursor)
    assert len(first) + len(rest) == 12
    assert end is None


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "é", "AAAA" * 10, "a" * 5000])
def test_a_made_up_cursor_is_refused(services: Services, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        services.failed_messages.page("demo", "01A", 5, cursor)
    with pytest.raises(InvalidRequest):
        services.event_log.page("demo", None, limit=5, cursor=cursor)


def test_events_are_found_by_connection_time_and_level(services: Services) -> None:
    log = services.event_log
    events = [
        Event(
            id=new_id(NOW + n),
            time=iso_time(NOW + n),
            level=Level.ERROR if n % 2 else Level.INFO,
            type="T",
            connection_id="01A" if n < 6 else None,
            message=f"event {n}",
            details={"n": n, "f": 0.5, "none": None},
        )
        for n in range(8)
    ]
    for event in events:
        log.add("demo", event)
    log.add("other", events[0])
    assert log.page("demo", None, limit=50, cursor=None) == (events[::-1], None)
    assert log.page("demo", "01A", limit=50, cursor=None)[0] == events[5::-1]
    assert log.page("demo", "01A", since=NOW + 2, until=NOW + 3, limit=5, cursor=None)[0] == events[3:1:-1]
    assert log.page("demo", "01A", level=Level.ERROR, limit=5, cursor=None)[0] == events[5::-2]
    assert log.page("demo", None, since=NOW + 9, until=NOW, limit=5, cursor=None) == ([], None)
    for connection_id in (None, "01A"):
        first, cursor = log.page("demo", connection_id, limit=4, cursor=None)
        rest, end = log.page("demo", connection_id, limit=4, cursor=cursor)
        assert first + rest == (events if connection_id is None else events[:6])[::-1]
        assert end is None


def test_counters_add_up_per_minute(services: Services) -> None:
    services.statistics.add("demo", "01A", {"uplinksDelivered": 2, "uplinksFailed": 0})
    services.statistics.add("demo", "01A", {"uplinksDelivered": 3})
    services.statistics.add("demo", "01A", {})
    items = services.dynamodb.scan(TableName=services.settings.table("statistics"))["Items"]
    assert sum(from_item(item)["uplinksDelivered"] for item in items) == 5
    assert all(from_item(item)["expires"] - from_item(item)["minute"] * 60 == 8 * 86400 for item in items)


def test_a_lease_is_one_owners_until_its_time_is_over(services: Services) -> None:
    now = NOW

    leases = DynamoDbLeases(services.dynamodb, services.settings.table("leases"), lambda: now, 20)
    assert leases.acquire("01A", "one")
    assert not leases.acquire("01A", "two")
    assert leases.acquire("01A", "one")
    now += 20
    assert leases.acquire("01A", "two")
    assert not leases.acquire("01A", "one")
    leases.release("01A", "one")
    assert not leases.acquire("01A", "three")
    leases.release("01A", "two")
    assert leases.acquire("01A", "three")


def test_ids_sort_by_time() -> None:
    assert first_id(NOW) <= new_id(NOW) <= last_id(NOW) < first_id(NOW + 1)
    assert is_id(first_id(-5))
    assert is_id(last_id(1e20))
