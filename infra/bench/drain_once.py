"""A forwarder that drains one connection's queue and prints the number of delivered reports and its peak memory.

``python -m infra.bench.drain_once PORT``, with the broker's password in BENCH_PASSWORD. Like the Lambda function, it
uses boto3 for SQS and pika for the broker. The tables are in memory, because their memory does not matter here.
"""

import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from chalicelib.adapters.amqp.publisher import AmqpPublisherFactory
from chalicelib.config import Settings
from chalicelib.domain.connection import ConnectionSecrets
from chalicelib.domain.work_items import Wake
from chalicelib.entry.collector import collect_less_often
from chalicelib.entry.services import Services
from chalicelib.monitoring import Monitoring
from chalicelib.ports.queues import QueueRecord
from chalicelib.uplinks.drain_context import DrainContext
from chalicelib.uplinks.forwarder import Forwarder
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.socket_slots import SocketSlots
from chalicelib.uplinks.streaming.receiving import CALLS
from infra.bench.broker import bench_connection
from infra.local.in_memory import (
    MemoryConnectionStore,
    MemoryEventLog,
    MemoryFailedMessages,
    MemorySecretStore,
    MemorySlots,
    MemoryStatistics,
    MemoryWakeQueue,
)


def main() -> None:
    collect_less_often()
    services = Services(Settings.model_validate({"allowed_private_networks": "127.0.0.0/8"}))
    connection = bench_connection(int(sys.argv[1]))
    secrets = MemorySecretStore()
    services.secret_store = secrets  # type: ignore[assignment]  # a cached property takes what it is given
    version = secrets.put(connection.tenant, connection.id, ConnectionSecrets(password=os.environ["BENCH_PASSWORD"]))
    store, statistics = MemoryConnectionStore(), MemoryStatistics()
    store.create(connection.model_copy(update={"secret_version": version}), 1)
    sockets = SocketSlots(MemorySlots(time.time), services.settings.timing.slot)
    pool = PublisherPool(AmqpPublisherFactory(services.settings), secrets, sockets)
    calls = ThreadPoolExecutor(2 * CALLS)
    parts = DrainContext(
        connections=store,
        queues=services.uplink_queues,
        wakes=MemoryWakeQueue(),
        pool=pool,
        failed=MemoryFailedMessages(),
        monitoring=Monitoring(MemoryEventLog(), statistics, time.time),
        clock=time.time,
        random=lambda: 0.0,
        timing=services.settings.timing,
        calls=calls,
    )
    wake = Wake(tenant=connection.tenant, connection_id=connection.id)
    with ThreadPoolExecutor(1) as executor:
        forwarder = Forwarder(parts, executor)
        while services.uplink_queues.depth(connection.id) != (0, 0):
            forwarder.handle([QueueRecord("r", "m", wake.model_dump_json(by_alias=True))], time.monotonic() + 30)
    calls.shutdown()
    pool.close(connection.id)
    delivered = statistics.counts[connection.tenant, connection.id]["uplinksDelivered"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"delivered": delivered, "peakMegabytes": peak}))


if __name__ == "__main__":
    main()
