"""CPU time that metrics cost a drain: its calls, recorded and repeated, and the lines that are written at its end."""

import os
import statistics
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

from chalicelib.domain.connection import ConnectionSecrets
from chalicelib.monitoring.metrics import metrics
from chalicelib.vocabulary import Metric
from infra.bench.broker import bench_connection, purge
from infra.bench.settle import ForwarderBench

_ROUNDS = 20
_REPEATS = 2000
Call = tuple[Metric, float, str]


def measure(port: int, password: str) -> None:
    """Print microseconds of a drain, and their share of its CPU time, for one report and for a hundred."""
    for reports in (1, 100):
        purge(port, password)
        bench = ForwarderBench(bench_connection(port), ConnectionSecrets(password=password))
        seconds = bench.seconds(reports, _ROUNDS, time.process_time)
        calls = _recorded(bench.round(reports))
        bench.close()
        own, drain = _repeated(calls), statistics.median(seconds)
        print(
            f"metrics of a drain of {reports} reports: {own * 1e6:.0f} µs in {len(calls)} calls and a line, "
            f"{own / drain * 100:.1f} % of the drain's CPU, {own / reports * 1e6:.2f} µs per report"
        )


def _recorded(forward: Callable[[], None]) -> list[Call]:
    calls: list[Call] = []
    add = metrics.add

    def record(metric: Metric, number: float = 1, of: str = "") -> None:
        calls.append((metric, number, of))

    metrics.add = record  # type: ignore[method-assign]
    try:
        forward()
    finally:
        metrics.add = add  # type: ignore[method-assign]
    return calls


def _repeated(calls: list[Call]) -> float:
    metrics.take("", None)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        began = time.process_time()
        for _ in range(_REPEATS):
            metrics.begin("iot-flow-bench")
            for call in calls:
                metrics.add(*call)
            metrics.write("00000000-0000-4000-8000-000000000000")
        return (time.process_time() - began) / _REPEATS
