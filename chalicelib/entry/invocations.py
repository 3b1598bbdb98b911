"""Conversion of Lambda's SQS events into queue records and deadlines."""

import time
from typing import Any, Protocol

from chalicelib.ports.queues import QueueRecord


class LambdaEvent(Protocol):
    """The members of Chalice's event classes that the handlers use."""

    context: Any
    """Lambda's context object. Chalice annotates it with a different type."""

    def to_dict(self) -> dict[str, Any]: ...


def records(event: LambdaEvent) -> list[QueueRecord]:
    """Return the messages of an SQS event, in their order."""
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
    """Return the monotonic time at which Lambda ends the function."""
    milliseconds: int = event.context.get_remaining_time_in_millis()
    return time.monotonic() + milliseconds / 1000
