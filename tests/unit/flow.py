"""The uplink flow on in-memory ports, with a scripted broker."""

import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration, BrokerProtocol
from chalicelib.domain.delivery import DELIVERED, Outcome, Result
from chalicelib.domain.work_items import Wake
from chalicelib.errors import BrokerFault, BrokerUnreachable
from chalicelib.monitoring import Monitoring
from chalicelib.network_servers.thingpark.reports import parse_report
from chalicelib.ports.history import FailedMessages, StatisticsWriter
from chalicelib.ports.publishing import OutgoingMessage, PublisherFactory, PublishResult
from chalicelib.ports.queues import QueueRecord
from chalicelib.upkeep.reconciler import Reconciler, ReconcilerContext
from chalicelib.uplinks.decoding.decoder import PayloadDecoder
from chalicelib.uplinks.decoding.tenant_drivers import TenantDrivers
from chalicelib.uplinks.drain_context import DrainContext
from chalicelib.uplinks.forwarder import Forwarder
from chalicelib.uplinks.ingress import Ingress, IngressContext
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.routing import RoutingCache
from chalicelib.uplinks.socket_slots import SocketSlots
from chalicelib.vocabulary import ConnectionState, EventType
from infra.local.in_memory import (
    MemoryApplicationServerStore,
    MemoryConnectionStore,
    MemoryDrivers,
    MemoryEventLog,
    MemoryFailedMessages,
    MemoryFlowStore,
    MemoryPollQueue,
    MemorySecretStore,
    MemorySlots,
    MemoryStatistics,
    MemoryUplinkQueues,
    MemoryWakeQueue,
)
from tests.unit.adapters.codec.double import SandboxCodec

TENANT = "demo"
UNREACHABLE = BrokerUnreachable(EventType.CONNECTION_REFUSED, "connection refused")
LOST = BrokerUnreachable(EventType.CONNECTION_LOST, "the broker closed the connection")


@dataclass
class ScriptedBroker:
    """A broker that confirms every message unless it is ``down`` or ``answer`` returns another outcome."""

    down: BrokerFault | None = None
    answer: Callable[[OutgoingMessage], Outcome] = lambda _: DELIVERED
    received: list[OutgoingMessage] = field(default_factory=list)
    opened: int = 0
    fault: BrokerFault | None = None
    """Fault that ends the next publish before any confirm; it occurs once."""
    waiting_since: float = math.inf
    is_quick: bool = False
    slowest: float = 0.0
    """Seconds that the slowest confirm of each publish is reported to take."""
    takes: float = 0.0
    """Seconds that a connect needs; with an earlier deadline it times out."""
    monotonic: Callable[[], float] = time.monotonic
    lost_at: set[str] = field(default_factory=set)
    """Bodies at which the connection is lost after the previous messages were confirmed."""
    on_publish: Callable[[int], object] = lambda _: None
    """Called with the number of messages of each publish."""

    def open(self, _connection: Connection, _secrets: ConnectionSecrets, deadline: float) -> "ScriptedPublisher":
        if self.down:
            raise self.down
        if deadline < self.monotonic() + self.takes:
            raise BrokerUnreachable(EventType.CONNECTION_TIMEOUT, "the broker did not answer in time")
        self.opened += 1
        return ScriptedPublisher(self)


@dataclass
class ScriptedPublisher:
    broker: ScriptedBroker
    usable: bool = True
    submitted: list[OutgoingMessage] = field(default_factory=list)

    @property
    def is_quick(self) -> bool:
        return self.broker.is_quick

    @property
    def waiting_since(self) -> float:
        return self.broker.waiting_since

    def submit(self, messages: Sequence[OutgoingMessage], _deadline: float) -> None:
        self.submitted += messages

    def wake(self) -> None:
        pass

    def progress(self) -> PublishResult:
        messages, self.submitted = self.submitted, []
        self.broker.on_publish(len(messages))
        fault, self.broker.fault = self.broker.down or self.broker.fault, None
        if fault:
            return PublishResult({message.key: Outcome(Result.RETRY) for message in messages}, fault)
        outcomes: dict[str, Outcome] = {}
        broken: set[str] = set()
        for message in messages:
            if message.body.decode() in self.broker.lost_at:
                self.usable = False
                rest = {message.key: Outcome(Result.RETRY) for message in messages}
                return PublishResult({**rest, **outcomes}, LOST)
            outcome = Outcome(Result.RETRY) if message.group in broken else self.broker.answer(message)
            if outcome.result == Result.DELIVERED:
                self.broker.received.append(message)
            if outcome.result == Result.RETRY:
                broken.add(message.group)
            outcomes[message.key] = outcome
        return PublishResult(outcomes, slowest=self.broker.slowest)

    def check(self, _deadline: float) -> None:
        if self.broker.down:
            raise self.broker.down

    def close(self) -> None:
        self.usable = False

    def abort(self) -> None:
        self.usable = False


class NoChecks:
    """Alarm and retention checks without effect."""

    def concerns(self, _connection: Connection) -> bool:
        return False

    def check(self, _connection: Connection) -> None:
        pass


