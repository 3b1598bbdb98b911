"""The uplink services on in-memory ports. A test controls the time, crashes and faults."""

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.config import Settings
from chalicelib.connections.events import ConnectionEvents
from chalicelib.connections.flows.references import FlowReferences
from chalicelib.connections.management_context import ManagementContext
from chalicelib.connections.parked_downlinks import ParkedDownlinks
from chalicelib.connections.service import ConnectionService
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.work_items import Wake
from chalicelib.errors import Unavailable
from chalicelib.monitoring import Monitoring
from chalicelib.network_servers.thingpark.reports import parse_report
from chalicelib.upkeep.reconciler import Reconciler, ReconcilerContext
from chalicelib.uplinks.admission import Admission
from chalicelib.uplinks.drain_context import DrainContext
from chalicelib.uplinks.forwarder import Forwarder
from chalicelib.uplinks.ingress import Ingress, IngressContext
from chalicelib.uplinks.outgoing import message_id
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.routing import RoutingCache
from chalicelib.uplinks.socket_slots import SocketSlots
from chalicelib.vocabulary import ConnectionState
from infra.local.in_memory import (
    MemoryApplicationServerStore,
    MemoryConnectionStore,
    MemoryDownlinkQueue,
    MemoryEventLog,
    MemoryFailedMessages,
    MemoryFlowStore,
    MemoryParkedReceipts,
    MemoryPollQueue,
    MemorySecretStore,
    MemorySlots,
    MemoryStatistics,
    MemoryUplinkQueues,
    MemoryWakeQueue,
)
from tests.rules.broker import Brokers, Mode
from tests.rules.scheduler import Fate, Faulty, Inline, Late, Task, history
from tests.unit.flow import NoChecks

TENANT = "demo"
SLOW = {2, 3}
"""Indexes of the forwarder environments of the slow lane."""
LATE = {1, 3}
"""Indexes of those in which receives and deletes run later than the calls that follow them."""
Plan = Sequence[tuple[int, Fate]]


@dataclass
class Post:
    """A report and the results of its requests. ``times``: the start of each request with it."""

    body: str
    device: str
    began: int
    times: list[float]
    acknowledged: dict[str, int] = field(default_factory=dict)
    """Connection ids that must get the report, with the number of the moment of their first 200.

    ``began`` is the number of such a moment, too.
    """


@dataclass
class Environment:
    """A warm Lambda environment of the forwarder, which runs one invocation at a time."""

    forwarder: Forwarder
    wakes: MemoryWakeQueue
    task: Task | None = None
    deadline: float = 0.0
    receipts: list[str] = field(default_factory=list)


