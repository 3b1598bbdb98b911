"""References of flows to connections: they prevent a delete, or are removed by it."""

from collections.abc import Sequence

from chalicelib.domain.flows.flow import Flow
from chalicelib.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock
from chalicelib.ports.flows import FlowStore

_TRIES = 12
_SHOWN = 5
"""Maximum number of flows that a refusal names."""


class FlowReferences:
    """The flows that name a connection."""

    def __init__(self, flows: FlowStore, clock: Clock) -> None:
        self._flows = flows
        self._clock = clock

    def check_unused(self, tenant: str, connection_id: str) -> None:
        """Raise Conflict that lists the flows that name the connection, if there are any."""
        found = [flow for flow in self._flows.of_tenant(tenant) if flow.names(connection_id)]
        if found:
            raise Conflict(
                f"{_list(found)} this connection. Remove it from there, or delete it with ?force=true, "
                "which removes it from all flows."
            )

    def forget(self, tenant: str, connection_id: str) -> None:
        """Remove a deleted connection from the flows that name it.

        No later write can name it, because each checks that its connections exist. A flow without connections stays.
        Raises Unavailable after too many concurrent changes.
        """
        for flow in [each for each in self._flows.of_tenant(tenant) if each.names(connection_id)]:
            self._forget(flow, connection_id)

    def _forget(self, flow: Flow, connection_id: str) -> None:
        for _ in range(_TRIES):
            others = [each for each in flow.connectors if each.connection_id != connection_id]
            changes = {"connectors": others, "version": flow.version + 1, "updated_at": iso_time(self._clock())}
            try:
                self._flows.replace(flow.model_copy(update=changes), flow.version, check=False)
            except NotFound:
                return
            except PreconditionFailed:
                flow = self._flows.find(flow.tenant, flow.id)
            else:
                return
        raise Unavailable("too many concurrent changes of a flow; try again")


def _list(flows: Sequence[Flow]) -> str:
    names = ", ".join(f"{flow.name} ({flow.id})" for flow in flows[:_SHOWN])
    if len(flows) == 1:
        return f"The flow {names} names"
    more = f" and {len(flows) - _SHOWN} more" if len(flows) > _SHOWN else ""
    return f"The flows {names}{more} name"
