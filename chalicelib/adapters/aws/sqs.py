"""SQS: one FIFO queue a connection for its reports, and the shared queues of wakes, poll jobs and downlinks."""

import base64
import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.config import Settings
from chalicelib.domain.report import DEFAULT_FORMAT
from chalicelib.domain.work_items import DownlinkJob, PollJob, Wake
from chalicelib.errors import QueueMissing, Unavailable
from chalicelib.kernel.batches import batched
from chalicelib.monitoring import log
from chalicelib.ports.queues import BATCH, RETENTION, ReceivedReport

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

T = TypeVar("T")

_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NonExistentQueue"}
_RECEIPT_GONE = {"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"}
_DELETE_TRIES = 3
_REFUSED_BY_SQS = "\ufffe\uffff"
"""JSON may hold these as they are, an SQS message body may not."""


def _translated(error: Exception) -> Exception:
    if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in _MISSING:
        return QueueMissing("the queue does not exist")
    return Unavailable(f"SQS does not answer as it should ({type(error).__name__})")


def _call(function: Callable[..., Any], **arguments: Any) -> Any:
    try:
        return function(**arguments)
    except (ClientError, BotoCoreError) as error:
        raise _translated(error) from error


class SharedQueue:
    """A queue of the data stack, found by its name."""

    def __init__(self, client: "SQSClient", name: str) -> None:
        self._client = client
        self._name = name
        self._url = ""

    @property
    def url(self) -> str:
        if not self._url:
            self._url = _call(self._client.get_queue_url, QueueName=self._name)["QueueUrl"]
        return self._url

    def _send(self, entries: Sequence[dict[str, Any]]) -> list[bool]:
        accepted = [False] * len(entries)
        for start in range(0, len(entries), BATCH):
            part = [{"Id": str(i), **entry} for i, entry in enumerate(entries[start : start + BATCH], start)]
            answer = _call(self._client.send_message_batch, QueueUrl=self.url, Entries=part)
            for sent in answer.get("Successful", []):
                accepted[int(sent["Id"])] = True
        return accepted

    def delete(self, receipts: Sequence[str]) -> None:
        """Raises Unavailable when something could not be deleted; it will come back then."""
        if _delete(self._client, self.url, receipts):
            raise Unavailable(f"messages of {self._name} could not be deleted")

    def _set_visibility(self, receipts: Sequence[str], seconds: int) -> None:
        _set_visibility(self._client, self.url, receipts, seconds)


class SqsWakeQueue(SharedQueue):
    """The shared queue of wakes."""

    def __init__(self, client: "SQSClient", settings: Settings) -> None:
        super().__init__(client, settings.queue("wakes"))
        self._visibility = settings.timing.wake_visibility

    def send(self, wakes: Sequence[Wake]) -> None:
        if not all(self._send([{"MessageBody": wake.model_dump_json(by_alias=True)} for wake in wakes])):
            raise Unavailable("SQS did not take every wake")

    def extend(self, receipts: Sequence[str]) -> None:
        self._set_visibility(receipts, self._visibility)


class SqsPollQueue(SharedQueue):
    """The shared queue of poll jobs."""

    def __init__(self, client: "SQSClient", settings: Settings) -> None:
        super().__init__(client, settings.queue("polls"))

    def send(self, job: PollJob) -> None:
        if not all(self._send([{"MessageBody": job.model_dump_json(by_alias=True)}])):
            raise Unavailable("SQS did not take the poll job")


class SqsDownlinkQueue(SharedQueue):
    """The shared FIFO queue of downlinks."""

    def __init__(self, client: "SQSClient", settings: Settings) -> None:
        super().__init__(client, settings.queue("downlinks.fifo"))

    def send(self, jobs: Sequence[tuple[DownlinkJob, str]]) -> list[bool]:
        return self._send(
            [
                {
                    # ASCII only: SQS refuses some characters that JSON allows.
                    "MessageBody": json.dumps(job.to_json()),
                    # The group includes the connection, because a deactivated connection delays its own downlinks for
                    # minutes and must not delay those of another connection for the same device.
                    "MessageGroupId": f"{job.tenant}.{job.connection_id}.{job.downlink['DevEUI']}",
                    "MessageDeduplicationId": deduplication_id,
                }
                for job, deduplication_id in jobs
            ]
        )

    def delay(self, receipts: Sequence[str], seconds: int) -> None:
        """Later downlinks of the same device wait as well: their group is held by these."""
        self._set_visibility(receipts, seconds)


