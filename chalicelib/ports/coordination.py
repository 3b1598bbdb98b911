"""Coordination between functions: leases, claims, rate limits and the ledger of sent downlinks."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
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
class Hold:
    """The poll that holds a connection, and its start in Unix seconds."""

    owner: str
    began: float = 0.0
    """0 in a hold of the first release."""
    renews_at: float | None = None
    """Unix seconds at which a poll of an earlier release renews this hold; None if the poll's own lease decides."""


@dataclass(frozen=True)
class PollLease:
    """The lease of a poll that runs. ``renews_at`` is the Unix time of its next renewal."""

    renews_at: float
    released: frozenset[str]
    """The connections that the poll has closed, so that others may take them."""


class Leases(Protocol):
    """Restricts each connection to one consumer.

    A poll has one lease, which it renews; a connection has a hold, which names its poll. A hold lasts until the poll
    releases the connection or the poll's lease ends. Every method raises Unavailable.
    """

    def begin(self, owner: str, renews_at: float) -> None:
        """Create the lease of a poll, which must come before its first hold."""

    def renew(self, owner: str, renews_at: float, held: Collection[str]) -> frozenset[str] | None:
        """Renew the lease; return those of the ``held`` connections that others asked for, None if the lease ended."""

    def lease(self, owner: str, wanted: Collection[str]) -> PollLease | None:
        """Return another poll's lease, with the ``wanted`` connections that it released; None if it ended.

        An expired lease is ended by this call, so that its owner cannot renew it any more.
        """

    def ask(self, owner: str, wanted: Collection[str]) -> None:
        """Ask a poll for connections, which its next renewal returns. Ignored if its lease ended."""

    def release(self, owner: str, closed: Collection[str]) -> None:
        """Let others take these connections. Ignored if the lease ended."""

    def end(self, owner: str) -> None:
        """End the lease, and so the holds of all connections."""

    def holds(self, connection_ids: Collection[str]) -> dict[str, Hold]:
        """Return the holds of these connections. A hold may be left of a poll whose lease ended."""

    def take(self, connection_id: str, hold: Hold, before: str | None) -> bool:
        """Write a hold if there is none, or that of the poll ``before``; return whether it is written."""

    def ask_earlier_release(self, connection_id: str, owner: str) -> None:
        """Ask a poll of an earlier release for a connection: it releases it at its next renewal."""


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
