"""What the management of connections needs of their store beyond what the flows do."""

from collections.abc import Iterator
from typing import Protocol

from chalicelib.domain.models import Connection
from chalicelib.ports.outside import ConnectionStore


class ManagedConnectionStore(ConnectionStore, Protocol):
    """Connections in DynamoDB, as their owners change them."""

    def reserve(self, tenant: str, connection_id: str, limit: int) -> None:
        """Notes that a connection's secret and queue are about to be made. Raises Conflict at the limit."""

    def replace(self, connection: Connection, expected_version: int, *, reset: bool = False) -> None:
        """``reset``: also the breaker's fields, the epoch one further; else they stay."""

    def is_pending(self, tenant: str, connection_id: str) -> bool:
        """Whether a create or delete was begun and not ended."""

    def settle(self, tenant: str, connection_id: str) -> None:
        """Notes that nothing of a connection without a record is left."""

    def unfinished(self, before: float) -> Iterator[tuple[str, str]]:
        """(tenant, connection id) of what was begun before ``before`` and not ended."""

    def newest_first(self, tenant: str, before: str | None = None) -> Iterator[Connection]:
        """A tenant's connections older than the id ``before``."""
