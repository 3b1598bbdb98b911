"""Receiving a chunk of reports from a connection's queue."""

from dataclasses import dataclass

from chalicelib.errors import Unavailable
from chalicelib.ports.queues import BATCH, ReceivedReport
from chalicelib.uplinks.drain_context import DrainContext

CHUNK_REPORTS = 100
CHUNK_BYTES = 4 << 20
"""Limits of a chunk: a hundred reports, or this number of bytes (a report may have 256 KB)."""


@dataclass(frozen=True)
class Chunk:
    """Received reports. ``failed``: a receive failed after these, so more may be in flight."""

    reports: list[ReceivedReport]
    failed: bool = False

    @property
    def full(self) -> bool:
        """Whether the chunk reached a limit."""
        size = sum(len(report.body) for report in self.reports)
        return len(self.reports) >= CHUNK_REPORTS or size >= CHUNK_BYTES


def receive_chunk(context: DrainContext, connection_id: str, stop_at: float) -> Chunk:
    """Receive until the chunk is full or the queue returns less than a batch. ``stop_at``: time.monotonic().

    Raises Unavailable when the first receive fails.
    """
    held: list[ReceivedReport] = []
    began = context.monotonic()
    # A slow queue is read in smaller parts, so that enough time remains to publish.
    until = began + max(0.0, stop_at - began) / 2
    while not Chunk(held).full and (not held or context.monotonic() < until):
        try:
            received = context.queues.receive(connection_id, CHUNK_REPORTS - len(held))
        except Unavailable:
            if not held:
                raise
            return Chunk(held, failed=True)
        held += received
        if len(received) < BATCH:
            break
    return Chunk(held)
