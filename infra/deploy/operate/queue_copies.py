"""Copies of queued messages.

SQS returns no further message of a group while one of the group is in flight. A copy that leaves the messages in the
queue therefore has at most the first ten of each device; only a copy that deletes what it has written is complete.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.kernel.batches import batched
from chalicelib.ports.queues import BATCH
from infra.deploy.operate.backup_files import Lines
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.stage import Stage

_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_RECENTLY_DELETED = {"AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently"}
_HIDDEN = 120
"""Seconds for which a copied message is hidden at most."""
_LONGEST_COPY = 90.0
"""Seconds after which a copy that deletes nothing ends, before its first messages become visible again."""
_EMPTY_RECEIVES = 2
_WAIT = 1
_TRIES = 15
_PAUSE = 5.0


@dataclass
class Copied:
    """Numbers of messages that were copied, and of those that the queue had (approximately)."""

    copied: int
    queued: int


@dataclass
class QueueCopies:
    """Copies queues of one stage, and sends copied messages."""

    stage: Stage
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    _urls: dict[str, str] = field(default_factory=dict)

    def copy(self, queue: str, lines: Lines, *, take: bool) -> Copied | None:
        """Write the messages of a queue to ``lines``, in order per group; None if it does not exist.

        ``take``: delete each message once it is on the disk, which is the only way to get all of them. Otherwise they
        become visible again at the end, and until then no function can publish later ones of these groups.
        """
        queued = self.depth(queue)
        if queued is None:
            return None
        copied, empty = 0, 0
        held: list[str] = []
        end = self.monotonic() + _LONGEST_COPY
        try:
            while empty < (1 if copied >= queued else _EMPTY_RECEIVES) and (take or self.monotonic() < end):
                messages = self._receive(queue)
                empty = 0 if messages else empty + 1
                for message in messages:
                    lines.add(_document(message))
                copied += len(messages)
                receipts = [message["ReceiptHandle"] for message in messages]
                if take and receipts:
                    lines.sync()
                    self._delete(queue, receipts)
                else:
                    held += receipts
        finally:
            self._release(queue, held)
        return Copied(copied, queued)

    def depth(self, queue: str) -> int | None:
        """Return the approximate number of messages, those in flight included; None if the queue does not exist."""
        names = ("", "NotVisible", "Delayed")
        with translated("SQS"):
            try:
                answer = self.stage.services.sqs.get_queue_attributes(
                    QueueUrl=self._url(queue),
                    AttributeNames=[f"ApproximateNumberOfMessages{name}" for name in names],  # type: ignore[misc]
                )
            except ClientError as error:
                if error_code(error) in _MISSING:
                    return None
                raise
        return sum(int(value) for value in answer["Attributes"].values())

    def create(self, connection_id: str) -> None:
        """Create a connection's queue. Waits for a minute when it was deleted just before, as SQS demands."""
        for attempt in range(_TRIES):
            try:
                self.stage.services.uplink_queues.create(connection_id)
            except Exception as error:
                cause = error.__cause__
                recent = isinstance(cause, ClientError) and error_code(cause) in _RECENTLY_DELETED
                if not recent or attempt == _TRIES - 1:
                    raise
                self.sleep(_PAUSE)
            else:
                return

    def send(self, queue: str, documents: Iterator[Mapping[str, Any]]) -> Iterator[int]:
        """Send copied messages one after the other, so that the order per group holds; yield the number sent so far."""
        for number, document in enumerate(documents, 1):
            with translated("SQS"):
                self.stage.services.sqs.send_message(
                    QueueUrl=self._url(queue),
                    MessageBody=document["body"],
                    MessageGroupId=document["group"],
                    MessageDeduplicationId=document["deduplicationId"],
                    MessageAttributes={
                        name: {"DataType": "String", "StringValue": value}
                        for name, value in document["attributes"].items()
                    },
                )
            yield number

    def _receive(self, queue: str) -> list[Any]:
        with translated("SQS"):
            answer = self.stage.services.sqs.receive_message(
                QueueUrl=self._url(queue),
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=_WAIT,
                VisibilityTimeout=_HIDDEN,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        return list(answer.get("Messages", []))

    def _delete(self, queue: str, receipts: list[str]) -> None:
        entries: list[Any] = [{"Id": str(i), "ReceiptHandle": receipt} for i, receipt in enumerate(receipts)]
        with translated("SQS"):
            answer = self.stage.services.sqs.delete_message_batch(QueueUrl=self._url(queue), Entries=entries)
        if answer.get("Failed"):
            raise OperateFailed(f"SQS did not delete every copied message of {queue}. Run the command again.")

    def _release(self, queue: str, receipts: list[str]) -> None:
        """Make messages visible, the last one first, so that no function receives a later one of a device first."""
        for part in batched(reversed(receipts), BATCH):
            entries: list[Any] = [
                {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": 0} for i, receipt in enumerate(part)
            ]
            with translated("SQS"):
                self.stage.services.sqs.change_message_visibility_batch(QueueUrl=self._url(queue), Entries=entries)

    def _url(self, queue: str) -> str:
        # As in the product: all queues of an account differ by their name only.
        return f"{self.stage.services.wake_queue.url.rsplit('/', 1)[0]}/{self.stage.settings.queue(queue)}"


def _document(message: Any) -> dict[str, Any]:
    system = message["Attributes"]
    return {
        "body": message["Body"],
        "group": system["MessageGroupId"],
        "deduplicationId": system["MessageDeduplicationId"],
        "sentAt": int(system["SentTimestamp"]) / 1000,
        "attributes": {
            name: value["StringValue"]
            for name, value in message.get("MessageAttributes", {}).items()
            if "StringValue" in value
        },
    }


def uplinks_of(connection_id: str) -> str:
    """Return the kind of a connection's queue, as ``Settings.queue`` takes it."""
    return f"uplinks-{connection_id}.fifo"
