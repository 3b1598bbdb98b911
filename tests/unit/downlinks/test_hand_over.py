"""Hand-over of connections from poll to poll, simulated with every poll's loop in steps of a tenth of a second."""

import heapq
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from chalicelib.config import Timing
from chalicelib.domain.connection import Connection
from chalicelib.domain.work_items import PollJob, PollTarget
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.downlinks.polls import PollContext, PollHandler
from chalicelib.errors import Unavailable
from chalicelib.ports.queues import QueueRecord
from infra.local.in_memory import MemoryDownlinkQueue, MemoryLeases
from tests.rules.scheduler import Inline
from tests.unit.flow import TENANT, Flow

TURN = 0.1
CONNECTIONS = ("c1", "c2")
CLOSING = 0.3
OPENING = 0.5


class Killed(BaseException):
    """The poll's function ends here."""


class Consumer:
    """A ``ports.DownlinkConsumer`` without a broker: opening and closing take a while of simulated time."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._finished = False
        self._opened: Callable[[str], None] = lambda _id: None
        self.connected: set[str] = set()

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._due, (self._world.now + seconds, next(self._numbers), action))

    def open(self, connection: Any, _secrets: object, _old: object = ()) -> None:
        def opened() -> None:
            self.connected.add(connection.id)
            self._opened(connection.id)

        self._later(OPENING, opened)

    def close(self, connection_id: str, then: Callable[[], object] | None = None) -> None:
        def closed() -> None:
            self.connected.discard(connection_id)
            if then:
                then()

        self._later(self._world.closing if connection_id in self.connected else 0, closed)

    def delete_queue(self, connection_id: str) -> None:
        self.close(connection_id)

    def finish(self) -> None:
        self._finished = True

    def run(self, close_at: float, _end: float, _batch: object, opened: Any, _fault: object, tick: Any) -> None:
        self._opened = opened
        while not self._finished and self._world.now < close_at:
            self._world.wait_for_turn()
            while self._due and self._due[0][0] <= self._world.now:
                heapq.heappop(self._due)[2]()
            tick()
        self.connected.clear()


@dataclass
class Running:
    """A poll in its thread. It moves only when the world gives it a turn."""

    thread: threading.Thread
    consumer: Consumer
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stopped: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    killed: bool = False
    ended: bool = False


class FailingLeases(MemoryLeases):
    """Leases of which some calls fail before or after their effect."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        super().__init__(seconds, clock)
        self.failures: Iterator[int] = itertools.repeat(0)

    def __getattribute__(self, name: str) -> Any:
        function = super().__getattribute__(name)
        if name not in {"begin", "renew", "lease", "ask", "release", "end", "holds", "take"}:
            return function

        def call(*arguments: Any) -> Any:
            failure = next(self.failures)
            if failure == 1:
                raise Unavailable("no answer")
            answer = function(*arguments)
            if failure == 2:  # the answer is lost
                raise Unavailable("the answer is lost")
            return answer

        return call