class Flow:
    """Test bench of the uplink flow: accepts reports, forwards wakes on request and shows the broker's messages.

    ``factory`` replaces the scripted broker by a real one, ``statistics`` and ``failed`` the stores in memory.
    """

    def __init__(
        self,
        factory: PublisherFactory | None = None,
        statistics: StatisticsWriter | None = None,
        failed: FailedMessages | None = None,
    ) -> None:
        self.now = 1_000_000.0
        self.settings = Settings()
        self.queues = MemoryUplinkQueues(60, lambda: self.now)
        self.connections = MemoryConnectionStore()
        self.flows = MemoryFlowStore(self.connections)
        self.wakes = MemoryWakeQueue(180, self.clock)
        self.polls = MemoryPollQueue()
        self.failed = MemoryFailedMessages()
        self.events = MemoryEventLog()
        self.statistics = MemoryStatistics()
        self.broker = ScriptedBroker()
        self.secrets = MemorySecretStore()
        self.executor = ThreadPoolExecutor(4)
        self.calls = ThreadPoolExecutor(4)
        self.monitoring = Monitoring(self.events, statistics or self.statistics, self.clock)
        self.slots = MemorySlots(self.clock)
        self.drivers = MemoryDrivers()
        self.codec = SandboxCodec()
        self.elapsed = 0.0
        """Monotonic seconds, as the decoder sees them."""
        sockets = SocketSlots(self.slots, self.settings.timing.slot)
        self.pool = PublisherPool(factory or self.broker, self.secrets, sockets)
        parts = DrainContext(
            self.connections,
            self.queues,
            self.wakes,
            self.pool,
            failed or self.failed,
            self.monitoring,
            self.clock,
            lambda: 0.0,
            self.settings.timing,
            self.calls,
            decoder=PayloadDecoder(
                self.codec, TenantDrivers(self.drivers, self.clock, 5), self.monitoring, lambda: self.elapsed
            ),
        )
        self.parts = parts
        self.forwarder = Forwarder(parts, self.executor)
        self.reconciler_context = ReconcilerContext(
            connections=self.connections,
            wakes=self.wakes,
            polls=self.polls,
            queues=self.queues,
            slots=self.slots,
            finish=lambda: 0,
            resume_replays=lambda: 0,
            clock=self.clock,
            timing=self.settings.timing,
            alarms=NoChecks(),
            retention=NoChecks(),
            send_notifications=lambda: 0,
            executor=self.executor,
            sleep=self.sleep,
        )
        self.reconciler = Reconciler(self.reconciler_context)
        self.ingress_context = IngressContext(
            connections=self.connections,
            routing=RoutingCache(self.connections, self.flows),
            application_servers=MemoryApplicationServerStore(),
            queues=self.queues,
            wakes=self.wakes,
            executor=self.executor,
            clock=self.clock,
            settings=self.settings,
        )
        self.ingress = Ingress(self.ingress_context)
        self._numbers = itertools.count(1)
        self.while_asleep: Callable[[], object] = lambda: None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.while_asleep()

    def use_queues(self, queues: MemoryUplinkQueues) -> None:
        """Replace the connections' queues; call it before a report is stored."""
        self.queues = queues
        self.ingress = Ingress(replace(self.ingress_context, queues=queues))

    def connect(self, connection_id: str = "c1", **configuration: object) -> Connection:
        connection = Connection(
            tenant=TENANT,
            id=connection_id,
            name=connection_id,
            active=True,
            configuration=AmqpConfiguration.model_validate(
                {
                    "hostName": "broker.example",
                    "protocol": BrokerProtocol.TCP,
                    "uplinkTopicPattern": "up.{DevEUI}",
                    "downlinkTopicPattern": "down.{DevEUI}",
                    **configuration,
                }
            ),
            created_at="",
            updated_at="",
            state=ConnectionState.OPENING,
        )
        self.queues.create(connection_id)
        self.connections.create(connection, 100)
        return connection

    def post(self, device: int = 1, **fields: object) -> str:
        """Accept an uplink and return its body."""
        body = json.dumps({"DevEUI_uplink": {"DevEUI": f"{device:016X}", "FCntUp": next(self._numbers), **fields}})
        self.ingress.store(TENANT, parse_report(body.encode()))
        return body

    def take(self) -> list[QueueRecord]:
        """Receive the wakes sent up to this call, as an event source mapping delivers them."""
        return self.wakes.take()

    def forward(self, records: Sequence[QueueRecord] | None = None, seconds: float = 30) -> None:
        records = self.take() if records is None else records
        self.forwarder.handle(records, self.parts.monotonic() + seconds)
        self.wakes.delete([record.receipt for record in records])

    def state(self, connection_id: str = "c1") -> Connection:
        return self.connections.get(TENANT, connection_id)

    def wake(self, connection_id: str = "c1", **fields: object) -> None:
        self.wakes.send([Wake.model_validate({"tenant": TENANT, "connectionId": connection_id, **fields})])

    def bodies(self) -> list[str]:
        return [message.body.decode() for message in self.broker.received]

    def event_types(self) -> list[str]:
        return [event.type for _, event in self.events.events]
