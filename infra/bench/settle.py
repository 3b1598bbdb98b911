"""The whole forwarder, from a wake to the deleted report, with SQS in memory and a real broker."""

import itertools
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from chalicelib.adapters.amqp.publisher import AmqpPublisherFactory
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.work_items import Wake
from chalicelib.entry.collector import collect_less_often
from chalicelib.monitoring import Monitoring
from chalicelib.ports.clock import Clock
from chalicelib.ports.queues import QueueRecord
from chalicelib.uplinks.drain_context import DrainContext
from chalicelib.uplinks.forwarder import Forwarder
from chalicelib.uplinks.ingress import Ingress, IngressContext
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.routing import RoutingCache
from chalicelib.uplinks.socket_slots import SocketSlots
from chalicelib.uplinks.streaming.receiving import CALLS
from infra.bench.peers.reports import report_body
from infra.local.in_memory import (
    MemoryApplicationServerStore,
    MemoryConnectionStore,
    MemoryEventLog,
    MemoryFailedMessages,
    MemoryFlowStore,
    MemorySecretStore,
    MemorySlots,
    MemoryStatistics,
    MemoryUplinkQueues,
    MemoryWakeQueue,
)

WARM_UP = 3
PATIENCE = 60.0
"""Seconds that a round may take."""


class ForwarderBench:
    """Ingress and a forwarder with one connection. A round drains one new report of each device."""

    def __init__(
        self, connection: Connection, secrets: ConnectionSecrets, queues: MemoryUplinkQueues | None = None
    ) -> None:
        collect_less_often()
        settings = Settings.model_validate({"allowed_private_networks": "127.0.0.0/8"})
        store, secret_store = MemoryConnectionStore(), MemorySecretStore()
        version = secret_store.put(connection.tenant, connection.id, secrets)
        self._connection = connection.model_copy(update={"secret_version": version})
        store.create(self._connection, 1)
        self._queues = queues or MemoryUplinkQueues(clock=time.time)
        self._queues.create(connection.id)
        self._wakes = MemoryWakeQueue()
        self._handled: list[QueueRecord] = []
        self._counters = itertools.count(1)
        self._executor = ThreadPoolExecutor(1)
        self._ingress = Ingress(
            IngressContext(
                connections=store,
                routing=RoutingCache(store, MemoryFlowStore(store)),
                application_servers=MemoryApplicationServerStore(),
                queues=self._queues,
                wakes=self._wakes,
                executor=self._executor,
                clock=time.time,
                settings=settings,
            )
        )
        self._calls = ThreadPoolExecutor(2 * CALLS)
        self._pool = PublisherPool(
            AmqpPublisherFactory(settings), secret_store, SocketSlots(MemorySlots(time.time), settings.timing.slot)
        )
        parts = DrainContext(
            connections=store,
            queues=self._queues,
            wakes=self._wakes,
            pool=self._pool,
            failed=MemoryFailedMessages(),
            monitoring=Monitoring(MemoryEventLog(), MemoryStatistics(), time.time),
            clock=time.time,
            random=random.random,
            timing=settings.timing,
            calls=self._calls,
        )
        self._forwarder = Forwarder(parts, self._executor)

    def seconds(self, devices: int, rounds: int, clock: Clock) -> list[float]:
        """Return the seconds of each round by ``clock``, after a warm-up."""
        seconds = []
        for _ in range(WARM_UP + rounds):
            forward = self.round(devices)
            began = clock()
            forward()
            seconds.append(clock() - began)
        return seconds[WARM_UP:]

    def round(self, devices: int) -> Callable[[], None]:
        """Store a report of each device through ingress. Return the function that forwards them in one invocation."""
        return self._forward(self._stored(devices))

    def backlog(self, devices: int) -> Callable[[], None]:
        """Store reports as ``round`` does. Return the function that drains them for a wake that names no report."""
        self._wakes.delete([record.receipt for record in self._stored(devices)])
        self._wakes.send([Wake(tenant=self._connection.tenant, connection_id=self._connection.id)])
        return self._forward(self._wakes.take())

    def _stored(self, devices: int) -> list[QueueRecord]:
        """Store a report of each device; return their wakes."""
        # Lambda deletes the wakes of an invocation. Its drain may have requested helper drains.
        self._wakes.delete([record.receipt for record in (*self._handled, *self._wakes.take())])
        counter = next(self._counters)
        for device in range(devices):
            self._ingress.accept(self._connection.tenant, report_body(device, counter))
        return self._wakes.take()

    def _forward(self, records: list[QueueRecord]) -> Callable[[], None]:
        self._handled = records

        def forward() -> None:
            self._forwarder.handle(records, time.monotonic() + PATIENCE)
            if self._queues.depth(self._connection.id) != (0, 0):
                raise RuntimeError("Not all reports were settled.")

        return forward

    def close(self) -> None:
        self._pool.close(self._connection.id)
        self._executor.shutdown()
        self._calls.shutdown()