class SqsUplinkQueues:
    """The connections' FIFO queues: group = DevEUI, high throughput, 14 days, no redrive policy (it breaks order)."""

    def __init__(self, client: "SQSClient", settings: Settings, base_url: Callable[[], str]) -> None:
        """``base_url``: gives the URL of any queue of this account, from which the others' follow."""
        self._client = client
        self._settings = settings
        self._base_url = base_url

    def _name(self, connection_id: str) -> str:
        return self._settings.queue(f"uplinks-{connection_id}.fifo")

    def _url(self, connection_id: str) -> str:
        return f"{self._base_url().rsplit('/', 1)[0]}/{self._name(connection_id)}"

    def create(self, connection_id: str) -> None:
        kms = self._settings.kms_key_id
        _call(
            self._client.create_queue,
            QueueName=self._name(connection_id),
            Attributes={
                "FifoQueue": "true",
                "DeduplicationScope": "messageGroup",
                "FifoThroughputLimit": "perMessageGroupId",
                "MessageRetentionPeriod": str(RETENTION),
                "MaximumMessageSize": str(1 << 20),
                "VisibilityTimeout": str(self._settings.timing.report_visibility),
                **({"KmsMasterKeyId": kms} if kms else {"SqsManagedSseEnabled": "true"}),
            },
        )

    def delete(self, connection_id: str) -> None:
        try:
            _call(self._client.delete_queue, QueueUrl=self._url(connection_id))
        except QueueMissing:
            return

    def send(
        self,
        connection_id: str,
        *,
        body: str,
        group: str,
        message_id: str,
        deduplication_id: str,
        report_format: str = DEFAULT_FORMAT,
    ) -> None:
        attributes = {
            "messageId": {"DataType": "String", "StringValue": message_id},
            "format": {"DataType": "String", "StringValue": report_format},
        }
        if any(character in body for character in _REFUSED_BY_SQS):
            body = base64.b64encode(body.encode()).decode("ascii")
            attributes["encoding"] = {"DataType": "String", "StringValue": "base64"}
        _call(
            self._client.send_message,
            QueueUrl=self._url(connection_id),
            MessageBody=body,
            MessageGroupId=group,
            MessageDeduplicationId=deduplication_id,
            MessageAttributes=attributes,
        )

    def receive(self, connection_id: str, limit: int) -> list[ReceivedReport]:
        # A new attempt id for each receive: the SDK's retry after a lost answer gets the same messages again.
        answer = _call(
            self._client.receive_message,
            QueueUrl=self._url(connection_id),
            MaxNumberOfMessages=min(limit, BATCH),
            VisibilityTimeout=self._settings.timing.report_visibility,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId", "SentTimestamp"],
            MessageAttributeNames=["All"],
            ReceiveRequestAttemptId=uuid.uuid4().hex,
        )
        return [_received(message) for message in answer.get("Messages", [])]

    def delete_messages(self, connection_id: str, receipts: Sequence[str]) -> list[str]:
        return _delete(self._client, self._url(connection_id), receipts)

    def release(self, connection_id: str, receipts: Sequence[str], delay: int) -> None:
        _set_visibility(self._client, self._url(connection_id), list(reversed(receipts)), delay)

    def depth(self, connection_id: str) -> tuple[int, int]:
        attributes = _call(
            self._client.get_queue_attributes,
            QueueUrl=self._url(connection_id),
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesDelayed",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )["Attributes"]
        return (
            int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesDelayed"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        )


def _received(message: dict[str, Any]) -> ReceivedReport:
    attributes = message.get("MessageAttributes", {})
    body = message["Body"]
    if attributes.get("encoding", {}).get("StringValue") == "base64":
        body = base64.b64decode(body).decode()
    system = message["Attributes"]
    return ReceivedReport(
        receipt=message["ReceiptHandle"],
        message_id=attributes["messageId"]["StringValue"],
        group=system["MessageGroupId"],
        body=body,
        sent_at=int(system["SentTimestamp"]) / 1000,
        attempts=int(system["ApproximateReceiveCount"]),
        format=attributes.get("format", {}).get("StringValue", DEFAULT_FORMAT),
    )


def _delete(client: "SQSClient", url: str, receipts: Sequence[str]) -> list[str]:
    """Deletes with repeats; returns what could not be deleted."""
    left = list(receipts)
    for attempt in range(_DELETE_TRIES):
        if attempt:
            time.sleep(0.05 * 2**attempt)  # SQS asks for a pause before the same call is made again
        failed: list[str] = []
        for part in batched(left, BATCH):
            entries: list[Any] = [{"Id": str(i), "ReceiptHandle": receipt} for i, receipt in enumerate(part)]
            try:
                answer = _call(client.delete_message_batch, QueueUrl=url, Entries=entries)
            except QueueMissing:
                return []
            except Unavailable as error:
                log.warning("delete failed", extra={"reason": str(error)})
                failed += part
                continue
            failed += [part[int(entry["Id"])] for entry in answer.get("Failed", []) if not _gone(entry)]
        left = failed
        if not left:
            break
    return left


def _gone(entry: dict[str, Any]) -> bool:
    # The receipt has expired: another consumer received the message and settles it.
    return bool(entry.get("SenderFault")) and entry.get("Code") in _RECEIPT_GONE


def _set_visibility(client: "SQSClient", url: str, receipts: Sequence[str], seconds: int) -> None:
    """A failure is logged and no more: the messages then come back when their visibility time-out ends."""
    for part in batched(receipts, BATCH):
        entries: list[Any] = [
            {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": seconds} for i, receipt in enumerate(part)
        ]
        try:
            answer = _call(client.change_message_visibility_batch, QueueUrl=url, Entries=entries)
        except (QueueMissing, Unavailable) as error:
            log.warning("visibility not changed", extra={"reason": str(error)})
            continue
        if answer.get("Failed"):
            log.warning("visibility not changed", extra={"reason": json.dumps([e["Code"] for e in answer["Failed"]])})
