"""Events: entries of a tenant's event log."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from chalicelib.kernel.documents import Document
from chalicelib.vocabulary import EventType


class Level(StrEnum):
    """The severity of an event."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(Document):
    """An entry of a tenant's event log.

    ``message`` is a sentence with the failure and its remedy. ``details`` depends on ``type``. ``connectionId`` is
    null if the event does not concern a single connection.
    """

    id: str
    time: str
    level: Level
    type: EventType
    connection_id: str | None = None
    message: str
    details: dict[str, Any] = Field(default={})
