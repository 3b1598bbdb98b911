"""The store of connections against moto: conditional writes, indexes, the limit and unfinished changes."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.adapters.aws.connections import DynamoDbConnections
from chalicelib.domain import breaker, downlink_fault
from chalicelib.domain.connection import Connection
from chalicelib.domain.connection_changes import fresh
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.entry.services import Services
from chalicelib.errors import (
    BrokerMisconfigured,
    BrokerUnreachable,
    Conflict,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import ConnectionState, EventType

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


def test_connection_is_read_as_it_was_written(store: DynamoDbConnections) -> None:
    written = connection(wake_at=NOW + 0.123456, wake_token="t", state_reason="éà ☃", outage_since=1.0)
    store.create(written, 5)
    assert store.get("demo", written.id) == written
    assert store.of_tenant("demo") == [written]
    assert store.of_tenant("other") == []


def test_limit_refuses_a_connection_until_another_is_deleted(store: DynamoDbConnections) -> None:
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


def test_only_changes_by_the_api_increment_the_generation(store: DynamoDbConnections) -> None:
    kept = connection()
    seen = [store.generation("demo")]
    store.create(kept, 5)
    seen.append(store.generation("demo"))
    store.replace(kept.model_copy(update={"version": 2}), 1)
    seen.append(store.generation("demo"))
    store.set_pending_wake("demo", kept.id, NOW, "t")
    assert store.update_breaker(kept.model_copy(update={"epoch": 2}), 1)
    assert store.generation("demo") == seen[-1]
    store.delete("demo", kept.id)
    seen.append(store.generation("demo"))
    assert seen == [0, 1, 2, 3]


def test_second_replace_of_one_version_fails(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    store.replace(stored.model_copy(update={"version": 2, "name": "first"}), 1)
    with pytest.raises(PreconditionFailed):
        store.replace(stored.model_copy(update={"version": 2, "name": "second"}), 1)
    assert store.get("demo", stored.id).name == "first"
    with pytest.raises(NotFound):
        store.replace(connection(9), 1)


def test_replace_keeps_concurrent_breaker_and_pending_wake(store: DynamoDbConnections) -> None:
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
    store.set_pending_wake("demo", stored.id, NOW + 60, "token")
    store.replace(stored.model_copy(update={"version": 2, "name": "renamed"}), 1)
    after = store.get("demo", stored.id)
    assert after == failed.model_copy(
        update={"version": 2, "name": "renamed", "wake_at": NOW + 60, "wake_token": "token"}
    )


def test_reset_increments_the_epoch_and_rejects_older_breaker_updates(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    assert store.update_breaker(stored.model_copy(update={"epoch": 2, "outage_since": NOW, "failures": 3}), 1)
    drained = store.get("demo", stored.id)
    store.replace(stored.model_copy(update={"version": 2, "probe_at": NOW + 9}), 1, reset=True)
    assert not store.update_breaker(drained.model_copy(update={"epoch": 3, "failures": 4}), drained.epoch)
    after = store.get("demo", stored.id)
    assert (after.epoch, after.failures, after.outage_since, after.probe_at) == (3, 0, None, NOW + 9)


def test_update_breaker_keeps_the_fields_of_the_api(store: DynamoDbConnections) -> None:
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


def test_updates_of_a_deleted_connection_write_nothing(store: DynamoDbConnections) -> None:
    gone = connection()
    assert not store.update_breaker(gone, 1)
    store.set_pending_wake("demo", gone.id, NOW, "t")
    store.clear_pending_wake("demo", gone.id, "t")
    store.postpone_probe(gone, NOW)
    with pytest.raises(NotFound):
        store.get("demo", gone.id)


def test_update_breaker_without_a_pending_wake_keeps_the_stored_one(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    store.set_pending_wake("demo", stored.id, NOW, "token")
    assert store.update_breaker(stored.model_copy(update={"epoch": 2}), 1)
    assert store.get("demo", stored.id).wake_token == "token"


REFUSED = BrokerMisconfigured(EventType.PERMISSION_REFUSED, "may not use a queue")


def test_downlink_state_is_written_once_per_number_of_failures(store: DynamoDbConnections) -> None:
    # Given
    stored = connection()
    store.create(stored, 5)
    assert store.update_downlinks(downlink_fault.opened(stored), 0)
    opened = store.get("demo", stored.id)
    assert opened == downlink_fault.opened(stored)

    # When two polls find a fault
    failed = downlink_fault.failed(opened, REFUSED, NOW, 0.0, 1.0)
    assert store.update_downlinks(failed, 0)
    assert not store.update_downlinks(failed, 0)

    # Then
    assert store.get("demo", stored.id) == failed
    again = downlink_fault.failed(failed, REFUSED, NOW + 300, 0.0, 1.0)
    assert store.update_downlinks(again, 1)
    assert store.get("demo", stored.id) == again
    assert not store.update_downlinks(downlink_fault.opened(again.model_copy(update={"version": 2})), 2)
    assert store.update_downlinks(downlink_fault.opened(again), 2)
    assert store.get("demo", stored.id) == opened
    assert not store.update_downlinks(downlink_fault.opened(connection(1)), 0)


def test_only_a_reset_or_restart_clears_the_fault_of_the_downlinks(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    failed = downlink_fault.failed(stored, REFUSED, NOW, 0.0, 1.0)
    assert store.update_downlinks(failed, 0)
    unreachable = BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused")
    for fault in (unreachable, REFUSED):
        before = store.get("demo", stored.id)
        assert store.update_breaker(
            breaker.failed(stored, fault, NOW, 0.0, 1.0).model_copy(update={"epoch": before.epoch + 1}), before.epoch
        )
        after = store.get("demo", stored.id)
        assert (after.downlink_reason, after.fault_scope) == (failed.downlink_reason, fault.scope)
    store.replace(stored.model_copy(update={"version": 2, "name": "renamed"}), 1)
    kept = store.get("demo", stored.id)
    assert (kept.downlink_since, kept.fault_scope) == (NOW, "DIRECTION")
    restarted = kept.model_copy(update={**fresh(NOW, active=True), "epoch": kept.epoch + 1})
    assert store.update_breaker(restarted, kept.epoch, restart=True)
    assert store.get("demo", stored.id) == restarted
    assert store.update_downlinks(downlink_fault.failed(restarted, REFUSED, NOW, 0.0, 1.0), 0)
    store.replace(restarted.model_copy(update={"version": 3}), 2, reset=True)
    assert store.get("demo", stored.id).downlink_since is None


def test_proof_of_a_fast_broker_is_recorded_and_withdrawn(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    assert not store.get("demo", stored.id).is_fast
    store.mark_fast(stored, NOW)
    store.mark_fast(stored, NOW + 60)
    assert store.get("demo", stored.id).fast_since == NOW
    store.mark_slow("demo", stored.id)
    store.mark_slow("demo", stored.id)
    assert not store.get("demo", stored.id).is_fast


def test_proof_from_before_a_change_of_the_breaker_is_ignored(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    assert store.update_breaker(stored.model_copy(update={"epoch": stored.epoch + 1}), stored.epoch)
    store.mark_fast(stored, NOW)
    assert not store.get("demo", stored.id).is_fast


def test_pending_wake_is_cleared_by_its_current_token_only(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    store.set_pending_wake("demo", stored.id, NOW, "one")
    store.set_pending_wake("demo", stored.id, NOW, "two")
    store.clear_pending_wake("demo", stored.id, "one")
    assert [c.wake_token for c in store.pending_wakes_due(NOW)] == ["two"]
    store.clear_pending_wake("demo", stored.id, "two")
    assert list(store.pending_wakes_due(NOW)) == []


def test_later_pending_wake_does_not_postpone_an_earlier_one(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    store.set_pending_wake("demo", stored.id, NOW + 60, "one")
    store.set_pending_wake("demo", stored.id, NOW + 900, "two")
    after = store.get("demo", stored.id)
    assert (after.wake_at, after.wake_token) == (NOW + 60, "two")
    store.set_pending_wake("demo", stored.id, NOW + 5, "three")
    after = store.get("demo", stored.id)
    assert (after.wake_at, after.wake_token) == (NOW + 5, "three")


def test_indexes_contain_only_due_and_active_connections(store: DynamoDbConnections) -> None:
    active, idle = connection(0, probe_at=NOW), connection(1, active=False, probe_at=None)
    late = connection(2, probe_at=NOW + 100)
    for each in (active, idle, late):
        store.create(each, 5)
    store.set_pending_wake("demo", idle.id, NOW + 1, "t")
    assert {c.id for c in store.all_active()} == {active.id, late.id}
    assert {c.id for c in store.probes_due(NOW)} == {active.id}
    assert list(store.pending_wakes_due(NOW)) == []
    assert {c.id for c in store.pending_wakes_due(NOW + 1)} == {idle.id}
    store.postpone_probe(active, NOW + 50)
    assert list(store.probes_due(NOW)) == []
    assert {c.id for c in store.probes_due(NOW + 50)} == {active.id}
    store.postpone_probe(active.model_copy(update={"epoch": 7}), NOW)
    assert list(store.probes_due(NOW)) == []


def test_deactivated_connection_leaves_the_index_until_it_is_activated(store: DynamoDbConnections) -> None:
    stored = connection()
    store.create(stored, 5)
    off = stored.model_copy(update={"version": 2, "active": False, "probe_at": None})
    store.replace(off, 1, reset=True)
    assert list(store.all_active()) == []
    assert list(store.probes_due(NOW + 1e6)) == []
    store.replace(off.model_copy(update={"version": 3, "active": True, "probe_at": NOW}), 2, reset=True)
    assert [c.id for c in store.all_active()] == [stored.id]


def test_malformed_id_is_not_found(store: DynamoDbConnections) -> None:
    store.create(connection(), 5)
    for name in ("#tenant", "", "x" * 5000, "☃"):
        with pytest.raises(NotFound):
            store.get("demo", name)
        with pytest.raises(NotFound):
            store.delete("demo", name)


def test_unfinished_creates_and_deletes_are_found(store: DynamoDbConnections, services: Services) -> None:
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
    store.forget_pending("demo", deleted.id)
    assert not store.is_pending("demo", deleted.id)
    assert {c.id for c in store.all_active()} == {done.id}


def test_missing_table_is_unavailable(services: Services) -> None:
    services.dynamodb.delete_table(TableName=services.settings.table("connections"))
    with pytest.raises(Unavailable):
        services.connection_store.get("demo", new_id(NOW))
    with pytest.raises(Unavailable):
        services.connection_store.generation("demo")
    with pytest.raises(Unavailable):
        services.connection_store.create(connection(), 5)


class _Conflicting:
    """A DynamoDB client whose first ``conflicts`` writes conflict with a transaction on the same item."""

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
def test_conflicting_write_is_retried_with_pauses(services: Services, conflicts: int) -> None:
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
            store().set_pending_wake("demo", stored.id, NOW, "t")
    else:
        store().create(stored, 5)
        store().set_pending_wake("demo", stored.id, NOW, "t")
        assert services.connection_store.get("demo", stored.id).wake_token == "t"
        assert len(pauses) == 2 * conflicts


def test_generations_are_those_of_each_tenant(store: DynamoDbConnections) -> None:
    store.create(connection(), 5)
    assert store.generations(["demo", "unknown"]) == {"demo": store.generation("demo"), "unknown": 0}
    assert store.generations([]) == {}
