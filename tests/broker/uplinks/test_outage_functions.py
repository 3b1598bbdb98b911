"""What happens to our own side while reports are on their way to a real broker: it is killed, frozen, out of time, or
the connection is changed under it. A row each, with the state and the events that the tenant sees."""

import time
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import pytest

from chalicelib.config import Timing
from chalicelib.errors import NotFound, Unavailable
from infra.local.waiting import wait_until
from tests.broker.outage import Outage
from tests.broker.support import Site, taken
from tests.unit.flow import TENANT


@pytest.fixture
def outage(site: Site) -> Iterator[Outage]:
    made = Outage(site)
    yield made.good()
    made.close()


class Killed(BaseException):
    """The function ends here, as when its environment is taken away."""


def kill() -> None:
    raise Killed


def test_a_function_time_out_before_the_publish_costs_a_wait_only(outage: Outage) -> None:
    # Given a function that was killed with reports in its hands
    outage.accept()
    outage.take()
    assert len(outage.queues.receive("c1", 10)) == 6

    # When their visibility ends, and the wakes' too
    outage.settle()

    # Then
    assert outage.told() == ("OPENED", None, [])
    outage.assert_all_arrived()


def test_a_function_time_out_between_publish_and_settling_repeats_what_was_unsettled(outage: Outage) -> None:
    # Given the environment is gone when the broker has confirmed
    outage.accept()
    wakes = outage.take()
    delete = outage.queues.delete_messages

    def ends(_connection_id: str, _receipts: Sequence[str]) -> list[str]:
        raise Killed

    outage.queues.delete_messages = ends  # type: ignore[method-assign, assignment]  # killed at this very line
    with pytest.raises(Killed):
        outage.forwarder.handle(wakes, time.monotonic() + 30)
    outage.queues.delete_messages = delete  # type: ignore[method-assign]

    # When
    outage.pool.discard("c1")
    outage.settle()

    # Then
    assert outage.told() == ("OPENED", None, [])
    outage.assert_all_arrived(repeats=6)


def test_a_duplicate_delivery_has_the_same_message_id(outage: Outage) -> None:
    # Given an answer of SQS that was lost: what was confirmed is received again
    outage.accept(rounds=1)
    delete = outage.queues.delete_messages
    outage.queues.delete_messages = lambda _id, receipts: list(receipts)  # type: ignore[method-assign, assignment]
    outage.forward()
    outage.queues.delete_messages = delete  # type: ignore[method-assign]

    # When
    outage.settle()

    # Then
    arrived = outage.arrived()[-6:]
    assert sorted(arrived[:3]) == sorted(arrived[3:])
    assert len({message_id for _, message_id in arrived}) == 3
    assert outage.told() == ("OPENED", None, [])


