"""Faults of our functions while they publish to a real broker: killed, frozen, throttled, or a changed connection.

Each test checks the state and the events that the tenant sees.
"""

import time
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import pytest

from chalicelib.config import Timing
from chalicelib.errors import NotFound, Unavailable
from infra.local.waiting import wait_until
from tests.broker.outage import Outage
from tests.broker.support import Site, drain_queue
from tests.unit.flow import TENANT


@pytest.fixture
def outage(site: Site) -> Iterator[Outage]:
    made = Outage(site)
    yield made.good()
    made.close()


class Killed(BaseException):
    """The function ends here, as if Lambda had killed its environment."""


def kill() -> None:
    raise Killed


def test_timeout_before_the_publish_only_delays_the_reports(outage: Outage) -> None:
    # Given a function that was killed after it received reports
    outage.accept()
    outage.take()
    assert len(outage.queues.receive("c1", 10)) == 6

    # When the visibility timeouts of the reports and the wakes end
    outage.run_until_delivered()

    # Then
    assert outage.visible_state() == ("OPENED", None, [])
    outage.assert_all_arrived()


def test_timeout_after_the_publish_repeats_the_unsettled_reports(outage: Outage) -> None:
    # Given an environment that is killed after the broker has confirmed
    outage.accept()
    wakes = outage.take()
    delete = outage.queues.delete_messages

    def ends(_connection_id: str, _receipts: Sequence[str]) -> list[str]:
        raise Killed

    outage.queues.delete_messages = ends  # type: ignore[method-assign, assignment]  # the kill happens in this call
    with pytest.raises(Killed):
        outage.forwarder.handle(wakes, time.monotonic() + 30)
    outage.queues.delete_messages = delete  # type: ignore[method-assign]

    # When
    outage.pool.discard("c1")
    outage.run_until_delivered()

    # Then
    assert outage.visible_state() == ("OPENED", None, [])
    outage.assert_all_arrived(repeats=6)


def test_repeated_report_has_the_same_message_id(outage: Outage) -> None:
    # Given a delete that SQS loses, so that confirmed reports are received again
    outage.accept(rounds=1)
    delete = outage.queues.delete_messages
    outage.queues.delete_messages = lambda _id, receipts: list(receipts)  # type: ignore[method-assign, assignment]
    outage.forward()
    outage.queues.delete_messages = delete  # type: ignore[method-assign]

    # When
    outage.run_until_delivered()

    # Then
    arrived = outage.arrived()[-6:]
    assert sorted(arrived[:3]) == sorted(arrived[3:])
    assert len({message_id for _, message_id in arrived}) == 3
    assert outage.visible_state() == ("OPENED", None, [])


