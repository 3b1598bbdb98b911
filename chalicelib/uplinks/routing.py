"""The connections and the flows of a tenant, in memory as long as the tenant's generation stays the same."""

from dataclasses import dataclass

from chalicelib.domain.connection import Connection
from chalicelib.domain.flows.matching import FlowTable
from chalicelib.kernel.bounded_cache import BoundedCache
from chalicelib.ports.connections import ActiveConnections
from chalicelib.ports.flows import FlowReader

_CACHED_TENANTS = 1000
_KEYS_PER_TENANT = 2000
"""Keys of flows that count as much as a tenant does: the cache has at most 2 million keys in 16 to 32 MB."""


@dataclass(frozen=True)
class Routing:
    """The active connections of a tenant, and the flows that choose their reports."""

    connections: list[Connection]
    flows: FlowTable


class RoutingCache:
    """The routing of each tenant. One strongly consistent read of the generation detects every change."""

    def __init__(self, connections: ActiveConnections, flows: FlowReader) -> None:
        self._connections = connections
        self._flows = flows
        self._cached: BoundedCache[str, tuple[int, Routing]] = BoundedCache(
            _CACHED_TENANTS, lambda cached: 1 + cached[1].flows.weight // _KEYS_PER_TENANT
        )

    def of(self, tenant: str) -> Routing:
        """Return the tenant's routing as it is stored now. Raises Unavailable."""
        # The generation is read first: a change during the reads below leads to another read for the next report.
        generation = self._connections.generation(tenant)
        cached = self._cached.get(tenant)
        if cached is None or cached[0] != generation:
            # The flows are read before the connections: a connection is deleted before the flows forget it, so one
            # that a flow has named is never read here as one that no flow names.
            flows = FlowTable(self._flows.of_tenant(tenant))
            connections = [each for each in self._connections.of_tenant(tenant) if each.active]
            cached = (generation, Routing(connections, flows))
            self._cached.put(tenant, cached)
        return cached[1]
