"""Rate of one drain with a backlog, by the time that a call to SQS takes."""

import statistics
import time
from collections.abc import Sequence

from chalicelib.domain.connection import ConnectionSecrets
from chalicelib.ports.queues import ReceivedReport
from infra.bench.broker import bench_connection, purge
from infra.bench.settle import ForwarderBench
from infra.local.in_memory import MemoryUplinkQueues

REPORTS = 1000
"""Waiting reports, each of another device."""
GOALS = {0.0: 5000, 0.008: 2000}
"""Reports per second by the seconds of a call."""
_WARM_UPS, _ROUNDS = 2, 9


class SlowUplinkQueues(MemoryUplinkQueues):
    """Queues in memory whose calls take ``seconds``."""

    seconds = 0.0

    def receive(self, connection_id: str, limit: int, wait: int = 0) -> list[ReceivedReport]:
        time.sleep(self.seconds)
        return super().receive(connection_id, limit, wait)

    def delete_messages(self, connection_id: str, receipts: Sequence[str]) -> list[str]:
        for _ in range(0, len(receipts), 10):
            time.sleep(self.seconds)  # SQS deletes ten messages with a call
        return super().delete_messages(connection_id, receipts)

    def depth(self, connection_id: str) -> tuple[int, int]:
        time.sleep(self.seconds)
        return super().depth(connection_id)


def drain_rates(port: int, password: str) -> None:
    """Print the rates of one drain of ``REPORTS`` waiting reports."""
    for seconds, goal in GOALS.items():
        purge(port, password)
        queues = SlowUplinkQueues(clock=time.time)
        bench = ForwarderBench(bench_connection(port), ConnectionSecrets(password=password), queues)
        rates = []
        for _ in range(_WARM_UPS + _ROUNDS):
            queues.seconds = 0.0
            drain = bench.backlog(REPORTS)
            queues.seconds = seconds
            began = time.monotonic()
            drain()
            rates.append(REPORTS / (time.monotonic() - began))
        bench.close()
        rate = statistics.median(rates[_WARM_UPS:])
        verdict = "met" if rate >= goal else "MISSED"
        print(
            f"drain of {REPORTS:,} waiting reports, SQS at {seconds * 1000:.0f} ms a call: {rate:,.0f}/s, "
            f"goal {goal:,}/s: {verdict}"
        )
