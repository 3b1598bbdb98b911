"""Outcomes of a publish."""

from dataclasses import dataclass
from enum import StrEnum

from chalicelib.vocabulary import EventType, FailureReason, RetryReason


class Result(StrEnum):
    """The next step for a message after a publish: delete, retry or record as failed."""

    DELIVERED = "DELIVERED"
    RETRY = "RETRY"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one publish.

    ``reason`` is a FailureReason for a failed message. For a retried message it is a RetryReason, or the event type
    of the fault that closed the AMQP connection.
    """

    result: Result
    reason: FailureReason | RetryReason | EventType | None = None
    detail: str = ""

    @property
    def failure(self) -> FailureReason:
        """The reason of a failed message."""
        return self.reason if isinstance(self.reason, FailureReason) else FailureReason.INVALID


DELIVERED = Outcome(Result.DELIVERED)
