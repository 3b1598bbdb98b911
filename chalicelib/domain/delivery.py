"""How a publish ends."""

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    DELIVERED = "DELIVERED"
    RETRY = "RETRY"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Outcome:
    """``reason`` and ``detail`` are those of a failed message, such as ``UNROUTABLE``; empty when delivered."""

    result: Result
    reason: str = ""
    detail: str = ""


DELIVERED = Outcome(Result.DELIVERED)

NACKED = "NACKED"
"""The reason of a RETRY that a queue's basic.nack caused."""
