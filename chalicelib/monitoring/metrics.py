"""Metrics in CloudWatch's embedded metric format: collected during an invocation, written as log lines at its end."""

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from chalicelib.vocabulary import Metric, Unit

NAMESPACE = "IotFlow"
_MOST_VALUES = 100
"""CloudWatch reads at most this many values of a metric in a line."""


class Metrics:
    """The metrics of the running invocation. Every thread may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage = ""
        self._counts: dict[str, dict[Metric, float]] = defaultdict(lambda: defaultdict(float))
        self._values: dict[str, dict[Metric, list[float]]] = defaultdict(lambda: defaultdict(list))

    def begin(self, stage: str) -> None:
        """Begin an invocation of a stage, whose name is the dimension ``Stage``."""
        self._stage = stage

    def add(self, metric: Metric, number: float = 1, of: str = "") -> None:
        """Add to a count, or note a value of a time. ``of``: the value of the metric's own dimension, if it has one.

        A count of zero is written, too. Of more than 100 values of an invocation, the largest are kept.
        """
        with self._lock:
            if metric.unit is Unit.COUNT:
                self._counts[of][metric] += number
                return
            values = self._values[of][metric]
            values.append(round(number, 3))
            if len(values) > _MOST_VALUES:
                values.remove(min(values))

    def take(self, stage: str, request_id: str | None) -> list[str]:
        """Return the collected metrics as lines and start anew.

        A line has one value of each dimension at most. Metrics of different dimensions share a line, because each line
        costs what its text costs.
        """
        with self._lock:
            counts, self._counts = self._counts, defaultdict(lambda: defaultdict(float))
            values, self._values = self._values, defaultdict(lambda: defaultdict(list))
        lines: list[dict[str, tuple[str, Mapping[Metric, Any]]]] = []
        for of in sorted({*counts, *values}):
            found: dict[Metric, Any] = {**counts.get(of, {}), **values.get(of, {})}
            by = next(iter(found)).by or ""
            line = next((line for line in lines if by not in line), None)
            if line is None:
                line = {}
                lines.append(line)
            line[by] = (of, found)
        return [_line(line, stage, time.time(), request_id) for line in lines]

    def write(self, request_id: str | None) -> None:
        """Write the collected metrics to stdout, from which CloudWatch Logs extracts them without a call."""
        _write(self.take(self._stage, request_id))

    def write_now(self, counts: Mapping[Metric, int], at: float, request_id: str | None) -> None:
        """Write counts at once, because the function may not live to the end of its invocation.

        ``at``: the counts' time in Unix seconds. Counts of one time are in one period of an alarm.
        """
        _write([_line({"": ("", counts)}, self._stage, at, request_id)])


def _line(parts: Mapping[str, tuple[str, Mapping[Metric, Any]]], stage: str, at: float, request_id: str | None) -> str:
    """Return a line. ``parts``: the value of each dimension, and its metrics."""
    directives = [
        {
            "Namespace": NAMESPACE,
            "Dimensions": [["Stage", by] if by else ["Stage"]],
            "Metrics": [{"Name": metric.value, "Unit": metric.unit.value} for metric in found],
        }
        for by, (_, found) in parts.items()
    ]
    document: dict[str, Any] = {
        "_aws": {"Timestamp": int(at * 1000), "CloudWatchMetrics": directives},
        "Stage": stage,
        **{by: of for by, (of, _) in parts.items() if by},
        **({"requestId": request_id} if request_id else {}),
        **{metric.value: value for _, found in parts.values() for metric, value in found.items()},
    }
    return json.dumps(document, separators=(",", ":"))


def _write(lines: list[str]) -> None:
    for line in lines:
        # One write for each line: the lines of other threads must not come between text and line break.
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


metrics = Metrics()
"""The metrics of this process, which runs one invocation at a time."""
