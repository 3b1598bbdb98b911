"""Rate of the whole forwarder, from a wake to the deleted report, with SQS in memory and a real broker."""

import itertools
import json
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from chalicelib.adapters.amqp.publisher import AmqpPublisherFactory
from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.work_items import Wake
from chalicelib.monitoring import Monitoring
from chalicelib.network_servers.thingpark.reports import parse_report
from chalicelib.ports.clock import Clock
from chalicelib.ports.queues import QueueRecord
from chalicelib.uplinks.drain_context import DrainContext
from chalicelib.uplinks.forwarder import Forwarder
from chalicelib.uplinks.outgoing import message_id
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.socket_slots import SocketSlots
from infra.bench.publish import Measure, bench_connection, bench_messages, one_at_a_time, purge
from infra.local.broker.delay_proxy import delaying_proxy
from infra.local.in_memory import (
    MemoryConnectionStore,
    MemoryEventLog,
    MemoryFailedMessages,
    MemorySecretStore,
    MemorySlots,
    MemoryStatistics,
    MemoryUplinkQueues,
    MemoryWakeQueue,
)

WARM_UP = 3
FILLER = "0a" * 700
"""Payload of a 1.5 KB report."""


def measure(port: int, password: str) -> list[Measure]:
    """Measures the forwarder directly and with a round trip of 20 ms, compared with one bare publish at a time.

    Prints and returns the results.
    """
    measures = [
        _compare("publish and settle, 10 devices", port, password, devices=10, rounds=60, goal=3),
        _compare("publish and settle, 100 devices", port, password, devices=100, rounds=20, goal=None),
    ]
    with delaying_proxy(port, 0.02) as far:
        measures += [
            _compare("publish and settle, 10 devices, 20 ms away", far, password, devices=10, rounds=10, goal=8)
        ]
    for line in measures:
        print(line)
    return measures


def _compare(name: str, port: int, password: str, *, devices: int, rounds: int, goal: float | None) -> Measure:
    purge(port, password)
    bench = ForwarderBench(bench_connection(port), ConnectionSecrets(password=password))
    seconds = bench.seconds(devices, rounds, time.perf_counter)
    bench.close()
    return Measure(
        name,
        ours=devices / statistics.median(seconds),
        one_at_a_time=one_at_a_time(port, password, bench_messages(devices), max(3, rounds // 3)),
        goal=goal,
    )


class ForwarderBench:
    """A forwarder with one connection that drains one round of reports from distinct devices at a time."""

    def __init__(self, connection: Connection, secrets: ConnectionSecrets) -> None:
        settings = Settings.model_validate({"allowed_private_networks": "127.0.0.0/8"})
        store, secret_store = MemoryConnectionStore(), MemorySecretStore()
        version = secret_store.put(connection.tenant, connection.id, secrets)
        self._connection = connection.model_copy(update={"secret_version": version})
        store.create(self._connection, 1)
        self._queues = MemoryUplinkQueues(clock=time.time)
        self._queues.create(connection.id)
        self._numbers = itertools.count(1)
        self._executor = ThreadPoolExecutor(1)
        self._pool = PublisherPool(
            AmqpPublisherFactory(settings), secret_store, SocketSlots(MemorySlots(time.time), settings.timing.slot)
        )
        parts = DrainContext(
            connections=store,
            queues=self._queues,
            wakes=MemoryWakeQueue(),
            pool=self._pool,
            failed=MemoryFailedMessages(),
            monitoring=Monitoring(MemoryEventLog(), MemoryStatistics(), time.time),
            clock=time.time,
            random=random.random,
            timing=settings.timing,
        )
        self._forwarder = Forwarder(parts, self._executor)

    def seconds(self, devices: int, rounds: int, clock: Clock) -> list[float]:
        """Return the seconds of each round by ``clock``, after a warm-up."""
        seconds = []
        for _ in range(WARM_UP + rounds):
            forward = self.round(devices, FILLER)
            began = clock()
            forward()
            seconds.append(clock() - began)
        return seconds[WARM_UP:]

    def round(self, devices: int, filler: str) -> Callable[[], None]:
        """Stores a report of each device and returns the function that forwards them."""
        records = []
        for device in range(devices):
            fields = {"DevEUI": f"{device:016X}", "FPort": 1, "FCntUp": next(self._numbers), "payload_hex": filler}
            report = parse_report(json.dumps({"DevEUI_uplink": fields}).encode())
            name = message_id(self._connection.id, report)
            self._queues.send(
                self._connection.id, body=report.text, group=report.group, message_id=name, deduplication_id=name
            )
            wake = Wake(tenant=self._connection.tenant, connection_id=self._connection.id, message_id=name)
            records.append(QueueRecord(name, name, wake.model_dump_json(by_alias=True)))

        def forward() -> None:
            self._forwarder.handle(records, time.monotonic() + 30)
            if self._queues.depth(self._connection.id) != (0, 0):
                raise RuntimeError("Not all reports were settled.")

        return forward

    def close(self) -> None:
        self._pool.close(self._connection.id)
        self._executor.shutdown()
