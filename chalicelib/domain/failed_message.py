"""Messages that failed for good."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from chalicelib.domain.report import DEFAULT_FORMAT
from chalicelib.kernel.documents import Document
from chalicelib.vocabulary import FailureReason


class Direction(StrEnum):
    """Direction of a message."""

    UPLINK = "uplink"
    DOWNLINK = "downlink"


class FailedMessage(Document):
    """A message that failed for good, with the reason and the body."""

    id: str
    time: str
    direction: Direction
    status: Literal["failed"] = "failed"
    reason: FailureReason
    detail: str
    dev_eui: Annotated[str | None, Field(alias="devEUI")] = None
    routing_key: str | None = None
    attempts: int = 1
    body: str
    message_id: Annotated[str, Field(exclude=True)] = ""
    """The AMQP ``message_id``, which a replay keeps."""
    report_format: Annotated[SkipJsonSchema[str], Field(exclude=True)] = DEFAULT_FORMAT
    """The report format of ``body``."""
    as_key_secret: Annotated[str | None, Field(exclude=True)] = None
    """Secrets Manager's name of the AS key that came with a downlink."""


class MessageStatus(StrEnum):
    """Status of a listed message. Queued messages are not listed, because SQS cannot list them."""

    FAILED = "failed"
