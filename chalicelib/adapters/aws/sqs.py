"""SQS: a FIFO queue for each connection's reports, and the shared queues of wakes, poll jobs and downlinks."""

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
"""Characters that JSON allows unescaped and that an SQS message body must not contain."""


def _translated(error: Exception) -> Exception:
    if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in _MISSING:
        return QueueMissing("the queue does not exist")
    return Unavailable(f"SQS does not answer or answers with an error ({type(error).__name__})")


def _call(function: Callable[..., Any], **arguments: Any) -> Any:
    try:
        return function(**arguments)
    except (ClientError, BotoCoreError) as error:
        raise _translated(error) from error


class SharedQueue:
    """A queue of the data stack. Its URL is looked up by its name at the first use."""

    def __init__(self, client: "SQSClient", name: str) -> None:
        self._client = client
        self._name = name
        self._url = ""

    @property
    def url(self) -> str:
        """URL of the queue. Raises QueueMissing, Unavailable."""
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
        """Delete messages. Raises Unavailable when one could not be deleted; SQS delivers that one again."""
        if _delete(self._client, self.url, receipts):
            raise Unavailable(f"messages of {self._name} could not be deleted")

    def _set_visibility(self, receipts: Sequence[str], seconds: int) -> None:
        _set_visibility(self._client, self.url, receipts, seconds)


class SqsWakeQueue(SharedQueue):
    """A shared queue of wakes (``ports.WakeQueue``): ``wakes`` or, for the slow lane, ``wakes-slow``."""

    def __init__(self, client: "SQSClient", settings: Settings, name: str) -> None:
        super().__init__(client, settings.queue(name))
        self._visibility = settings.timing.wake_visibility

    def send(self, wakes: Sequence[Wake]) -> None:
        if not all(self._send([_wake_entry(wake) for wake in wakes])):
            raise Unavailable("SQS did not accept every wake")

    def extend(self, receipts: Sequence[str]) -> None:
        self._set_visibility(receipts, self._visibility)


class SqsPollQueue(SharedQueue):
    """The shared queue of poll jobs (``ports.PollQueue``)."""

    def __init__(self, client: "SQSClient", settings: Settings) -> None:
        super().__init__(client, settings.queue("polls"))

    def send(self, job: PollJob) -> None:
        if not all(self._send([{"MessageBody": job.model_dump_json(by_alias=True)}])):
            raise Unavailable("SQS did not accept the poll job")


class SqsDownlinkQueue(SharedQueue):
    """The shared FIFO queue of downlinks (``ports.DownlinkQueue``), in order per connection and device."""

    def __init__(self, client: "SQSClient", settings: Settings) -> None:
        super().__init__(client, settings.queue("downlinks.fifo"))

    def send(self, jobs: Sequence[tuple[DownlinkJob, str]]) -> list[bool]:
        return self._send(
            [
                {
                    # ASCII only, because SQS refuses some characters that JSON allows.
                    "MessageBody": json.dumps(job.to_json()),
                    # The group includes the connection: the waiting downlinks of a deactivated connection must not
                    # hold up another connection's downlinks to the same device.
                    "MessageGroupId": f"{job.tenant}.{job.connection_id}.{job.downlink['DevEUI']}",
                    "MessageDeduplicationId": deduplication_id,
                }
                for job, deduplication_id in jobs
            ]
        )

    def delay(self, receipts: Sequence[str], seconds: int) -> None:
        """Hide downlinks for ``seconds`` from now. Later downlinks of their groups wait, too."""
        self._set_visibility(receipts, seconds)


def _wake_entry(wake: Wake) -> dict[str, Any]:
    entry: dict[str, Any] = {"MessageBody": wake.model_dump_json(by_alias=True)}
    if wake.report:
        entry["MessageAttributes"] = {"report": {"DataType": "String", "StringValue": wake.report}}
    return entry


