"""Invocations of queue handlers, converted from Lambda's event."""

import time
from typing import Any, Protocol

from chalicelib.ports.queues import QueueRecord


class LambdaEvent(Protocol):
    """The part of Chalice's event classes that is used."""

    context: Any
    """Lambda's context object; Chalice's own annotation of it is another."""

    def to_dict(self) -> dict[str, Any]: ...


def records(event: LambdaEvent) -> list[QueueRecord]:
    """The messages of an SQS event, in their order."""
    return [
        QueueRecord(
            receipt=record["receiptHandle"],
            message_id=record["messageId"],
            body=record["body"],
            group=record["attributes"].get("MessageGroupId", ""),
            attempts=int(record["attributes"].get("ApproximateReceiveCount", 1)),
        )
        for record in event.to_dict()["Records"]
    ]


def deadline(event: LambdaEvent) -> float:
    """The time.monotonic() at which Lambda ends the function."""
    milliseconds: int = event.context.get_remaining_time_in_millis()
    return time.monotonic() + milliseconds / 1000
