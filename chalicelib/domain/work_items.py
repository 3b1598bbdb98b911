"""Messages of the shared queues: wakes, poll jobs and downlink jobs."""

from typing import Any

from chalicelib.kernel.documents import Document


class Wake(Document):
    """A request to the forwarder to drain the queue of one connection.

    - ``message_id``: the report that caused the wake; None if no single report did.
    - ``probe``: the epoch of an open breaker; the wake starts a probe while the epoch is unchanged.
    - ``helper``: the position of a helper drain in its chain, counted from 1; 0 for an ordinary drain.
    """

    tenant: str
    connection_id: str
    message_id: str | None = None
    probe: int | None = None
    helper: int = 0


class PollTarget(Document):
    """A connection to poll for downlinks."""

    tenant: str
    connection_id: str


class PollJob(Document):
    """A request to poll up to 50 connections for downlinks; ``sent_at`` is in Unix seconds."""

    sent_at: float
    targets: list[PollTarget]


class DownlinkJob(Document):
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