def uplink_queue_attributes(settings: Settings) -> dict[str, str]:
    """Return the attributes of a connection's queue, for CreateQueue."""
    kms = settings.kms_key_id
    return {
        "FifoQueue": "true",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "MessageRetentionPeriod": str(RETENTION),
        "MaximumMessageSize": str(1 << 20),
        "VisibilityTimeout": str(settings.timing.report_visibility),
        **({"KmsMasterKeyId": kms} if kms else {"SqsManagedSseEnabled": "true"}),
    }


class SqsUplinkQueues:
    """The connections' high-throughput FIFO queues with 14 days of retention (``ports.UplinkQueues``).

    The message group is the DevEUI. A redrive policy would break the order per device, so the queues have none.
    ``base_url`` returns the URL of any queue of this account, from which the URLs of the connections' queues follow.
    """

    def __init__(self, client: "SQSClient", settings: Settings, base_url: Callable[[], str]) -> None:
        self._client = client
        self._settings = settings
        self._base_url = base_url

    def _name(self, connection_id: str) -> str:
        return self._settings.queue(f"uplinks-{connection_id}.fifo")

    def _url(self, connection_id: str) -> str:
        return f"{self._base_url().rsplit('/', 1)[0]}/{self._name(connection_id)}"

    def create(self, connection_id: str) -> None:
        attributes = uplink_queue_attributes(self._settings)
        _call(self._client.create_queue, QueueName=self._name(connection_id), Attributes=attributes)

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
        driver: str | None = None,
        validity: str | None = None,
        summary: str | None = None,
    ) -> None:
        # None of these is in the body, which is the report itself and is read by the previous release, too.
        values = {
            "messageId": message_id,
            "format": report_format,
            "driver": driver,
            "validity": validity,
            "summary": summary,
        }
        attributes = {
            name: {"DataType": "String", "StringValue": value} for name, value in values.items() if value is not None
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

    def receive(self, connection_id: str, limit: int, wait: int = 0) -> list[ReceivedReport]:
        # With an attempt id, the SDK's retry after a lost answer receives the same messages.
        answer = _call(
            self._client.receive_message,
            QueueUrl=self._url(connection_id),
            MaxNumberOfMessages=min(limit, BATCH),
            WaitTimeSeconds=wait,
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
    summary = attributes.get("summary", {}).get("StringValue")
    if attributes.get("encoding", {}).get("StringValue") == "base64":
        # An undecodable body stays as it is, and becomes a failed message.
        try:
            body = base64.b64decode(body).decode()
        except ValueError:
            summary = None
    system = message["Attributes"]
    return ReceivedReport(
        receipt=message["ReceiptHandle"],
        message_id=attributes.get("messageId", {}).get("StringValue", message["MessageId"]),
        group=system["MessageGroupId"],
        body=body,
        sent_at=int(system["SentTimestamp"]) / 1000,
        attempts=int(system["ApproximateReceiveCount"]),
        format=attributes.get("format", {}).get("StringValue", DEFAULT_FORMAT),
        driver=attributes.get("driver", {}).get("StringValue"),
        validity=attributes.get("validity", {}).get("StringValue"),
        summary=summary,
    )


def _delete(client: "SQSClient", url: str, receipts: Sequence[str]) -> list[str]:
    """Delete messages with retries; return the receipts of those that could not be deleted."""
    left = list(receipts)
    for attempt in range(_DELETE_TRIES):
        if attempt:
            time.sleep(0.05 * 2**attempt)  # SQS asks for a back-off before a retry
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
            failed += [part[int(entry["Id"])] for entry in answer.get("Failed", []) if not _is_stale(entry)]
        left = failed
        if not left:
            break
    return left


def _is_stale(entry: dict[str, Any]) -> bool:
    # The receipt is stale because another process has received the message again and will settle it.
    return bool(entry.get("SenderFault")) and entry.get("Code") in _RECEIPT_GONE


def _set_visibility(client: "SQSClient", url: str, receipts: Sequence[str], seconds: int) -> None:
    """Set the visibility timeout. A failure is only logged, because the messages return when their timeout ends."""
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
