"""The forwarder's whole path, from a wake to the deleted report, with SQS in memory and a real broker."""

import itertools
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from chalicelib.amqp_publisher import AmqpPublisherFactory
from chalicelib.config import Settings
from chalicelib.drain import DrainParts
from chalicelib.forwarder import Forwarder
from chalicelib.messages import message_id, parse_report
from chalicelib.models import Connection, ConnectionSecrets, Wake
from chalicelib.monitoring import Monitoring
from chalicelib.ports import QueueRecord
from chalicelib.publishers import PublisherPool
from infra.local.in_memory import (
    MemoryConnectionStore,
    MemoryEventLog,
    MemoryFailedMessages,
    MemorySecretStore,
    MemoryStatistics,
    MemoryUplinkQueues,
    MemoryWakeQueue,
)


class ForwarderBench:
    """One connection, reports of distinct devices, a round at a time."""

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
        self._pool = PublisherPool(AmqpPublisherFactory(settings), secret_store)
        parts = DrainParts(
            connections=store,
            queues=self._queues,
            pool=self._pool,
            failed=MemoryFailedMessages(),
            monitoring=Monitoring(MemoryEventLog(), MemoryStatistics(), time.time),
            clock=time.time,
            random=random.random,
            timing=settings.timing,
        )
        self._forwarder = Forwarder(parts, MemoryWakeQueue(), self._executor)

    def round(self, devices: int, filler: str) -> Callable[[], None]:
        """Stores a report of each device, and returns the forwarder's work on them."""
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
                raise RuntimeError("not everything was settled")

        return forward

    def close(self) -> None:
        self._pool.close(self._connection.id)
        self._executor.shutdown()