class World:
    """Two connections and the polls of several minutes."""

    def __init__(self) -> None:
        self.flow = Flow()
        for connection_id in CONNECTIONS:
            self.flow.connect(connection_id)
        self.timing = Timing()
        self.began = self.flow.now
        self.closing = CLOSING
        self.leases = FailingLeases(self.timing.lease, self.clock)
        self.polls: list[Running] = []
        self.gaps: dict[str, float] = {}
        """Seconds since the connection was consumed."""
        self.longest_gap = 0.0
        self._local = threading.local()
        self._context = PollContext(
            connections=self.flow.connections,
            secrets=self.flow.secrets,
            leases=self.leases,
            intake=DownlinkIntake(
                MemoryDownlinkQueue(60, self.clock),
                self.flow.secrets,
                self.flow.ingress,
                self.flow.monitoring,
                Inline(),
                self.clock,
            ),
            monitoring=self.flow.monitoring,
            make_consumer=self._make_consumer,
            executor=Inline(),
            clock=self.clock,
            random=lambda: 0.0,
            timing=self.timing,
            monotonic=self.clock,
        )

    @property
    def now(self) -> float:
        return self.flow.now

    def clock(self) -> float:
        return self.flow.now

    @property
    def seconds(self) -> float:
        return self.now - self.began

    def _make_consumer(self) -> Consumer:
        consumer: Consumer = self._local.running.consumer
        return consumer

    def wait_for_turn(self) -> None:
        running: Running = self._local.running
        running.stopped.release()
        running.go.acquire()
        if running.killed:
            raise Killed

    def start_poll(self, *connection_ids: str) -> Running:
        """Start a poll of both connections, or of those named, as if its job had just been delivered."""
        targets = [PollTarget(tenant=TENANT, connection_id=id_) for id_ in connection_ids or CONNECTIONS]
        body = PollJob(sent_at=self.now, targets=targets).model_dump_json(by_alias=True)

        def run() -> None:
            self._local.running = running
            running.go.acquire()
            try:
                with suppress(Killed):
                    PollHandler(self._context).handle([QueueRecord("r", "m", body)], self.now + 150)
            finally:
                running.ended = True
                running.stopped.release()

        running = Running(threading.Thread(target=run, daemon=True), Consumer(self))
        running.thread.start()
        self.polls.append(running)
        self._turn(running)
        return running

    def _turn(self, running: Running) -> None:
        if not running.ended:
            running.go.release()
            running.stopped.acquire()

    def kill(self, running: Running) -> None:
        running.consumer.connected.clear()
        failures, self.leases.failures = self.leases.failures, itertools.repeat(1)
        running.killed = True
        self._turn(running)
        self.leases.failures = failures

    def advance(self, until: float) -> None:
        """Let all polls run until ``until`` seconds after the start, and check that no connection has two consumers."""
        while self.seconds < until:
            self.flow.now += TURN
            for running in self.polls:
                self._turn(running)
            for connection_id in CONNECTIONS:
                consumers = sum(connection_id in running.consumer.connected for running in self.polls)
                assert consumers <= 1, f"{connection_id} has {consumers} consumers after {self.seconds:.1f} s"
                if consumers:
                    self.gaps[connection_id] = 0.0
                elif connection_id in self.gaps:
                    self.gaps[connection_id] += TURN
                    self.longest_gap = max(self.longest_gap, self.gaps[connection_id])

    def running(self) -> int:
        return sum(not running.ended for running in self.polls)

    def end(self) -> None:
        for running in self.polls:
            if not running.ended:
                self.kill(running)
        self.flow.executor.shutdown()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.end()


def test_connections_are_consumed_nearly_without_a_gap_through_hand_overs(world: World) -> None:
    for late in (0, 3, 1, 7, 0, 2):
        world.advance(60 * len(world.polls) + late)
        world.start_poll()
    world.advance(400)
    assert world.longest_gap < 1.5
    assert world.running() == 1


def test_missed_run_of_the_schedule_causes_no_gap(world: World) -> None:
    world.start_poll()
    world.advance(121)
    world.start_poll()
    world.advance(180)
    assert world.longest_gap < 1.5


def test_poll_ends_when_its_successor_has_taken_over(world: World) -> None:
    first = world.start_poll()
    world.advance(61)
    world.start_poll()
    world.advance(68)
    assert first.ended


def test_duplicate_poll_job_gives_way(world: World) -> None:
    first = world.start_poll()
    world.advance(2)
    duplicate = world.start_poll()
    world.advance(5)
    assert duplicate.ended
    assert not first.ended
    assert world.longest_gap == 0


def test_connection_of_a_killed_poll_is_taken_over_when_the_lease_has_expired(world: World) -> None:
    first = world.start_poll()
    world.advance(58)
    world.kill(first)
    world.advance(61)
    world.start_poll()
    world.advance(90)
    assert world.longest_gap < world.timing.lease + 3


def test_deactivated_connection_is_released_and_the_poll_goes_on(world: World) -> None:
    first = world.start_poll()
    world.advance(10)
    before = world.flow.state("c1")
    changed = before.model_copy(update={"active": False, "version": before.version + 1})
    world.flow.connections.replace(changed, before.version, reset=True)
    world.advance(20)
    assert world.leases.holder("c1") is None
    assert first.consumer.connected == {"c2"}


