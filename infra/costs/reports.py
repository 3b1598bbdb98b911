"""Dollars of a million reports, from counted calls, billed units, CPU and the functions' sizes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.costs.measured import ACCESS_LOG, CALL, CONFIRM, FULL_CORE
from infra.costs.prices import PRICES, Unit, saved_on_arm
from infra.costs.uplinks import Usage
from infra.local.processes import ROOT

MILLION = 1_000_000
GOALS = {1: 10.0, 10: 6.0}
"""Dollars per million reports, by the number of reports of a drain."""
BY_LAMBDA = 2
"""Calls of an event source mapping on its queue, which take no time of the function."""


@dataclass(frozen=True)
class Function:
    """A function's part in the cost of a report: its memory in MB, and the seconds of an invocation."""

    memory: int
    seconds: float

    @property
    def gb_seconds(self) -> float:
        return self.memory / 1024 * self.seconds


@dataclass
class Bill:
    """Dollars of a million reports by line, the functions among the lines, and the functions' GB-seconds."""

    dollars: dict[str, float] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    gb_seconds: float = 0.0

    @property
    def total(self) -> float:
        return sum(self.dollars.values())

    @property
    def total_on_arm(self) -> float:
        return self.total - saved_on_arm(self.gb_seconds)


def memory_of(function: str) -> int:
    """Return the MB of a function in .chalice/config.json."""
    configuration = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    size: int = configuration["lambda_functions"][function]["lambda_memory_size"]
    return size


def function(memory: int, cpu: float, calls: float, wait: float = 0.0) -> Function:
    """Return the duration of an invocation whose calls are made one after another."""
    return Function(memory, cpu / min(1.0, memory / FULL_CORE) + calls * CALL + wait)


def bill(accepted: Usage, drained: Usage, reports: int, cpu: Mapping[str, float]) -> Bill:
    """Return the bill of a million reports.

    ``accepted``: the posts of ``reports`` reports; ``drained``: their drain. ``cpu``: as in ``measured.CPU``.
    """
    posts = sum(accepted.calls.values()) / reports
    api = function(memory_of("api_handler"), cpu["report"], posts)
    drains = sum(drained.calls.values()) - BY_LAMBDA
    forward = function(memory_of("forward"), cpu[f"drain of {reports}"], drains, CONFIRM)
    each = MILLION / reports

    def dollars(*which: Unit) -> float:
        return each * sum((accepted.units[unit] + drained.units[unit]) * PRICES[unit] for unit in which)

    def lambda_dollars(of: Function, invocations: float) -> float:
        return invocations * (PRICES[Unit.INVOCATION] + of.gb_seconds * PRICES[Unit.GB_SECOND])

    made = Bill()
    made.dollars["API Gateway (REST)"] = MILLION * PRICES[Unit.API_REQUEST]
    made.dollars["API function"] = lambda_dollars(api, MILLION)
    made.dollars["forwarder"] = lambda_dollars(forward, each)
    made.dollars["SQS"] = dollars(Unit.SQS_FIFO, Unit.SQS_STANDARD)
    made.dollars["DynamoDB"] = dollars(Unit.READ, Unit.WRITE)
    made.dollars["logs"] = dollars(Unit.LOG_BYTE) + MILLION * ACCESS_LOG * PRICES[Unit.LOG_BYTE]
    made.functions = {"API function": api, "forwarder": forward}
    made.gb_seconds = MILLION * api.gb_seconds + each * forward.gb_seconds
    return made
