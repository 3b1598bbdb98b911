"""The history of one message, built from its entries in the message log."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from chalicelib.domain.failed_message import Direction, FailedMessage
from chalicelib.domain.messages.entries import LogEntry, Step
from chalicelib.kernel.documents import Document
from chalicelib.kernel.times import iso_time


class TraceStatus(StrEnum):
    """The status of a message: it waits in its queue, or its way has ended."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    LOST = "lost"


class TraceStep(Document):
    """One step of a message on its way, with the time of its end."""

    time: str
    step: Step
    attempts: int | None = Field(default=None, description="receives from the queue up to this step")
    routing_key: str | None = None
    reason: str | None = Field(default=None, description="the failure reason, or the kind of fault of an attempt")
    detail: str | None = Field(default=None, description="the sentence of the broker or of the network server")


class TracedMessage(Document):
    """A message of the last 60 days and its history.

    ``failedId`` is the id of the failed message while it is kept, with which it can be read and replayed.
    """

    id: str
    connection_id: str
    direction: Direction
    status: TraceStatus
    type: str | None
    dev_eui: Annotated[str | None, Field(alias="devEUI")]
    f_cnt_up: int | None
    accepted_at: str
    time: str = Field(description="the time of the last step")
    routing_key: str | None
    attempts: int
    reason: str | None
    detail: str | None
    failed_id: str | None
    steps: list[TraceStep]


_ENDS = {
    Step.DELIVERED: TraceStatus.DELIVERED,
    Step.FAILED: TraceStatus.FAILED,
    Step.LOST: TraceStatus.LOST,
    Step.REPLAYED: TraceStatus.WAITING,
}


def in_order(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """Return a message's entries by time, without repeats of a wait for the same cause.

    A wake that is delivered again notes a wait, even after its report was delivered.
    """
    ordered: list[LogEntry] = []
    for entry in sorted(set(entries), key=lambda each: each.time):
        if entry.step is Step.WAITING:
            before = ordered[-1] if ordered else None
            ended = before is not None and before.step in {Step.DELIVERED, Step.FAILED, Step.LOST}
            repeated = before is not None and before.step is Step.WAITING and before.detail == entry.detail
            if ended or repeated:
                continue
        ordered.append(entry)
    return ordered


def status_of(ordered: Sequence[LogEntry]) -> TraceStatus:
    """Return the status after the last of some entries, in order."""
    status = TraceStatus.WAITING
    for entry in ordered:
        status = _ENDS.get(entry.step, status)
    return status


def trace(connection_id: str, ordered: Sequence[LogEntry], failed: FailedMessage | None) -> TracedMessage:
    """Return the message of its entries, in order. ``failed``: the failed message if it is kept."""
    last = ordered[-1]
    accepted_at = min(entry.accepted_at for entry in ordered)
    status = status_of(ordered)
    return TracedMessage(
        id=f"{connection_id}-{last.reference}",
        connection_id=connection_id,
        direction=last.direction,
        status=status,
        type=_last(ordered, "type"),
        dev_eui=_last(ordered, "dev_eui"),
        f_cnt_up=_last(ordered, "frame_counter"),
        accepted_at=iso_time(accepted_at),
        time=iso_time(last.time),
        routing_key=_last(ordered, "routing_key"),
        attempts=max(entry.attempts for entry in ordered),
        reason=None if status is TraceStatus.DELIVERED else _last(ordered, "reason"),
        detail=None if status is TraceStatus.DELIVERED else _last(ordered, "detail"),
        failed_id=failed.id if failed is not None else None,
        steps=[TraceStep(time=iso_time(accepted_at), step=Step.ACCEPTED), *map(_step, ordered)],
    )


def _last(ordered: Sequence[LogEntry], name: str) -> object:
    return next((value for entry in reversed(ordered) if (value := getattr(entry, name)) is not None), None)


def _step(entry: LogEntry) -> TraceStep:
    return TraceStep(
        time=iso_time(entry.time),
        step=entry.step,
        attempts=entry.attempts or None,
        routing_key=entry.routing_key,
        reason=entry.reason,
        detail=entry.detail,
    )