class NoRemover:
    """A queue remover that does nothing, because uplink tests have no downlink queues."""

    def remove(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> None:
        pass


@dataclass
class Swept:
    """Queue depths for the sweep. Without a net all are 0, so that the services must work without the sweep."""

    world: "World"

    def depth(self, connection_id: str) -> tuple[int, int]:
        return self.world.queues.depth(connection_id) if self.world.net else (0, 0)


class World:
    """All uplink services of one tenant, their in-memory ports and two forwarder environments of each lane."""

    def __init__(self) -> None:
        history.clear()
        self.net = False
        """True when the sweep runs. Only then depths may be out of date and reports may lack a wake."""
        self.now = 1_000_000.0
        self.settings = Settings()
        timing = self.settings.timing
        self.connections = MemoryConnectionStore()
        self.queues = MemoryUplinkQueues(timing.report_visibility, self.clock)
        self.wakes = MemoryWakeQueue(timing.wake_visibility, self.clock)
        self.slow_wakes = MemoryWakeQueue(timing.wake_visibility, self.clock)
        self.downlinks = MemoryDownlinkQueue(timing.report_visibility, self.clock)
        self.parked = MemoryParkedReceipts()
        self.slots = MemorySlots(self.clock)
        self.failed = MemoryFailedMessages()
        self.events = MemoryEventLog()
        self.statistics = MemoryStatistics()
        self.brokers = Brokers(self.clock)
        self.posts: list[Post] = []
        self.inactive_since: dict[str, float] = {}
        self.deleted_at: dict[str, float] = {}
        self._moments = itertools.count()
        self._numbers = itertools.count(1)
        self._wire()
        self.environments = [self._environment(index) for index in range(4)]
        self.others: list[Task] = []
        """Running reconcilers and requests."""

    def clock(self) -> float:
        return self.now

    def _wire(self) -> None:
        timing, polls, secrets = self.settings.timing, MemoryPollQueue(), MemorySecretStore()
        self._p_connections: Any = Faulty("connections", self.connections)
        self._p_flows: Any = Faulty("flows", MemoryFlowStore(self.connections))
        self._p_queues: Any = Faulty(
            "queues",
            self.queues,
            silent={"release": lambda *_: None, "delete_messages": lambda _, receipts: receipts},
            short={"receive": lambda *_: [], "depth": self._old_depth},
        )
        self._p_wakes: Any = Faulty("wakes", self.wakes, silent={"extend": lambda *_: None})
        self._p_slots: Any = Faulty("slots", self.slots, silent={"give_back": lambda *_: None})
        self._p_slow_wakes: Any = Faulty("slow wakes", self.slow_wakes, silent={"extend": lambda *_: None})
        self._p_failed: Any = Faulty("failed", self.failed)
        self._p_secrets: Any = Faulty("secrets", secrets)
        self._monitoring = Monitoring(
            _any(Faulty("events", self.events)), _any(Faulty("statistics", self.statistics)), self.clock
        )
        self.ingress = Ingress(
            IngressContext(
                connections=self._p_connections,
                routing=RoutingCache(self._p_connections, self._p_flows),
                application_servers=MemoryApplicationServerStore(),
                queues=self._p_queues,
                wakes=self._p_wakes,
                executor=Inline(),
                clock=self.clock,
                settings=self.settings,
            )
        )
        self.management = ConnectionService(
            ManagementContext(
                store=self._p_connections,
                secrets=self._p_secrets,
                queues=self._p_queues,
                wakes=self._p_wakes,
                polls=polls,
                failed=self._p_failed,
                remover=NoRemover(),
                parked=ParkedDownlinks(
                    _any(Faulty("parked", self.parked)),
                    _any(Faulty("downlinks", self.downlinks, silent={"delay": lambda *_: None})),
                ),
                flows=FlowReferences(self._p_flows, self.clock),
                events=ConnectionEvents(self._monitoring),
                clock=self.clock,
                settings=self.settings,
            )
        )
        self.reconciler = Reconciler(
            ReconcilerContext(
                connections=self._p_connections,
                wakes=self._p_wakes,
                polls=polls,
                queues=_any(Swept(self)),
                slots=self._p_slots,
                finish=self.management.finish,
                resume_replays=lambda: 0,
                clock=self.clock,
                timing=timing,
                alarms=NoChecks(),
                retention=NoChecks(),
                send_notifications=lambda: 0,
                executor=Inline(),
                sleep=lambda _: None,
            )
        )

    def _old_depth(self, connection_id: str) -> tuple[int, int]:
        return (0, 0) if self.net else self.queues.depth(connection_id)

    def _environment(self, index: int) -> Environment:
        slow, late = index in SLOW, index in LATE
        sockets = SocketSlots(self._p_slots, self.settings.timing.slot, self.clock, lambda _: None)
        parts = DrainContext(
            connections=self._p_connections,
            queues=self._p_queues,
            wakes=self._p_slow_wakes if slow else self._p_wakes,
            slow_wakes=None if slow else self._p_slow_wakes,
            admission=Admission(self._p_slots, self.settings.timing.function_timeout, self.clock, lambda _: None)
            if slow
            else None,
            pool=PublisherPool(self.brokers, self._p_secrets, sockets, self.clock),
            failed=self._p_failed,
            monitoring=self._monitoring,
            clock=self.clock,
            random=lambda: 0.5,
            timing=self.settings.timing,
            calls=Late() if late else Inline(),
            monotonic=self.clock,
        )
        return Environment(Forwarder(parts, Inline()), self.slow_wakes if slow else self.wakes)

    # Actions

    def connect(self, connection_id: str, **configuration: object) -> None:
        """Create a connection without a fault and send its first wake."""
        connection = Connection(
            tenant=TENANT,
            id=connection_id,
            name=connection_id,
            active=True,
            configuration=AmqpConfiguration.model_validate(
                {
                    "hostName": "broker.example",
                    "protocol": "TCP",
                    "uplinkTopicPattern": "up.{DevEUI}",
                    "downlinkTopicPattern": "down.{DevEUI}",
                    **configuration,
                }
            ),
            created_at="",
            updated_at="",
            state=ConnectionState.OPENING,
            epoch=1,
            probe_at=self.now,
        )
        self.brokers.modes[connection_id] = Mode.UP
        self.queues.create(connection_id)
        self.connections.create(connection, 100)
        self.wakes.send([Wake(tenant=TENANT, connection_id=connection_id, probe=1)])

    def active_ids(self) -> set[str]:
        return {c.id for c in self.connections.connections.values() if c.active}

    def post(self, device: int, plan: Plan = (), again: Post | None = None) -> None:
        """Run one request with a report to its end. ``again``: an earlier report to repeat."""
        post = again
        if post is None:
            name = f"{device:016X}"
            fields = {"DevEUI": name, "FCntUp": next(self._numbers)}
            post = Post(json.dumps({"DevEUI_uplink": fields}), name, next(self._moments), [])
            self.posts.append(post)
        post.times.append(self.now)
        before = self.active_ids()
        task = Task("ingress", lambda: self.ingress.accept(TENANT, post.body.encode()))
        task.run(plan)
        if task.error is None:
            moment = next(self._moments)
            for connection_id in before & self.active_ids():
                post.acknowledged.setdefault(connection_id, moment)

    def start(self, index: int, number: int, choose: Callable[[list[str]], list[str]]) -> bool:
        """Start an idle forwarder with up to ``number`` wakes. False when it runs or no wake is visible."""
        environment = self.environments[index]
        if environment.task:
            return False
        records = environment.wakes.take(number, choose)
        if not records:
            return False
        deadline = self.now + self.settings.timing.function_timeout
        environment.deadline = deadline
        environment.receipts = [record.receipt for record in records]
        environment.task = Task(f"forwarder {index}", lambda: environment.forwarder.handle(records, deadline))
        return True

    def step(self, index: int, number: int, fate: Fate) -> None:
        task = self.environments[index].task
        if task:
            task.steps(number, fate)
            self._end_invocation(index)

    def finish(self, index: int) -> None:
        task = self.environments[index].task
        if task:
            task.run()
            self._end_invocation(index)

    def _end_invocation(self, index: int) -> None:
        """End an invocation as Lambda does: delete its wakes, or replace a crashed environment."""
        environment = self.environments[index]
        task = environment.task
        if task is None or not task.ended:
            return
        environment.task = None
        if task.error is None:
            environment.wakes.delete(environment.receipts)
        elif not isinstance(task.error, Unavailable):
            self.environments[index] = self._environment(index)

    def change(self, connection_id: str, document: dict[str, object] | None, plan: Plan) -> None:
        """Run an API request to its end: a patch with ``document``, or a deletion when it is None."""
        if (TENANT, connection_id) not in self.connections.connections:
            return

        def request() -> None:
            if document is None:
                self.management.delete(TENANT, connection_id)
            else:
                self.management.patch(TENANT, connection_id, document, None)

        Task("api", request).run(plan)
        self.record_inactive()

    def restart(self, connection_id: str, plan: Plan) -> None:
        if connection_id in self.active_ids():
            Task("api", lambda: self.management.restart(TENANT, connection_id)).run(plan)

    def record_inactive(self) -> None:
        """Record since when each connection is inactive or deleted."""
        for connection in self.connections.connections.values():
            if connection.active:
                self.inactive_since.pop(connection.id, None)
            else:
                self.inactive_since.setdefault(connection.id, self.now)
        for connection_id in self.brokers.modes:
            if (TENANT, connection_id) not in self.connections.connections:
                self.deleted_at.setdefault(connection_id, self.now)

    def reconcile(self) -> Task:
        task = Task("reconciler", self.reconciler.run)
        self.others.append(task)
        return task

    def pass_time(self, seconds: float) -> None:
        """Advance the clock and kill every invocation that runs past its deadline."""
        self.now += seconds
        history.append(f"--- {self.now}")
        for index, environment in enumerate(self.environments):
            if environment.task and self.now >= environment.deadline:
                environment.task.kill()
                self._end_invocation(index)

    # Results

    def attempts_by_message(self, connection_id: str) -> dict[str, list[int]]:
        """Return the positions of each message among the arrivals."""
        positions: dict[str, list[int]] = defaultdict(list)
        for index, arrival in enumerate(self.brokers.arrivals[connection_id]):
            positions[arrival.message_id].append(index)
        return positions

    def name(self, post: Post, connection_id: str) -> str:
        return message_id(connection_id, parse_report(post.body.encode()))


def _any(port: object) -> Any:
    return port
