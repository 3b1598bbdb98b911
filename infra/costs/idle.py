"""Dollars of a connection without messages and month, from the counted calls of a minute of its poll."""

from dataclasses import dataclass

from infra.costs.measured import MINUTES_OF_A_MONTH, POLL_LOG
from infra.costs.polls import Minute
from infra.costs.prices import PRICES, Unit, saved_on_arm
from infra.costs.reports import memory_of

GROUPS = ((1, 1), (50, 50), (200, 20))
"""Connections of a poll job and their tenants."""
GOALS = {1: 12.0, 50: 0.70, 200: 0.50}
JOB = 3
"""Calls of SQS for the job of a poll: the reconciler's send, and the receive and delete of the event source mapping."""


@dataclass(frozen=True)
class IdleBill:
    """Dollars of a connection and month by line, and GB-seconds, for a group of ``connections``."""

    connections: int
    lines: dict[str, float]
    gb_seconds: float

    @property
    def total(self) -> float:
        return sum(self.lines.values())

    @property
    def total_on_arm(self) -> float:
        return self.total - saved_on_arm(self.gb_seconds)


def bill(minute: Minute) -> IdleBill:
    """Return the bill of one connection of a group."""
    number, months = minute.connections, MINUTES_OF_A_MONTH
    seconds = minute.seconds * memory_of("consume") / 1024
    function = months * (seconds * PRICES[Unit.GB_SECOND] + PRICES[Unit.INVOCATION])
    dynamodb = months * sum(minute.units[unit] * PRICES[unit] for unit in (Unit.READ, Unit.WRITE))
    job = months * (JOB * PRICES[Unit.SQS_STANDARD] + POLL_LOG * PRICES[Unit.LOG_BYTE])
    return IdleBill(
        number,
        {
            "secret": PRICES[Unit.SECRET_MONTH],
            "consumer function": function / number,
            "DynamoDB": dynamodb / number,
            "job and logs": job / number,
        },
        months * seconds / number,
    )
