"""Entries of the message log: one for each step of a message on its way through a connection."""

import hashlib
import json
import re
from enum import StrEnum
from typing import NamedTuple

from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.kernel.times import parse_time

_DIGEST = re.compile(r"[0-9a-f]{64}")
_REFERENCE = 12
MAX_DETAIL = 300
"""Maximum length of an entry's detail in characters, because a drain writes one entry for each report."""


class Step(StrEnum):
    """Steps of a message. The value is stored.

    - ``ACCEPTED``: stored in the connection's queue. The log has no entry for it; each entry has its time.
    - ``WAITING``: a forwarder found the breaker open and left the message in its queue.
    - ``ATTEMPTED``: the broker or the network server did not confirm the message; it is tried again.
    - ``DELIVERED``, ``FAILED`` and ``LOST`` end the way, unless a failed message is ``REPLAYED``.
    """

    ACCEPTED = "accepted"
    WAITING = "waiting"
    ATTEMPTED = "attempted"
    DELIVERED = "delivered"
    FAILED = "failed"
    LOST = "lost"
    REPLAYED = "replayed"


class LogEntry(NamedTuple):
    """One step of one message.

    ``reference``: the message, see ``reference_of``. ``time`` and ``accepted_at``: Unix seconds; a replay begins a new
    acceptance. ``attempts``: receives from the queue up to this step, 0 before the first. ``reason`` and ``detail``:
    of an attempt, a failure or a wait, such as the broker's own sentence. ``failed_id``: the failed message's id.
    """

    reference: str
    step: Step
    time: float
    accepted_at: float
    direction: Direction = Direction.UPLINK
    dev_eui: str | None = None
    frame_counter: int | None = None
    attempts: int = 0
    type: str | None = None
    """The report's root, such as ``DevEUI_uplink``."""
    routing_key: str | None = None
    reason: str | None = None
    detail: str | None = None
    failed_id: str | None = None


def reference_of(name: str) -> str:
    """Return the reference of the message with an AMQP message id or a deduplication id: 12 hexadecimal digits.

    The AMQP message id of a report is a SHA-256, which begins with its reference.
    """
    digest = name if _DIGEST.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()
    return digest[:_REFERENCE]


def failed_entry(message: FailedMessage, accepted_at: float | None = None) -> LogEntry:
    """Return the entry of a failed message of either direction. ``accepted_at``: Unix seconds, if known."""
    failed_at = parse_time(message.time) or 0.0
    return LogEntry(
        reference=reference_of(message.message_id or message.id),
        step=Step.FAILED,
        time=failed_at,
        accepted_at=failed_at if accepted_at is None else accepted_at,
        direction=message.direction,
        dev_eui=message.dev_eui,
        frame_counter=_frame_counter(message.body),
        attempts=message.attempts,
        routing_key=message.routing_key,
        reason=message.reason,
        detail=message.detail,
        failed_id=message.id,
    )


def _frame_counter(body: str) -> int | None:
    """Return the ``FCntUp`` of a failed uplink, None if the body has none or was truncated."""
    try:
        [fields] = json.loads(body).values()
        counter = fields.get("FCntUp")
    except (ValueError, AttributeError):
        return None
    return counter if isinstance(counter, int) and not isinstance(counter, bool) else None


def replayed_entry(message: FailedMessage, now: float) -> LogEntry:
    """Return the entry of a failed message that was put back into its queue at ``now`` (Unix seconds)."""
    failed = failed_entry(message)
    return failed._replace(step=Step.REPLAYED, time=now, attempts=0, reason=None, detail=None)