def test_connection_costs_one_write_a_minute_and_the_poll_a_few(world: World) -> None:
    for _ in range(10):
        world.advance(60 * len(world.polls))
        world.start_poll()
        if len(world.polls) == 2:  # the first minute has no hand-over
            world.leases.calls.clear()
    world.advance(599)
    minutes = 8
    assert world.leases.calls["take"] / minutes / len(CONNECTIONS) <= 1.2
    writes = sum(world.leases.calls[name] for name in ("begin", "renew", "ask", "release", "end")) / minutes
    assert writes < 14
    assert world.leases.calls["lease"] / minutes < 12


def test_record_is_read_once_by_each_poll_and_after_a_change(world: World) -> None:
    reads: list[str] = []
    get = world.flow.connections.get

    def counted(tenant: str, connection_id: str) -> Connection:
        reads.append(connection_id)
        return get(tenant, connection_id)

    world.flow.connections.get = counted  # type: ignore[method-assign]
    world.flow.monitoring.event = lambda *_: None  # type: ignore[method-assign]
    world.start_poll()
    world.advance(20)
    opened = Counter(reads)
    world.advance(50)
    assert Counter(reads) == opened
    before = world.flow.state("c1")
    world.flow.connections.replace(before.model_copy(update={"version": before.version + 1}), before.version)
    world.advance(50 + world.timing.recheck + 1)
    assert Counter(reads)["c1"] > opened["c1"]
    # A change of one connection costs a read of the tenant's others.
    assert Counter(reads)["c2"] == opened["c2"] + 1


def test_connection_that_the_successor_leaves_out_is_closed_if_it_is_down(world: World) -> None:
    first = world.start_poll()
    world.advance(55)
    before = world.flow.state("c2")
    down = before.model_copy(update={"outage_since": world.now, "epoch": before.epoch + 1})
    assert world.flow.connections.update_breaker(down, before.epoch)
    world.advance(61)
    world.start_poll("c1")
    world.advance(75)
    assert first.ended
    assert [running.consumer.connected for running in world.polls] == [set(), {"c1"}]


def test_connections_of_one_poll_may_go_to_several(world: World) -> None:
    first = world.start_poll()
    world.advance(61)
    for connection_id in CONNECTIONS:
        world.start_poll(connection_id)
    world.advance(75)
    assert first.ended
    assert [running.consumer.connected for running in world.polls[1:]] == [{"c1"}, {"c2"}]
    assert world.longest_gap < 1.5


def test_connection_whose_lease_ended_is_closed_and_taken_again(world: World) -> None:
    first = world.start_poll()
    world.advance(10)
    world.leases.failures = itertools.repeat(1)
    world.advance(10 + world.timing.lease + 1)
    assert not first.consumer.connected
    world.leases.failures = itertools.repeat(0)
    world.advance(10 + world.timing.lease + 5)
    assert first.consumer.connected == set(CONNECTIONS)


FAILURES = st.lists(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2]), max_size=120)
STARTS = st.lists(
    st.tuples(st.integers(0, 75), st.booleans(), st.sampled_from([0.1, 0.3, 4.0])), min_size=1, max_size=8
)


@settings(max_examples=25, deadline=None)
@given(starts=STARTS, failures=FAILURES)
def test_no_connection_has_two_consumers_whatever_fails(
    starts: Sequence[tuple[int, bool, float]], failures: Sequence[int]
) -> None:
    world = World()
    try:
        world.leases.failures = itertools.chain(failures, itertools.repeat(0))
        for pause, kill, closing in starts:
            world.closing = closing
            started = world.start_poll()
            world.advance(world.seconds + pause)
            if kill:
                world.kill(started)
        world.leases.failures = itertools.repeat(0)
        world.advance(world.seconds + world.timing.poll_period)
        # Then the next minute's poll consumes everything.
        world.start_poll()
        world.advance(world.seconds + world.timing.lease + 5)
        assert {c for running in world.polls for c in running.consumer.connected} == set(CONNECTIONS)
    finally:
        world.end()
