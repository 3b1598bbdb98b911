"""Coordination between functions: leases, claims, rate limits and the ledger of sent downlinks."""

from typing import Protocol


class DownlinkLedger(Protocol):
    """Records which downlinks the network server accepted, so that a crash repeats a call at most once."""

    def was_sent(self, message_id: str) -> bool:
        """Return whether the downlink was recorded."""

    def record(self, message_id: str) -> None:
        """Record the downlink as sent."""


class Leases(Protocol):
    """Restricts each connection to one consumer."""

    def acquire(self, connection_id: str, owner: str) -> bool:
        """Acquire or renew the lease; return False while another owner holds it."""

    def release(self, connection_id: str, owner: str) -> None:
        """Release the lease if ``owner`` holds it."""


class Claims(Protocol):
    """Records with an end, each written by the first caller only: for notices that are given once."""

    def held(self, key: str) -> bool:
        """Return whether an unexpired claim exists."""

    def claim(self, key: str, until: float) -> bool:
        """Create a claim that lasts until ``until`` (Unix seconds); return False when one exists already."""


class RateLimits(Protocol):
    """Counts costly calls of a tenant."""

    def acquire(self, tenant: str, kind: str, limit: int) -> None:
        """Count one call of a kind. Raises TooManyRequests when the tenant made ``limit`` of them this minute."""
