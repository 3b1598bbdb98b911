"""One poll of many connections to a broker, which prints its CPU and memory as JSON.

``python -m infra.scale.poll_once PORT CONNECTIONS SECONDS``, with the broker's password in BENCH_PASSWORD. TLS has the
names of the secrets that the connections have, as paths of PEM files in JSON; without it, they use no TLS. It runs in a
new process with the modules of the Lambda function; its stores are in memory.
"""

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import app  # noqa: F401  # a function imports it, with the memory that its modules need
from chalicelib.adapters.amqp.consumer import AmqpDownlinkConsumer
from chalicelib.config import Settings
from chalicelib.domain.connection import ConnectionSecrets
from chalicelib.domain.connectors.amqp091 import BrokerProtocol
from chalicelib.domain.work_items import PollJob, PollTarget
from chalicelib.downlinks.polls import PollContext, PollHandler
from chalicelib.entry.services import Services
from chalicelib.kernel.ids import new_id
from chalicelib.monitoring import Monitoring, configure_logging
from chalicelib.ports.consuming import OnBatch
from chalicelib.ports.queues import QueueRecord
from infra.bench.broker import bench_connection
from infra.local.in_memory import (
    MemoryConnectionStore,
    MemoryEventLog,
    MemoryLeases,
    MemorySecretStore,
    MemoryStatistics,
)


class Watched(AmqpDownlinkConsumer):
    """A consumer that notes when its connections were opened, and what the process needs while they are idle."""

    def __init__(self, settings: Settings, number: int) -> None:
        super().__init__(settings)
        self._number = number
        self._began = time.monotonic()
        self._counted = 0
        self.results: dict[str, float] = {}

    def run(
        self,
        close_at: float,
        end: float,
        on_batch: OnBatch,
        on_opened: Callable[[str], None],
        on_fault: Any,
        tick: Callable[[], None],
    ) -> None:
        cpu = time.process_time()

        def opened(connection_id: str) -> None:
            on_opened(connection_id)
            self._counted += 1
            if self._counted == self._number:
                self.results["openSeconds"] = time.monotonic() - self._began
                self.results["openCpu"] = time.process_time() - cpu
                threading.Thread(target=self._watch_idle, args=(close_at,), daemon=True).start()

        super().run(close_at, end, on_batch, opened, on_fault, tick)

    def _watch_idle(self, close_at: float) -> None:
        time.sleep(2)  # the records of the states are written after the last opening
        began, cpu = time.monotonic(), time.process_time()
        time.sleep(max(1.0, close_at - began - 1))
        self.results["idleShare"] = (time.process_time() - cpu) / (time.monotonic() - began)


def _configuration(port: int) -> tuple[dict[str, Any], ConnectionSecrets]:
    """Return the fields of a connection's configuration, and its secrets, which no two connections share in memory."""
    changes: dict[str, Any] = {"downlink_topic_pattern": "down.{DevEUI}", "downlink_enabled": True}
    password = os.environ["BENCH_PASSWORD"]
    if "TLS" not in os.environ:
        return changes, ConnectionSecrets(password=password)
    files = json.loads(os.environ["TLS"])
    texts = {name: Path(path).read_text(encoding="utf-8") for name, path in files.items()}
    changes |= {"protocol": BrokerProtocol.SSL, "host_name": f"localhost:{port}"}
    return changes, ConnectionSecrets(password=password, **texts)


def main() -> None:
    port, number, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    configure_logging("ERROR")
    services = Services(Settings.model_validate({"allowed_private_networks": "127.0.0.0/8"}))
    store, secrets = MemoryConnectionStore(), MemorySecretStore()
    services.connection_store, services.secret_store = store, secrets  # type: ignore[assignment]
    services.monitoring = Monitoring(MemoryEventLog(), MemoryStatistics(), time.time)
    services.leases = MemoryLeases(services.settings.timing.lease, time.time)  # type: ignore[assignment]
    targets = []
    for _ in range(number):
        made = bench_connection(port)
        changes, stored = _configuration(port)
        connection = made.model_copy(
            update={"id": new_id(time.time()), "configuration": made.configuration.model_copy(update=changes)}
        )
        version = secrets.put(connection.tenant, connection.id, stored)
        store.create(connection.model_copy(update={"secret_version": version}), number)
        targets.append(PollTarget(tenant=connection.tenant, connection_id=connection.id))
    consumer = Watched(services.settings, number)
    context: PollContext = services.poll_handler._context  # noqa: SLF001  # the wiring of the function
    context = PollContext(**{**vars(context), "make_consumer": lambda: consumer})
    body = PollJob(sent_at=time.time(), targets=targets).model_dump_json(by_alias=True)
    deadline = time.monotonic() + seconds + services.settings.timing.spare
    PollHandler(context).handle([QueueRecord("r", "m", body)], deadline)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**consumer.results, "peakMegabytes": peak}))


if __name__ == "__main__":
    main()
