"""Entries of the message log for downlinks."""

from typing import Any

from chalicelib.domain.failed_message import Direction
from chalicelib.domain.messages.entries import LogEntry, Step, reference_of
from chalicelib.domain.work_items import DownlinkJob, replayed_name
from chalicelib.ports.queues import QueueRecord


def name_of(job: DownlinkJob, record: QueueRecord) -> str:
    """Return the name of a downlink in the message log. A replay keeps it."""
    return replayed_name(record.deduplication_id) or job.deduplication_id or record.message_id


def entry_of(job: DownlinkJob, record: QueueRecord, step: Step, now: float, **fields: Any) -> LogEntry:
    """Return the entry of a step of a downlink at ``now`` (Unix seconds). ``fields``: further ones of the entry."""
    return LogEntry(
        reference=reference_of(name_of(job, record)),
        step=step,
        time=now,
        accepted_at=job.received_at,
        direction=Direction.DOWNLINK,
        dev_eui=job.downlink.get("DevEUI"),
        attempts=record.attempts,
        type="DevEUI_downlink",
        **fields,
    )
