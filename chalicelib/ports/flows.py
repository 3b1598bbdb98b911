"""Flows in DynamoDB, and the drivers that they may name. Reads are strongly consistent, writes conditional."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from chalicelib.domain.flows.flow import Flow


class FlowReader(Protocol):
    """Reads the flows of a tenant."""

    def of_tenant(self, tenant: str) -> Iterator[Flow]:
        """Yield all flows of the tenant in the order of their creation, with one page in memory at a time."""


class FlowStore(FlowReader, Protocol):
    """Flows as their owners create, change and delete them.

    Each write increments the tenant's generation, which is also that of its connections, in the same transaction.
    """

    def create(self, flow: Flow, limit: int) -> Sequence[str]:
        """Write a new flow.

        Returns the ids of its connections and its driver that do not exist; then nothing is written. Raises Conflict
        when the tenant already has ``limit`` flows.
        """

    def find(self, tenant: str, flow_id: str) -> Flow:
        """Return the flow. Raises NotFound."""

    def replace(self, flow: Flow, expected_version: int, *, check: bool = True) -> Sequence[str]:
        """Write the fields that the API changes.

        Returns the ids of its connections and its driver that do not exist; then nothing is written. ``check``: False
        skips this check. Raises PreconditionFailed when the stored version is another, NotFound when the flow is gone.
        """

    def delete(self, tenant: str, flow_id: str, version: int | None = None) -> None:
        """Delete the flow, only that version if one is given. Raises NotFound, PreconditionFailed."""

    def newest_first(self, tenant: str, before: str | None = None) -> Iterator[Flow]:
        """Yield the tenant's flows that are older than the id ``before``."""


class DriverCatalogue(Protocol):
    """The drivers that a flow may name."""

    def exists(self, tenant: str, driver_id: str) -> bool:
        """Return whether the tenant has a driver with this id."""
