"""Events of the event log."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from chalicelib.kernel.documents import Document
from chalicelib.vocabulary import EventType


class Level(StrEnum):
    """Severity of an event."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(Document):
    """An entry of the event log."""

    id: str
    time: str
    level: Level
    type: EventType
    connection_id: str | None = None
    message: str
    details: dict[str, Any] = Field(default={})
