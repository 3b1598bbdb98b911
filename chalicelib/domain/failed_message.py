"""Failed messages: reports and downlinks that are not retried."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from chalicelib.domain.report import DEFAULT_FORMAT
from chalicelib.kernel.documents import Document
from chalicelib.vocabulary import FailureReason


class Direction(StrEnum):
    """The direction of a message: from a device (uplink) or to a device (downlink)."""

    UPLINK = "uplink"
    DOWNLINK = "downlink"


class FailedMessage(Document):
    """A message that is not retried, with the failure reason and the body."""

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
    """The AMQP ``message_id``; a replay reuses it."""
    report_format: Annotated[SkipJsonSchema[str], Field(exclude=True)] = DEFAULT_FORMAT
    """The report format of ``body``."""
    as_key_secret: Annotated[str | None, Field(exclude=True)] = None
    """The name in Secrets Manager of the AS key that a downlink contained."""
    driver: Annotated[SkipJsonSchema[str | None], Field(exclude=True)] = None
    """The driver of the flow that chose a report; a replay keeps it."""
    validity: Annotated[SkipJsonSchema[str | None], Field(exclude=True)] = None
    """The ``uplinkTimeValidity`` of the flow that chose a report; a replay keeps it."""


class MessageStatus(StrEnum):
    """The status of a listed message. Queued messages cannot be listed, because SQS cannot be queried."""

    FAILED = "failed"
