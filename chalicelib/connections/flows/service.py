"""Management of flows: create, read, change and delete."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.drivers.driver import is_automatic
from chalicelib.domain.flows.flow import Flow, FlowRequest
from chalicelib.domain.flows.validation import UNKNOWN_DRIVER, parse_flow, unknown_connection
from chalicelib.errors import Conflict, InvalidRequest, PreconditionFailed
from chalicelib.kernel import cursors
from chalicelib.kernel.ids import is_id, new_id
from chalicelib.kernel.merge_patch import merge_patch
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ActiveConnections
from chalicelib.ports.flows import DriverCatalogue, FlowStore

_TRIES = 12
_PAGE_KEYS = 40_000
"""Keys after which a page ends, because a Lambda response has at most 6 MB."""


@dataclass(frozen=True)
class Filter:
    """Filter of a list of flows: a part of the name, ignoring case, and a connection that the flow names."""

    name: str | None = None
    connection_id: str | None = None

    def matches(self, flow: Flow) -> bool:
        """Return whether the flow passes the filter; an empty filter passes all."""
        named = self.name is None or self.name.casefold() in flow.name.casefold()
        return named and (self.connection_id is None or flow.names(self.connection_id))


@dataclass(frozen=True)
class FlowContext:
    """Dependencies of ``FlowService``. ``limit``: the flows of a tenant."""

    store: FlowStore
    connections: ActiveConnections
    drivers: DriverCatalogue
    clock: Clock
    limit: int


class FlowService:
    """Creates, changes and deletes flows for the API. The next report that is accepted follows a change."""

    def __init__(self, context: FlowContext) -> None:
        self._context = context

    def create(self, tenant: str, document: Any) -> Flow:
        """Create a flow. Raises InvalidRequest, or Conflict when the tenant's limit is reached."""
        now = self._context.clock()
        request = self._parse(tenant, document, None)
        moment = iso_time(now)
        flow = Flow(tenant=tenant, id=new_id(now), **_fields(request), created_at=moment, updated_at=moment)
        _check_references(flow, self._context.store.create(flow, self._context.limit))
        return flow

    def get(self, tenant: str, flow_id: str) -> Flow:
        """Return a flow. Raises NotFound."""
        return self._context.store.find(tenant, flow_id)

    def page(self, tenant: str, wanted: Filter, limit: int, cursor: str | None) -> tuple[list[Flow], str | None]:
        """Return flows, newest first, and the next page's cursor. Raises InvalidRequest for a foreign cursor.

        A page of flows with many keys is shorter than ``limit``.
        """
        scope = f"flows#{tenant}"
        before = None if cursor is None else cursors.decode(scope, cursor)
        if before is not None and not is_id(before):
            return [], None
        found: list[Flow] = []
        size = 0
        for flow in self._context.store.newest_first(tenant, before):
            if wanted.matches(flow):
                size += flow.size
                if len(found) == limit or (found and size > _PAGE_KEYS):
                    return found, cursors.encode(scope, found[-1].id)
                found.append(flow)
        return found, None

    def replace(self, tenant: str, flow_id: str, document: Any, allowed_versions: frozenset[str] | None) -> Flow:
        """Replace a flow (PUT). ``allowed_versions``: the versions in If-Match, None for any.

        Raises InvalidRequest, NotFound, PreconditionFailed, or Conflict after too many concurrent changes.
        """
        return self._change(tenant, flow_id, lambda _: document, allowed_versions)

    def patch(self, tenant: str, flow_id: str, patch: Any, allowed_versions: frozenset[str] | None) -> Flow:
        """Apply a JSON merge patch to the document that GET returns (PATCH). Raises as ``replace`` does."""
        return self._change(tenant, flow_id, lambda stored: merge_patch(stored.to_json(), patch), allowed_versions)

    def delete(self, tenant: str, flow_id: str, allowed_versions: frozenset[str] | None = None) -> None:
        """Delete a flow. Raises NotFound, PreconditionFailed."""
        stored = self._context.store.find(tenant, flow_id)
        _check_version(stored, allowed_versions)
        self._context.store.delete(tenant, flow_id, None if allowed_versions is None else stored.version)

    def _change(
        self,
        tenant: str,
        flow_id: str,
        document_for: Callable[[Flow], Any],
        allowed_versions: frozenset[str] | None,
    ) -> Flow:
        for _ in range(_TRIES):
            stored = self._context.store.find(tenant, flow_id)
            request = self._parse(tenant, document_for(stored), stored)
            _check_version(stored, allowed_versions)
            changes = {"version": stored.version + 1, "updated_at": iso_time(self._context.clock())}
            changed = stored.model_copy(update=_fields(request) | changes)
            # Another writer was faster: reapply the change to its version, if the caller allows that version.
            with suppress(PreconditionFailed):
                _check_references(changed, self._context.store.replace(changed, stored.version))
                return changed
        raise Conflict("the flow was changed by other requests at the same time; read it again")

    def _parse(self, tenant: str, document: Any, stored: Flow | None) -> FlowRequest:
        connections = {connection.id for connection in self._context.connections.of_tenant(tenant)}
        return parse_flow(
            document,
            stored,
            connections.__contains__,
            lambda driver: is_automatic(driver) or self._context.drivers.exists(tenant, driver),
        )


def _fields(request: FlowRequest) -> dict[str, Any]:
    """Return the fields of a flow that a request sets."""
    names = ("name", "description", "active", "matchers", "connectors")
    return {name: getattr(request, name) for name in names} | {
        "driver": None if request.driver is None else request.driver.id
    }


def _check_references(flow: Flow, missing: Sequence[str]) -> None:
    """Raise InvalidRequest for connections and a driver that were deleted after the request was checked."""
    if missing:
        places = [place for place, each in enumerate(flow.connectors) if each.connection_id in missing]
        driver = [UNKNOWN_DRIVER] if flow.driver in missing else []
        raise InvalidRequest([unknown_connection(place) for place in places] + driver)


def _check_version(stored: Flow, allowed: frozenset[str] | None) -> None:
    if allowed is not None and str(stored.version) not in allowed:
        raise PreconditionFailed(f"the flow is at version {stored.version}; read it again")
