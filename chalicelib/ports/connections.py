"""Connections in DynamoDB, one protocol for each reader.

Every write is conditional; reads are strongly consistent unless a method says otherwise.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from chalicelib.domain.connection import Connection
from chalicelib.domain.overview.entry import Entry


class ConnectionReader(Protocol):
    """Reads one connection."""

    def get(self, tenant: str, connection_id: str) -> Connection:
        """Return the connection. Raises NotFound, or Unreadable if its record has a fault."""


class ActiveConnections(ConnectionReader, Protocol):
    """The connections that ingress stores reports for."""

    def generation(self, tenant: str) -> int:
        """Return a number that changes whenever a connection of the tenant is created, replaced or deleted."""

    def of_tenant(self, tenant: str) -> list[Connection]:
        """Return all connections of the tenant, newest first, also those with a fault."""


class ConnectionEntries(Protocol):
    """Reads compact entries of a tenant's connections, and the records of some."""

    def entries(self, tenant: str) -> list[Entry]:
        """Return the entries of all connections, in no order; the read is eventually consistent."""

    def records(self, tenant: str, ids: Sequence[str]) -> list[Connection]:
        """Return the existing connections among ``ids`` (at most 100), in their order, also those with a fault."""


class BreakerStore(ConnectionReader, Protocol):
    """Writes a connection's breaker and its pending wake-up."""

    def update_breaker(self, connection: Connection, expected_epoch: int, *, restart: bool = False) -> bool:
        """Write the breaker's fields and the pending wake-up together. ``restart``: also the downlinks' state.

        Returns False, and writes nothing, when the stored epoch is another.
        """

    def mark_fast(self, connection: Connection, now: float) -> None:
        """Move the connection to the fast lane. Ignored when the stored epoch is another."""

    def mark_slow(self, tenant: str, connection_id: str) -> None:
        """Move the connection to the slow lane. Ignored when it is there, or deleted."""

    def set_pending_wake(self, tenant: str, connection_id: str, wake_at: float, token: str) -> None:
        """Ask the reconciler to send a wake after ``wake_at`` (Unix seconds). Ignored for a deleted connection."""


class PolledConnections(BreakerStore, Protocol):
    """The connections whose downlinks a poll consumes."""

    def generations(self, tenants: Collection[str]) -> Mapping[str, int]:
        """Return the tenants' generations, 0 for an unknown one, from eventually consistent reads at half the price."""

    def update_downlinks(self, connection: Connection, expected_failures: int) -> bool:
        """Write the downlinks' state.

        Returns False, and writes nothing, when the stored version or ``downlink_failures`` is another.
        """

    def forget_old_bindings(self, connection: Connection) -> None:
        """Clear ``old_bindings`` after the broker removed them. Ignored when the stored version is another."""


class DueConnections(Protocol):
    """The connections that the reconciler works on. All iterators page and skip connections with a fault."""

    def pending_wakes_due(self, now: float) -> Iterable[Connection]:
        """Yield connections whose pending wake-up is due."""

    def probes_due(self, now: float) -> Iterable[Connection]:
        """Yield connections whose next connection attempt is due."""

    def all_active(self) -> Iterable[Connection]:
        """Yield every active connection of every tenant; the read is eventually consistent."""

    def clear_pending_wake(self, tenant: str, connection_id: str, token: str) -> None:
        """Remove the pending wake-up if its token is still ``token``."""

    def postpone_probe(self, connection: Connection, probe_at: float) -> None:
        """Move the next attempt to ``probe_at`` if the stored epoch is still that of ``connection``."""


class ManagedConnections(BreakerStore, Protocol):
    """Connections as their owners create, change and delete them."""

    def reserve(self, tenant: str, connection_id: str, limit: int) -> None:
        """Record that a connection's secret and queue are about to be created. Raises Conflict at the limit."""

    def create(self, connection: Connection, limit: int) -> None:
        """Write a new connection. Raises Conflict when the tenant already has ``limit`` connections."""

    def find(self, tenant: str, connection_id: str) -> Connection:
        """Return the connection, even if it has a fault. Raises NotFound."""

    def replace(
        self, connection: Connection, expected_version: int, *, reset: bool = False, whole: bool = False
    ) -> None:
        """Write the fields that the API changes.

        ``reset``: also write the state of both directions and increment the epoch; otherwise they stay as stored.
        ``whole``: write every field, to replace a record with a fault. Raises PreconditionFailed when the stored
        version is another, NotFound when the connection is gone.
        """

    def delete(self, tenant: str, connection_id: str, version: int | None = None) -> None:
        """Delete the record, only that version if one is given. Raises NotFound, PreconditionFailed."""

    def newest_first(self, tenant: str, before: str | None = None) -> Iterator[Connection]:
        """Yield the tenant's connections that are older than the id ``before``, also those with a fault."""

    def is_pending(self, tenant: str, connection_id: str) -> bool:
        """Return whether a create or delete began and has not ended."""

    def forget_pending(self, tenant: str, connection_id: str) -> None:
        """Record that a create or delete has ended."""

    def unfinished(self, before: float) -> Iterator[tuple[str, str]]:
        """Yield (tenant, connection id) of creates and deletes that began before ``before`` and have not ended."""