def test_thawed_environment_replaces_its_lost_connection(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an environment that was frozen for longer than the heartbeat timeout
    name = f"{TENANT}/ConnectionId.c1#publisher"
    assert wait_until(lambda: bool(outage.site.connections_named(name)), 15)
    outage.site.api("DELETE", f"connections/{quote(outage.site.connections_named(name)[0]['name'])}")
    monkeypatch.setattr("chalicelib.adapters.amqp.publisher.IDLE", 0.0)

    # When
    outage.accept()
    outage.forward()

    # Then
    assert outage.visible_state() == ("OPENED", None, [])
    assert outage.publishers.opened == 2
    outage.assert_all_arrived()


def test_invalid_report_fails_and_does_not_hold_back_its_device(outage: Outage) -> None:
    # Given a report that ingress never accepts
    outage.accept(rounds=1)
    outage.queues.send("c1", body="{", group=f"{1:016X}", message_id="poison", deduplication_id="poison")
    outage.accept(rounds=1)

    # When
    outage.forward()
    outage.run_until_delivered()

    # Then
    (failed,) = outage.failed.messages[TENANT, "c1"]
    assert (failed.reason, failed.body) == ("INVALID", "{")
    assert outage.visible_state() == ("OPENED", None, ["INVALID"])
    outage.failed.messages.clear()
    outage.assert_all_arrived()


def test_report_received_ten_times_is_sent_alone_with_an_event(outage: Outage) -> None:
    # Given reports that were received nine times and never settled
    outage.accept(rounds=1)
    for _ in range(9):
        outage.take()
        assert outage.queues.receive("c1", 10)
        outage.now += outage.settings.timing.report_visibility + 1

    # When
    outage.run_until_delivered()

    # Then
    state, reason, events = outage.visible_state()
    assert (state, reason, set(events)) == ("OPENED", None, {"UPLINK_STUCK"})
    outage.assert_all_arrived()


class Throttled:
    """Makes one method of a port raise Unavailable, as when AWS throttles the calls."""

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
def test_throttled_aws_call_only_delays_the_reports(outage: Outage, port: str, method: str) -> None:
    # Given a fresh environment, which must read the connection and its secret
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
    outage.run_until_delivered()
    assert outage.visible_state() == ("OPENED", None, [])
    outage.assert_all_arrived()


def test_secret_changed_in_flight_is_used_from_the_next_connect(outage: Outage) -> None:
    # Given a secret version that is deleted between the reads of the record and the secret
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
    outage.run_until_delivered()

    # Then
    assert outage.visible_state() == ("OPENED", None, ["OPENED"])
    outage.assert_all_arrived()


@pytest.fixture
def watchful(outage: Outage) -> Outage:
    """An outage whose forwarder reads the connection's record before each round of receives."""
    timing = Timing.model_validate({**outage.settings.timing.model_dump(), "recheck": 0.0})
    object.__setattr__(outage.parts, "timing", timing)
    return outage


def test_connection_changed_in_flight_applies_to_the_remaining_reports(watchful: Outage) -> None:
    # Given some reports in flight and more in the queue
    outage = watchful
    outage.accept(rounds=60)
    moved = f"moved.{outage.key}"
    outage.publishers.after = lambda: _once(outage, lambda: outage.change(uplink_topic_pattern=f"{moved}.{{DevEUI}}"))
    with outage.site.channel() as channel:
        channel.queue_bind(outage.queue, "amq.topic", f"{moved}.#")

    # When
    outage.forward()
    outage.forward()
    outage.run_until_delivered()

    # Then the new key applies to every report that was not yet received
    keys = [str(method.routing_key) for method, _, _ in drain_queue(outage.site, outage.queue)]
    old, new = [[key for key in keys if key.startswith(start)] for start in (outage.key, moved)]
    assert keys == [*old, *new]
    assert len(keys) == len(outage.accepted)
    assert 0 < len(old) - 6 < 180
    assert outage.visible_state() == ("OPENED", None, ["OPENED"])


def test_connection_deactivated_in_flight_keeps_the_remaining_reports(watchful: Outage) -> None:
    outage = watchful
    outage.accept(rounds=60)

    # When
    outage.publishers.after = lambda: _once(outage, lambda: outage.activate(active=False))
    outage.forward()

    # Then unsent reports are kept, and the running forwarder has not overwritten the state
    assert 0 < sum(outage.queues.depth("c1")) < 180
    assert not outage.publishers.any_usable()
    assert outage.visible_state() == ("DEACTIVATED", None, [])

    # When
    outage.activate(active=True)
    outage.forward()
    outage.run_until_delivered()

    # Then
    assert outage.visible_state() == ("OPENED", None, ["OPENED"])
    outage.assert_all_arrived()


def test_connection_deleted_in_flight_stops_publishing(watchful: Outage) -> None:
    outage = watchful
    outage.accept(rounds=60)

    def delete() -> None:
        outage.connections.delete(TENANT, "c1")
        outage.queues.delete("c1")
        outage.secrets.delete(TENANT, "c1")

    # When
    outage.publishers.after = lambda: _once(outage, delete)
    outage.forward()

    # Then only the reports in flight arrive, and no wake is left
    assert 0 < len(outage.arrived()) - 6 < 180
    assert not outage.publishers.any_usable()
    assert len(outage.wakes) == 0
    assert outage.event_types() == []


def _once(outage: Outage, action: object) -> None:
    outage.publishers.after = lambda: None
    assert callable(action)
    action()
