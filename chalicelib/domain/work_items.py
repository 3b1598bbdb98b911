"""Messages of the shared queues: wakes, poll jobs and downlink jobs.

A release reads the messages of the release before it and, after a rollback, those of the release after it. Reading
therefore ignores unknown fields, and a new field needs a default.
"""

import json
from typing import Annotated, Any

from pydantic import Field, ValidationError

from chalicelib.kernel.documents import StoredDocument

_REPLAY = ".replay."
_LONGEST_NAME, _REPLAY_ID = 80, 32
"""Characters of a name and of a replay's id, below the 128 of SQS together."""


class WakeReport(StoredDocument):
    """The report that caused a wake. ``accepted_at``: Unix seconds."""

    device: str | None = None
    frame_counter: int | None = None
    type: str | None = None
    accepted_at: float


class Wake(StoredDocument):
    """A request to the forwarder to drain the queue of one connection.

    - ``message_id``: the report that caused the wake; None if no single report did.
    - ``probe``: the epoch of an open breaker; the wake starts a probe while the epoch is unchanged.
    - ``helper``: the position of a helper drain in its chain, counted from 1; 0 for an ordinary drain.
    - ``report``: the JSON of the ``WakeReport``, for the message log, which few drains need. It travels as a message
      attribute, because release 0.1.0 drops a wake with a further field.
    """

    tenant: str
    connection_id: str
    message_id: str | None = None
    probe: int | None = None
    helper: int = 0
    report: Annotated[str | None, Field(exclude=True)] = None


class PollTarget(StoredDocument):
    """A connection to poll for downlinks."""

    tenant: str
    connection_id: str


class PollJob(StoredDocument):
    """A request to poll up to 200 connections for downlinks; ``sent_at`` is in Unix seconds."""

    sent_at: float
    targets: list[PollTarget]


class DownlinkJob(StoredDocument):
    """A validated downlink to send to the network server. It contains no key of an application server."""

    tenant: str
    connection_id: str
    downlink: dict[str, Any]
    """The fields of the ``DevEUI_downlink`` root without AS_KEY."""
    as_key_secret: str | None = None
    """The name in Secrets Manager of the AS key that the downlink contained."""
    received_at: float
    """Unix seconds."""
    deduplication_id: str = ""
    """The deduplication id of the SQS message; the statistics count waiting downlinks by it."""


def replayed_downlink(name: str, deduplication_id: str) -> str:
    """Return the SQS deduplication id of a replayed downlink, from which ``replayed_name`` reads ``name``."""
    return f"{name[:_LONGEST_NAME]}{_REPLAY}{deduplication_id[:_REPLAY_ID]}"


def replayed_name(deduplication_id: str) -> str:
    """Return the name of a replayed downlink in the message log, empty for other downlinks."""
    name, separator, _ = deduplication_id.partition(_REPLAY)
    return name if separator else ""


def read_wake(body: str, report: str = "") -> Wake | None:
    """Return the wake in a message, None if it is unreadable. ``report``: the message attribute of that name.

    If only tenant and connection are readable, return their wake without a report.
    """
    try:
        wake = Wake.model_validate_json(body)
    except ValidationError:
        target = read_target(body)
        return None if target is None else Wake(tenant=target.tenant, connection_id=target.connection_id)
    # It needs no validation, and a copy of the wake would take as long as all the rest: a batch has 1,000 wakes.
    vars(wake)["report"] = report or None
    return wake


def report_of_wake(wake: Wake) -> WakeReport | None:
    """Return the report that caused a wake, None if none did or if a later release wrote it."""
    try:
        return WakeReport.model_validate_json(wake.report) if wake.report else None
    except ValidationError:
        # Only the message log misses it.
        return None


def read_target(body: str) -> PollTarget | None:
    """Return the tenant and the connection that a message names, None if they are unreadable."""
    try:
        return PollTarget.model_validate_json(body)
    except ValidationError:
        return None


def readable_fields(body: str) -> dict[str, Any]:
    """Return the fields of an otherwise unreadable message, none if it is not a JSON object."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
