"""A queue with its attributes, and SQS's checks before a message reaches the engine."""

import hashlib
import re
import time
from typing import Any

from infra.local.sqs import engine
from infra.local.sqs.answers import Received, Sent
from infra.local.sqs.attempts import ReceiveAttempts
from infra.local.sqs.engine import Engine

ACCOUNT = "123456789012"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
_IDENTIFIER = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")
_FORBIDDEN_CHARACTER = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LARGEST_BATCH = 10
_LONGEST_WAIT = 20
_LONGEST_DELAY = 900
_LONGEST_VISIBILITY = 43200

_DEFAULTS = {
    "VisibilityTimeout": "30",
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
}
_FIFO_DEFAULTS = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}
_RANGES = {
    "VisibilityTimeout": (0, _LONGEST_VISIBILITY),
    "DelaySeconds": (0, _LONGEST_DELAY),
    "MaximumMessageSize": (1024, 1048576),
    "MessageRetentionPeriod": (60, 1209600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "KmsDataKeyReusePeriodSeconds": (60, 86400),
}
_OTHERS = {"Policy", "KmsMasterKeyId", "RedriveAllowPolicy"}
_READ_ONLY = {
    "All",
    "QueueArn",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "RedrivePolicy",
}


class ApiError(Exception):
    """An error of the API with its shape and message."""

    _QUERY_CODES = {  # noqa: RUF012  # a constant
        "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
        "QueueNameExists": "QueueAlreadyExists",
        "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
        "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
        "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
        "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    }

    def __init__(self, shape: str, message: str) -> None:
        super().__init__(message)
        self.shape = shape

    @property
    def query_code(self) -> str:
        """The code of the older query protocol, which botocore shows."""
        return self._QUERY_CODES.get(self.shape, self.shape)


class Queue:
    """A queue of the API. Its methods raise ApiError where AWS answers with an error."""

    def __init__(self, name: str, region: str, attributes: dict[str, str], tags: dict[str, str]) -> None:
        self.name = name
        self.tags = dict(tags)
        self.arn = f"arn:aws:sqs:{region}:{ACCOUNT}:{name}"
        self.fifo = str(attributes.get("FifoQueue", "false")).lower() == "true"
        if not _NAME.fullmatch(name) or self.fifo != name.endswith(".fifo"):
            raise ApiError(
                "InvalidParameterValue",
                "A name is 1 to 80 letters, digits, hyphens and underscores; a FIFO queue's ends in .fifo.",
            )
        self._created_at = self._modified_at = int(time.time())
        self._attributes = _DEFAULTS | (_FIFO_DEFAULTS if self.fifo else {})
        self.engine = Engine(fifo=self.fifo)
        self._attempts = ReceiveAttempts(self.engine)
        self.configure(attributes)

    @property
    def visibility(self) -> float:
        return float(self._attributes["VisibilityTimeout"])

    @property
    def wait(self) -> int:
        return int(self._attributes["ReceiveMessageWaitTimeSeconds"])

    def configure(self, attributes: dict[str, str]) -> None:
        """Sets the given attributes and keeps all others."""
        for name, value in attributes.items():
            self._check_attribute(name, str(value))
        self._attributes |= {name: str(value) for name, value in attributes.items() if value != ""}
        self._modified_at = int(time.time())
        self.engine.retention = float(self._attributes["MessageRetentionPeriod"])
        self.engine.deduplicate_per_group = self._attributes.get("DeduplicationScope") == "messageGroup"

    def _check_attribute(self, name: str, value: str) -> None:
        if name == "RedrivePolicy" and value:
            raise ApiError("UnsupportedOperation", "Redrive policies are not emulated.")
        known = name in _DEFAULTS or name in _RANGES or name in _OTHERS or name == "RedrivePolicy"
        if not known and not (self.fifo and name in _FIFO_DEFAULTS):
            raise ApiError("InvalidAttributeName", f"Unknown Attribute {name}.")
        if name in _RANGES:
            low, high = _RANGES[name]
            if not value.isdigit() or not low <= int(value) <= high:
                raise ApiError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")

    def has(self, attributes: dict[str, str]) -> bool:
        """True when all given attributes have the queue's values."""
        return all(str(self._attributes.get(name, "")) == str(value) for name, value in attributes.items())

    def describe(self, names: list[str]) -> dict[str, str]:
        """The requested attributes, all of them for ``All``."""
        unknown = next(
            (n for n in names if n not in _DEFAULTS | _FIFO_DEFAULTS | _RANGES and n not in _OTHERS | _READ_ONLY), None
        )
        if unknown is not None:
            raise ApiError("InvalidAttributeName", f"Unknown Attribute {unknown}.")
        counts = self.engine.counts()
        everything = self._attributes | {
            "QueueArn": self.arn,
            "CreatedTimestamp": str(self._created_at),
            "LastModifiedTimestamp": str(self._modified_at),
            "ApproximateNumberOfMessages": str(counts.visible),
            "ApproximateNumberOfMessagesNotVisible": str(counts.not_visible),
            "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
        }
        return {name: value for name, value in everything.items() if name in names or "All" in names}

    def send(self, request: dict[str, Any]) -> Sent:
        """Checks and stores one message or one entry of a batch."""
        body = request.get("MessageBody") or ""
        attributes = request.get("MessageAttributes") or {}
        group, deduplication = request.get("MessageGroupId"), request.get("MessageDeduplicationId")
        self._check_body(body, attributes)
        for name, identifier in (("MessageGroupId", group), ("MessageDeduplicationId", deduplication)):
            if identifier is not None and not _IDENTIFIER.fullmatch(identifier):
                raise ApiError(
                    "InvalidParameterValue",
                    f"{name} can only include alphanumeric and punctuation characters, 1 to 128.",
                )
        delay = int(
            self._attributes["DelaySeconds"] if request.get("DelaySeconds") is None else request["DelaySeconds"]
        )
        if not 0 <= delay <= _LONGEST_DELAY:
            raise ApiError("InvalidParameterValue", "DelaySeconds must be >= 0 and <= 900.")
        if self.fifo:
            deduplication = self._check_fifo(request, body, group, deduplication)
        elif deduplication is not None:
            raise ApiError("InvalidParameterValue", "MessageDeduplicationId is not valid for this queue type.")
        return self.engine.send(body, group=group, deduplication_id=deduplication, delay=delay, attributes=attributes)

    def _check_body(self, body: str, attributes: dict[str, Any]) -> None:
        if not body:
            raise ApiError("MissingParameter", "The request must contain the parameter MessageBody.")
        if _FORBIDDEN_CHARACTER.search(body):
            raise ApiError("InvalidMessageContents", "Invalid characters found in the message body.")
        size = len(body.encode()) + sum(
            len(name) + len(value["DataType"]) + len(value.get("StringValue") or value.get("BinaryValue") or "")
            for name, value in attributes.items()
        )
        if size > int(self._attributes["MaximumMessageSize"]):
            raise ApiError(
                "InvalidParameterValue",
                "One or more parameters are invalid. Reason: Message must be shorter than "
                f"{self._attributes['MaximumMessageSize']} bytes.",
            )

    def _check_fifo(self, request: dict[str, Any], body: str, group: str | None, deduplication: str | None) -> str:
        if request.get("DelaySeconds"):
            raise ApiError("InvalidParameterValue", "DelaySeconds is not valid for this queue type.")
        if group is None:
            raise ApiError("MissingParameter", "The request must contain the parameter MessageGroupId.")
        if deduplication is not None:
            return deduplication
        if self._attributes["ContentBasedDeduplication"].lower() != "true":
            raise ApiError(
                "InvalidParameterValue",
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
                "explicitly",
            )
        return hashlib.sha256(body.encode()).hexdigest()

    def receive(self, request: dict[str, Any]) -> list[Received]:
        """Receives messages. A FIFO queue answers a repeated attempt with the messages of the first one."""
        count = int(request.get("MaxNumberOfMessages") or 1)
        wait = int(request["WaitTimeSeconds"]) if "WaitTimeSeconds" in request else self.wait
        if not 1 <= count <= LARGEST_BATCH or not 0 <= wait <= _LONGEST_WAIT:
            raise ApiError("InvalidParameterValue", "MaxNumberOfMessages is 1 to 10 and WaitTimeSeconds 0 to 20.")
        visibility = float(request["VisibilityTimeout"]) if "VisibilityTimeout" in request else self.visibility
        attempt = request.get("ReceiveRequestAttemptId")
        if attempt is None or not self.fifo:
            return self.engine.receive(count, visibility=visibility, wait=wait)
        return self._attempts.receive(attempt, count, visibility=visibility, wait=wait)

    def delete(self, receipt_handle: str) -> None:
        try:
            self.engine.delete(receipt_handle)
        except engine.ReceiptHandleInvalid as error:
            raise ApiError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.") from error
        except engine.ReceiptHandleExpired as error:
            raise _expired(receipt_handle) from error

    def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        if not 0 <= seconds <= _LONGEST_VISIBILITY:
            raise ApiError("InvalidParameterValue", "VisibilityTimeout is 0 to 43200.")
        try:
            self.engine.change_visibility(receipt_handle, seconds)
        except engine.ReceiptHandleInvalid as error:
            raise ApiError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.") from error
        except engine.ReceiptHandleExpired as error:
            if self.fifo:
                raise _expired(receipt_handle) from error
            raise ApiError("MessageNotInflight", "The message referred to isn't in flight.") from error
        except engine.MessageGone as error:
            raise ApiError(
                "InvalidParameterValue",
                "Reason: Message does not exist or is not available for visibility timeout change.",
            ) from error
        except engine.VisibilityTooLong as error:
            raise ApiError(
                "InvalidParameterValue", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
            ) from error


def _expired(receipt_handle: str) -> ApiError:
    return ApiError(
        "InvalidParameterValue",
        f"Value {receipt_handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
    )
