"""Coordination between functions: leases, claims, rate limits and the ledger of sent downlinks."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class DownlinkLedger(Protocol):
    """Records which downlinks the network server accepted, so that a crash repeats a call at most once."""

    def was_sent(self, message_id: str) -> bool:
        """Return whether the downlink was recorded."""

    def record(self, message_id: str) -> None:
        """Record the downlink as sent."""


class ParkedReceipts(Protocol):
    """Receipts of downlinks that SQS hides until their connection is active again."""

    def park(self, tenant: str, connection_id: str, name: str, receipts: Sequence[str]) -> None:
        """Record the receipts of a device's downlinks under the deduplication id of the first. Raises Unavailable."""

    def receipts(self, tenant: str, connection_id: str) -> list[str]:
        """Return the receipts of the connection's downlinks. Raises Unavailable."""


@dataclass(frozen=True)
class LeaseHolder:
    """A poll that holds or wants a lease. Times are Unix seconds; they are 0 in a lease of an earlier release."""

    owner: str
    began: float = 0.0
    """The start of the poll."""
    renews_at: float = 0.0
    """The time of its next renewal, at which it notices that another poll asked for the lease."""


class LeaseAnswer(StrEnum):
    """Results of acquiring or renewing a lease."""

    REFUSED = "REFUSED"
    """Another owner holds the lease."""
    HELD = "HELD"
    ASKED_FOR = "ASKED_FOR"
    """The owner holds the lease, and another poll asked for it since the last renewal."""


class Leases(Protocol):
    """Restricts each connection to one consumer."""

    def acquire(self, connection_id: str, holder: LeaseHolder) -> LeaseAnswer:
        """Acquire the lease, or renew it if its owner is ``holder.owner``."""

    def holder(self, connection_id: str) -> LeaseHolder | None:
        """Return the holder of the lease, or None if the lease is free or expired."""

    def ask(self, connection_id: str, owner: str) -> None:
        """Ask ``owner`` for its lease: its next renewal answers ASKED_FOR. Ignored if another owner holds the lease."""

    def release(self, connection_id: str, owner: str) -> None:
        """Release the lease if ``owner`` holds it."""


class Slots(Protocol):
    """Limits how many owners hold a key at the same time. A hold ends by itself."""

    def take(self, key: str, owner: str, limit: int, seconds: float) -> list[str] | None:
        """Take or renew a hold for ``seconds``; return the other holders, or None if there are ``limit`` of them."""

    def give_back(self, key: str, owner: str) -> None:
        """End the owner's hold, if it has one."""

    def in_use(self, key: str) -> bool:
        """Return whether anyone holds the key. Raises Unavailable."""


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
