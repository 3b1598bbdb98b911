"""Bodies of the shared queues: wakes, poll jobs and downlinks."""

from typing import Any

from chalicelib.kernel.documents import Document


class Wake(Document):
    """Names a connection with something to send. ``message_id``: the report it was sent for; none from the
    reconciler. ``probe``: the breaker's epoch that this attempt is for. ``helper``: sent by a drain that found a
    backlog, as the nth beside it."""

    tenant: str
    connection_id: str
    message_id: str | None = None
    probe: int | None = None
    helper: int = 0


class PollTarget(Document):
    """A connection in a poll job."""

    tenant: str
    connection_id: str


class PollJob(Document):
    """Up to 50 connections whose downlinks are to be consumed; ``sent_at`` in Unix seconds."""

    sent_at: float
    targets: list[PollTarget]


class DownlinkJob(Document):
    """A validated downlink on its way to the network server; no key of an application server is in it."""

    tenant: str
    connection_id: str
    downlink: dict[str, Any]
    """The fields inside the ``DevEUI_downlink`` root, AS_KEY removed."""
    as_key_secret: str | None = None
    """Secrets Manager's name of the AS key that came with the downlink."""
    received_at: float
    deduplication_id: str = ""
    """The one that SQS was given, by which it is counted as waiting."""
