"""Values that the engine of a queue returns."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sent:
    message_id: str
    sequence_number: str


@dataclass(frozen=True)
class Received:
    message_id: str
    receipt_handle: str
    body: str
    group: str | None
    deduplication_id: str | None
    sequence_number: str
    attributes: dict[str, Any]
    sent_at: float
    first_received_at: float
    receive_count: int


@dataclass(frozen=True)
class Counts:
    visible: int
    not_visible: int
    delayed: int
