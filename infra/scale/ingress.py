"""CPU of ingress for a report that 1, 10 and 100 connections of a tenant receive, with queues in memory."""

import json
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from chalicelib.config import Settings
from chalicelib.network_servers.formats import DEFAULT
from chalicelib.uplinks.ingress import Ingress, IngressContext
from chalicelib.uplinks.routing import RoutingCache
from infra.bench.broker import bench_connection
from infra.costs.uplinks import report_of
from infra.local.in_memory import (
    MemoryApplicationServerStore,
    MemoryConnectionStore,
    MemoryFlowStore,
    MemoryWakeQueue,
)

CONNECTIONS = (1, 10, 100)
GOAL = 0.001
"""Seconds of CPU per matching connection."""
_ROUNDS = 100
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class _Accepting:
    """Queues that take every report and keep none."""

    def send(self, _connection_id: str, **_report: Any) -> None:
        return


def measure(sizes: Sequence[int] = CONNECTIONS, rounds: int = _ROUNDS) -> dict[int, float]:
    """Return the seconds of CPU of a report by the number of connections that receive it."""
    return {number: _seconds(number, rounds) for number in sizes}


def _seconds(number: int, rounds: int) -> float:
    store = MemoryConnectionStore()
    made = bench_connection(0)
    for index in range(number):
        store.create(made.model_copy(update={"id": f"c{index}"}), number)
    seconds = []
    with ThreadPoolExecutor(16) as executor:
        ingress = Ingress(
            IngressContext(
                connections=store,
                routing=RoutingCache(store, MemoryFlowStore(store)),
                application_servers=MemoryApplicationServerStore(),
                queues=_Accepting(),  # type: ignore[arg-type]  # the method that ingress calls
                wakes=MemoryWakeQueue(),
                executor=executor,
                clock=time.time,
                settings=Settings(),
            )
        )
        for index in range(rounds):
            body = json.dumps(report_of(index, _NOW)).encode()
            began = time.process_time()
            ingress.store(made.tenant, DEFAULT.parse(body))
            seconds.append(time.process_time() - began)
    return statistics.median(seconds)
