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


@dataclass
class _Tenant:
    generation: int
    flows: FlowTable
    connections: list[Connection] | None = None


class RoutingCache:
    """The routing of each tenant. One strongly consistent read of the generation detects every change."""

    def __init__(self, connections: ActiveConnections, flows: FlowReader) -> None:
        self._connections = connections
        self._flows = flows
        self._cached: BoundedCache[str, _Tenant] = BoundedCache(
            _CACHED_TENANTS, lambda cached: 1 + cached.flows.weight // _KEYS_PER_TENANT
        )

    def of(self, tenant: str) -> Routing:
        """Return the tenant's routing as it is stored now. Raises Unavailable."""
        # The flows are read before the connections: a connection is deleted before the flows forget it, so one that a
        # flow has named is never read here as one that no flow names.
        current = self._current(tenant)
        connections = current.connections
        if connections is None:
            connections = [each for each in self._connections.of_tenant(tenant) if each.active]
            current.connections = connections
        return Routing(connections, current.flows)

    def flows(self, tenant: str) -> FlowTable:
        """Return the tenant's flows as they are stored now. Raises Unavailable."""
        return self._current(tenant).flows

    def _current(self, tenant: str) -> _Tenant:
        # The generation is read first: a change during the reads that follow leads to another read for the next report.
        generation = self._connections.generation(tenant)
        cached = self._cached.get(tenant)
        if cached is None or cached.generation != generation:
            cached = _Tenant(generation, FlowTable(self._flows.of_tenant(tenant)))
            self._cached.put(tenant, cached)
        return cached
