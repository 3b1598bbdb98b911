"""Retention of reports: a warning a day before two weeks have passed, then deletion and counting as lost."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from chalicelib.errors import BrokerUnreachable, Unavailable
from chalicelib.ports.queues import RETENTION, ReceivedReport
from chalicelib.upkeep.reconciler import Reconciler
from chalicelib.upkeep.survey import SWEEP_RUNS
from chalicelib.uplinks.retention import MARGIN, NOTICE, PERIOD, Retention
from chalicelib.vocabulary import EventType
from infra.local.in_memory import MemoryOutbox, MemoryUplinkQueues
from tests.unit.domain.flows.cases import flow
from tests.unit.flow import TENANT, Flow

HOUR, DAY = 3600.0, 86400.0


class ExpiringClaims:
    """``ports.coordination.Claims`` that expire by the flow's clock."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self.until: dict[str, float] = {}
        self.taken = 0

    def held(self, key: str) -> bool:
        return self.until.get(key, 0.0) > self._flow.now

    def claim(self, key: str, until: float) -> bool:
        self.taken += 1
        if self.held(key):
            return False
        self.until[key] = until
        return True


class Scene(Flow):
    """A connection whose broker is down."""

    def __init__(self) -> None:
        super().__init__()
        self.claims = ExpiringClaims(self)
        self.outbox = MemoryOutbox()
        retention = Retention(self.queues, self.claims, self.monitoring, self.clock, self.outbox)
        self.reconciler = Reconciler(replace(self.reconciler_context, retention=retention))
        self.broker.down = BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused")

    def check(self) -> None:
        """Run the reconciler for one sweep, which takes five minutes. No forwarder runs, so no drain connects."""
        for _ in range(SWEEP_RUNS):
            self.reconciler.run()
            self.wakes.delete([record.receipt for record in self.take()])
            self.now += 60

    def reported(self) -> list[str]:
        return [event for event in self.event_types() if event.startswith("UPLINKS_")]

    def lost(self) -> int:
        return self.statistics.counts[TENANT, "c1"]["uplinksLost"]

    def waiting(self) -> int:
        return sum(self.queues.depth("c1"))


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    made.connect()
    made.post()
    made.forward()
    assert made.state().breaker_open
    made.events.events.clear()
    yield made
    made.executor.shutdown()


def test_tenant_is_warned_once_a_day_before_reports_expire(scene: Scene) -> None:
    began = scene.now
    while scene.now < began + RETENTION - NOTICE - HOUR:
        scene.check()
        scene.now += 6 * HOUR
    assert scene.reported() == []

    # When
    scene.now = began + RETENTION - NOTICE + PERIOD
    scene.check()
    scene.now += HOUR
    scene.check()

    # Then
    assert scene.reported() == ["UPLINKS_EXPIRE"]
    _, event = scene.events.events[-1]
    assert "1970-01-12T13:46:40.000Z" in event.message
    assert "1970-01-26T13:46:40.000Z" in event.message
    assert scene.waiting() == 1


def test_expired_reports_are_counted_as_lost_and_younger_ones_kept(scene: Scene) -> None:
    # Given: more reports than one receive returns, and one that is a day younger
    for _ in range(24):
        scene.post(2)
    began = scene.now
    scene.now += DAY
    young = scene.post(3)

    # When
    scene.now = began + RETENTION - MARGIN + 60
    scene.check()

    # Then
    assert scene.reported()[:3] == ["UPLINKS_LOST"] * 3
    assert scene.lost() == 25
    assert scene.waiting() == 1

    # When: the broker is reachable again
    scene.broker.down = None
    scene.wake(probe=scene.state().epoch)
    scene.forward()

    # Then
    assert scene.bodies() == [young]
    assert "UPLINK_STUCK" not in scene.event_types()


def test_queue_is_checked_few_times_in_two_weeks(scene: Scene) -> None:
    end = scene.now + RETENTION - MARGIN - HOUR
    while scene.now < end:
        scene.check()
        scene.now += HOUR
    (report,) = scene.queues.receive("c1", 1)
    assert report.attempts < 9


def test_tenant_is_warned_a_day_before_shorter_validity_ends(scene: Scene) -> None:
    state = scene.state()
    configuration = state.configuration.model_copy(update={"uplink_time_validity": "3d"})
    scene.connections.connections[TENANT, "c1"] = state.model_copy(update={"configuration": configuration})
    scene.now += DAY
    scene.check()
    assert scene.reported() == []
    scene.now += DAY + PERIOD
    scene.check()
    assert scene.reported() == ["UPLINKS_EXPIRE"]
    assert scene.waiting() == 1


def test_tenant_is_warned_a_day_before_the_validity_of_a_flow_ends(scene: Scene) -> None:
    # Given: the connection itself keeps reports for two weeks
    assert scene.flows.create(flow(validity="3d"), 200) == []
    scene.post(2)

    # When
    scene.now += 2 * DAY + PERIOD
    scene.check()

    # Then
    assert scene.reported() == ["UPLINKS_EXPIRE"]
    _, event = scene.events.events[-1]
    assert event.details["ends"] == "1970-01-15T13:46:40.000Z"


def test_open_connection_is_not_checked(scene: Scene) -> None:
    scene.broker.down = None
    scene.wake(probe=scene.state().epoch)
    scene.forward()
    scene.check()
    assert scene.claims.taken == 0


class ThrottledQueues(MemoryUplinkQueues):
    def receive(self, connection_id: str, limit: int, wait: int = 0) -> list[ReceivedReport]:
        raise Unavailable(f"ThrottlingException for {limit} of {connection_id}, {wait} s")


def test_unreadable_queue_is_checked_again_in_next_run(scene: Scene) -> None:
    scene.now += RETENTION - MARGIN
    throttled = ThrottledQueues(60, scene.clock)
    Retention(throttled, scene.claims, scene.monitoring, scene.clock, scene.outbox).check(scene.state())
    assert scene.reported() == []
    scene.check()
    assert scene.reported()[0] == "UPLINKS_LOST"
