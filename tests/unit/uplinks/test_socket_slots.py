"""Slots of publishers: when a socket opens, stays, and is given back."""

import time

import pytest

from chalicelib.domain.connection import Connection
from chalicelib.domain.work_items import Wake
from chalicelib.errors import BrokerUnreachable
from chalicelib.uplinks.publisher_pool import IDLE, PublisherPool
from chalicelib.uplinks.socket_slots import NoSlot, SocketSlots, publishers_of
from chalicelib.vocabulary import EventType
from infra.local.in_memory import MemorySlots
from tests.unit.flow import TENANT, Flow

HOLD = 120.0


class Environment:
    """A warm function with its pool; the test's clock decides when its holds end."""

    def __init__(self, flow: Flow, slots: MemorySlots) -> None:
        self.flow = flow
        self.sockets = SocketSlots(slots, HOLD, flow.clock, lambda _: None)
        self.pool = PublisherPool(flow.broker, flow.secrets, self.sockets, flow.clock)

    def drain(self, connection: Connection) -> None:
        """Use the connection's publisher as a drain does."""
        self.pool.reserve(connection, self.flow.now + 5)
        self.pool.get(connection, time.monotonic() + 5)
        self.pool.rest(connection.id)

    def is_warm(self, connection: Connection) -> bool:
        return self.pool.is_warm(connection)


@pytest.fixture
def slots(flow: Flow) -> MemorySlots:
    return MemorySlots(flow.clock)


@pytest.fixture
def environments(flow: Flow, slots: MemorySlots) -> list[Environment]:
    return [Environment(flow, slots) for _ in range(4)]


@pytest.mark.parametrize(
    ("configuration", "number"),
    [({}, 3), ({"max_connections": 2}, 1), ({"max_connections": 1}, 1), ({"downlink_enabled": False}, 4)],
)
def test_one_socket_is_left_for_the_consumer(flow: Flow, configuration: dict[str, object], number: int) -> None:
    changed = flow.state().configuration.model_copy(update=configuration)
    assert publishers_of(flow.state().model_copy(update={"configuration": changed})) == number


def test_sockets_stay_open_while_a_slot_is_left(flow: Flow, environments: list[Environment]) -> None:
    for environment in environments:
        environment.drain(flow.state())
    assert [each.is_warm(flow.state()) for each in environments] == [True, True, False, False]


def test_drain_beyond_the_limit_gets_no_slot(flow: Flow, environments: list[Environment]) -> None:
    for environment in environments[:3]:
        environment.pool.reserve(flow.state(), flow.now + 5)
    with pytest.raises(NoSlot):
        environments[3].pool.reserve(flow.state(), flow.now + 5)


def test_warm_function_writes_nothing_until_half_of_its_hold_has_passed(
    flow: Flow, environments: list[Environment], slots: MemorySlots
) -> None:
    environments[0].drain(flow.state())
    [ends] = slots.holders["c1"].values()
    flow.now += HOLD / 2 - 1
    environments[0].drain(flow.state())
    assert [*slots.holders["c1"].values()] == [ends]
    flow.now += 1
    environments[0].drain(flow.state())
    assert [*slots.holders["c1"].values()] == [flow.now + HOLD]
    assert flow.broker.opened == 1


def test_idle_socket_beside_another_is_closed_and_the_first_one_stays(
    flow: Flow, environments: list[Environment], slots: MemorySlots
) -> None:
    for environment in environments[:2]:
        environment.drain(flow.state())
    flow.now += IDLE + 1
    for environment in environments[:2]:
        environment.pool.tidy()
    assert [each.is_warm(flow.state()) for each in environments[:2]] == [True, False]
    assert len(slots.holders["c1"]) == 1


def test_socket_whose_hold_ended_is_closed_before_its_slot_is_used_by_others(
    flow: Flow, environments: list[Environment]
) -> None:
    environments[0].drain(flow.state())
    flow.now += HOLD
    environments[0].pool.tidy()
    assert not environments[0].is_warm(flow.state())


def test_failed_connect_gives_its_slot_back(flow: Flow, environments: list[Environment], slots: MemorySlots) -> None:
    flow.broker.down = BrokerUnreachable(EventType.CONNECTION_REFUSED, "refused")
    with pytest.raises(BrokerUnreachable):
        environments[0].drain(flow.state())
    assert slots.holders["c1"] == {}


def test_refused_socket_beside_an_open_one_is_no_fault(flow: Flow, environments: list[Environment]) -> None:
    environments[0].drain(flow.state())
    flow.broker.down = BrokerUnreachable(EventType.CONNECTION_LIMIT_REACHED, "limit")
    with pytest.raises(NoSlot):
        environments[1].drain(flow.state())


def test_changed_connection_is_opened_again_with_the_same_slot(
    flow: Flow, environments: list[Environment], slots: MemorySlots
) -> None:
    environments[0].drain(flow.state())
    environments[0].drain(flow.state().model_copy(update={"version": 2}))
    assert flow.broker.opened == 2
    assert len(slots.holders["c1"]) == 1


def test_drain_without_a_slot_leaves_a_pending_wake_up(flow: Flow) -> None:
    # Given: three other functions have the slots
    for owner in ("a", "b", "c"):
        flow.slots.take("c1", owner, 3, HOLD)
    flow.post()

    # When
    flow.forward()

    # Then: no fault, and the report can be received at once
    assert flow.bodies() == []
    assert not flow.state().breaker_open
    assert flow.state().wake_at == flow.now
    assert flow.queues.depth("c1") == (1, 0)


def test_drain_that_waits_for_a_slot_hides_no_report_from_others(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    for owner in ("a", "b", "c"):
        flow.slots.take("c1", owner, 3, HOLD)
    flow.post()
    take, seen = flow.slots.take, set()

    def observed(key: str, owner: str, limit: int, seconds: float) -> list[str] | None:
        seen.add(flow.queues.depth("c1"))
        return take(key, owner, limit, seconds)

    monkeypatch.setattr(flow.slots, "take", observed)

    # When
    flow.forward()

    # Then
    assert seen == {(1, 0)}


def test_drain_without_a_report_gives_its_slot_back(flow: Flow) -> None:
    flow.wakes.send([Wake(tenant=TENANT, connection_id="c1")])
    flow.forward()
    assert flow.slots.holders["c1"] == {}
    assert flow.broker.opened == 0


def test_busy_function_keeps_the_slot_that_a_seldom_used_one_gives_back(
    flow: Flow, environments: list[Environment]
) -> None:
    # Given: two functions keep their sockets open, and a third one drains much more often
    first, second, busy = environments[:3]
    for environment in (first, second, busy):
        environment.drain(flow.state())
    assert not busy.is_warm(flow.state())

    # When: half of the holds has passed
    flow.now += HOLD / 2
    first.drain(flow.state())
    assert not first.is_warm(flow.state())
    busy.drain(flow.state())

    # Then
    assert busy.is_warm(flow.state())
    assert second.is_warm(flow.state())


def test_only_function_keeps_its_slot_however_seldom_it_drains(flow: Flow, environments: list[Environment]) -> None:
    for _ in range(3):
        environments[0].drain(flow.state())
        flow.now += HOLD / 2
    assert environments[0].is_warm(flow.state())
