"""What Lambda hands to a queue's handler, in our own terms."""

import time
from typing import Any, Protocol

from chalicelib.ports import QueueRecord


class LambdaContext(Protocol):
    def get_remaining_time_in_millis(self) -> int: ...


class LambdaEvent(Protocol):
    """The part of Chalice's event classes that is used."""

    context: LambdaContext

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
    return time.monotonic() + event.context.get_remaining_time_in_millis() / 1000
