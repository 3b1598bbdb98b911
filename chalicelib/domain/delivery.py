"""Outcomes of a publish."""

from dataclasses import dataclass
from enum import StrEnum

from chalicelib.vocabulary import EventType, FailureReason, RetryReason


class Result(StrEnum):
    """Results of a publish."""

    DELIVERED = "DELIVERED"
    RETRY = "RETRY"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a publish.

    A failed message has a FailureReason; a retried one has a RetryReason, or the event type of the fault that ended its
    connection.
    """

    result: Result
    reason: FailureReason | RetryReason | EventType | None = None
    detail: str = ""

    @property
    def failure(self) -> FailureReason:
        """The reason of a failed message."""
        return self.reason if isinstance(self.reason, FailureReason) else FailureReason.INVALID


DELIVERED = Outcome(Result.DELIVERED)
