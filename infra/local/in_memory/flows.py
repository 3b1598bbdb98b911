"""The table of flows with conditional writes."""

import threading
from collections.abc import Iterator, Sequence

from chalicelib.domain.flows.flow import Flow
from chalicelib.errors import Conflict, NotFound, PreconditionFailed
from infra.local.in_memory.connections import MemoryConnectionStore


class MemoryFlowStore:
    """An in-memory ``ports.flows.FlowStore`` beside a store of connections, whose generation it increments."""

    def __init__(self, connections: MemoryConnectionStore) -> None:
        self.flows: dict[tuple[str, str], Flow] = {}
        self._connections = connections
        self._lock = threading.RLock()

    def of_tenant(self, tenant: str) -> Iterator[Flow]:
        yield from sorted((flow for flow in self.flows.values() if flow.tenant == tenant), key=lambda flow: flow.id)

    def newest_first(self, tenant: str, before: str | None = None) -> Iterator[Flow]:
        yield from [flow for flow in self.of_tenant(tenant) if before is None or flow.id < before][::-1]

    def find(self, tenant: str, flow_id: str) -> Flow:
        if (tenant, flow_id) not in self.flows:
            raise NotFound("no such flow")
        return self.flows[tenant, flow_id]

    def create(self, flow: Flow, limit: int) -> Sequence[str]:
        with self._lock:
            if len(list(self.of_tenant(flow.tenant))) >= limit:
                raise Conflict(f"a tenant has at most {limit} flows")
            return self._put(flow, check=True)

    def replace(self, flow: Flow, expected_version: int, *, check: bool = True) -> Sequence[str]:
        with self._lock:
            if self.find(flow.tenant, flow.id).version != expected_version:
                raise PreconditionFailed("the flow was changed meanwhile")
            return self._put(flow, check=check)

    def delete(self, tenant: str, flow_id: str, version: int | None = None) -> None:
        with self._lock:
            if version not in {None, self.find(tenant, flow_id).version}:
                raise PreconditionFailed(f"not at version {version}")
            del self.flows[tenant, flow_id]
            self._connections.next_generation(tenant)

    def _put(self, flow: Flow, *, check: bool) -> list[str]:
        known = self._connections.connections
        missing = [each.connection_id for each in flow.connectors if (flow.tenant, each.connection_id) not in known]
        if missing and check:
            return missing
        self.flows[flow.tenant, flow.id] = flow
        self._connections.next_generation(flow.tenant)
        return []