def test_a_frozen_environment_finds_its_connection_gone_and_opens_another(
    outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an environment that was frozen for longer than the broker waits for heartbeats
    name = f"{TENANT}/ConnectionId.c1#publisher"
    assert wait_until(lambda: bool(outage.site.connections_named(name)), 15)
    outage.site.api("DELETE", f"connections/{quote(outage.site.connections_named(name)[0]['name'])}")
    monkeypatch.setattr("chalicelib.adapters.amqp.publisher.IDLE", 0.0)

    # When
    outage.accept()
    outage.forward()

    # Then
    assert outage.told() == ("OPENED", None, [])
    assert outage.publishers.opened == 2
    outage.assert_all_arrived()


def test_a_poison_report_is_kept_as_failed_and_its_device_goes_on(outage: Outage) -> None:
    # Given what no version of this program would have accepted
    outage.accept(rounds=1)
    outage.queues.send("c1", body="{", group=f"{1:016X}", message_id="poison", deduplication_id="poison")
    outage.accept(rounds=1)

    # When
    outage.forward()
    outage.settle()

    # Then
    (failed,) = outage.failed.messages[TENANT, "c1"]
    assert (failed.reason, failed.body) == ("INVALID", "{")
    assert outage.told() == ("OPENED", None, ["INVALID"])
    outage.failed.messages.clear()
    outage.assert_all_arrived()


def test_a_report_that_kills_its_function_is_sent_alone_and_told_of(outage: Outage) -> None:
    # Given a report that was received ten times without an end
    outage.accept(rounds=1)
    for _ in range(9):
        outage.take()
        assert outage.queues.receive("c1", 10)
        outage.now += outage.settings.timing.report_visibility + 1

    # When
    outage.settle()

    # Then
    state, reason, events = outage.told()
    assert (state, reason, set(events)) == ("OPENED", None, {"UPLINK_STUCK"})
    outage.assert_all_arrived()


class Throttled:
    """Tables or secrets that answer nothing but that they are asked too often."""

    def __init__(self, outage: Outage, port: str, method: str) -> None:
        self._target = getattr(outage, port)
        self._method = method
        self._works = getattr(self._target, method)

    def __enter__(self) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise Unavailable("ThrottlingException")

        setattr(self._target, self._method, refuse)

    def __exit__(self, *_: object) -> None:
        setattr(self._target, self._method, self._works)


@pytest.mark.parametrize(
    ("port", "method"),
    [
        ("connections", "get"),
        ("connections", "set_pending_wake"),
        ("secrets", "get"),
        ("statistics", "add"),
        ("events", "add"),
    ],
)
def test_dynamodb_and_secrets_manager_throttled_cost_a_wait_only(outage: Outage, port: str, method: str) -> None:
    # Given a fresh environment, which has to read everything
    outage.pool.discard("c1")
    outage.accept()
    wakes = outage.take()

    # When
    with Throttled(outage, port, method):
        try:
            outage.forwarder.handle(wakes, time.monotonic() + 30)
        except Unavailable:
            outage.wakes.repeat()

    # Then
    outage.settle()
    assert outage.told() == ("OPENED", None, [])
    outage.assert_all_arrived()


def test_a_secret_that_is_changed_mid_flight_is_used_from_the_next_connect_on(outage: Outage) -> None:
    # Given the record was read, and its version of the secret is gone when it is needed
    outage.pool.discard("c1")
    outage.accept()
    before = outage.state()
    get = outage.secrets.get

    def meanwhile(tenant: str, connection_id: str, version: str) -> object:
        outage.secrets.get = get  # type: ignore[method-assign]
        outage.change(outage.site.secrets)
        outage.secrets.drop_version(TENANT, "c1", before.secret_version or "")
        return get(tenant, connection_id, version)

    outage.secrets.get = meanwhile  # type: ignore[method-assign, assignment]

    # When
    outage.forward()
    with pytest.raises(NotFound):
        outage.secrets.get(TENANT, "c1", before.secret_version or "")
    outage.forward()
    outage.settle()

    # Then
    assert outage.told() == ("OPENED", None, ["OPENED"])
    outage.assert_all_arrived()


@pytest.fixture
def watchful(outage: Outage) -> Outage:
    """Looks at its connection's record before each round of receives."""
    timing = Timing.model_validate({**outage.settings.timing.model_dump(), "recheck": 0.0})
    object.__setattr__(outage.parts, "timing", timing)
    return outage


def test_a_connection_updated_mid_flight_is_used_as_it_is_now(watchful: Outage) -> None:
    # Given some reports are on their way, and more wait
    outage = watchful
    outage.accept(rounds=60)
    moved = f"moved.{outage.key}"
    outage.publishers.after = lambda: _once(outage, lambda: outage.change(uplink_topic_pattern=f"{moved}.{{DevEUI}}"))
    with outage.site.channel() as channel:
        channel.queue_bind(outage.queue, "amq.topic", f"{moved}.#")

    # When
    outage.forward()
    outage.forward()
    outage.settle()

    # Then the new key is used for all that was not received before
    keys = [str(method.routing_key) for method, _, _ in taken(outage.site, outage.queue)]
    old, new = [[key for key in keys if key.startswith(start)] for start in (outage.key, moved)]
    assert keys == [*old, *new]
    assert len(keys) == len(outage.accepted)
    assert 0 < len(old) - 6 < 180
    assert outage.told() == ("OPENED", None, ["OPENED"])


def test_a_connection_deactivated_mid_flight_keeps_the_rest_until_it_is_active(watchful: Outage) -> None:
    outage = watchful
    outage.accept(rounds=60)

    # When
    outage.publishers.after = lambda: _once(outage, lambda: outage.activate(active=False))
    outage.forward()

    # Then what was not sent is kept, and what was under way has not written over the state
    assert 0 < sum(outage.queues.depth("c1")) < 180
    assert not outage.publishers.any_usable()
    assert outage.told() == ("DEACTIVATED", None, [])

    # When
    outage.activate(active=True)
    outage.forward()
    outage.settle()

    # Then
    assert outage.told() == ("OPENED", None, ["OPENED"])
    outage.assert_all_arrived()


def test_a_connection_deleted_mid_flight_ends_its_traffic_and_no_other(watchful: Outage) -> None:
    outage = watchful
    outage.accept(rounds=60)

    def delete() -> None:
        outage.connections.delete(TENANT, "c1")
        outage.queues.delete("c1")
        outage.secrets.delete(TENANT, "c1")

    # When
    outage.publishers.after = lambda: _once(outage, delete)
    outage.forward()

    # Then: what was on its way, and no more; and no wake is left that would come again
    assert 0 < len(outage.arrived()) - 6 < 180
    assert not outage.publishers.any_usable()
    assert len(outage.wakes) == 0
    assert outage.event_types() == []


def _once(outage: Outage, action: object) -> None:
    outage.publishers.after = lambda: None
    assert callable(action)
    action()
