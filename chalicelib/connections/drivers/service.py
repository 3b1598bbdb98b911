"""Management of drivers: create, read, replace and delete."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.connections.drivers.trials import Trials
from chalicelib.domain.drivers.driver import Driver, DriverRequest, code_hash
from chalicelib.domain.drivers.validation import parse_driver
from chalicelib.errors import Conflict, PreconditionFailed
from chalicelib.kernel import cursors
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock
from chalicelib.ports.drivers import DriverStore
from chalicelib.ports.flows import FlowReader

_TRIES = 12
_SHOWN = 5
"""Maximum number of flows that a refusal names."""


@dataclass(frozen=True)
class DriverContext:
    """Dependencies of ``DriverService``. ``generation``: that of a tenant's flows; ``limit``: drivers of a tenant."""

    store: DriverStore
    flows: FlowReader
    generation: Callable[[str], int]
    trials: Trials
    clock: Clock
    limit: int


class DriverService:
    """Creates, changes and deletes drivers for the API. Forwarders follow a change within ten seconds."""

    def __init__(self, context: DriverContext) -> None:
        self._context = context

    def create(self, tenant: str, document: Any) -> tuple[Driver, str]:
        """Create a driver; return it and its code.

        Raises InvalidRequest, Unavailable, or Conflict if the id is taken or the limit is reached.
        """
        request = parse_driver(document, None)
        self._context.trials.check(request.code)
        moment = iso_time(self._context.clock())
        driver = Driver(tenant=tenant, id=request.id, **_fields(request), created_at=moment, updated_at=moment)
        self._context.store.create(driver, request.code, self._context.limit)
        return driver, request.code

    def get(self, tenant: str, driver_id: str) -> tuple[Driver, str]:
        """Return a driver and its code. Raises NotFound."""
        driver = self._context.store.find(tenant, driver_id)
        return driver, self._context.store.code(driver)

    def page(self, tenant: str, name: str | None, limit: int, cursor: str | None) -> tuple[list[Driver], str | None]:
        """Return drivers by id, and the next page's cursor. ``name``: a part of the name or the id, in any case.

        Raises InvalidRequest for a foreign cursor.
        """
        scope = f"drivers#{tenant}"
        after = "" if cursor is None else cursors.decode(scope, cursor)
        found: list[Driver] = []
        for driver in self._context.store.of_tenant(tenant):
            wanted = name is None or any(name.casefold() in text.casefold() for text in (driver.name, driver.id))
            if wanted and driver.id > after:
                if len(found) == limit:
                    return found, cursors.encode(scope, found[-1].id)
                found.append(driver)
        return found, None

    def replace(
        self, tenant: str, driver_id: str, document: Any, allowed_versions: frozenset[str] | None
    ) -> tuple[Driver, str]:
        """Replace a driver (PUT); return it and its code. ``allowed_versions``: those in If-Match, None for any.

        Raises InvalidRequest, NotFound, PreconditionFailed, or Conflict after too many concurrent changes.
        """
        for _ in range(_TRIES):
            stored = self._context.store.find(tenant, driver_id)
            request = parse_driver(document, stored)
            _check_version(stored, allowed_versions)
            self._context.trials.check(request.code)
            changes = {"version": stored.version + 1, "updated_at": iso_time(self._context.clock())}
            changed = stored.model_copy(update=_fields(request) | changes)
            try:
                self._context.store.replace(changed, request.code, stored)
            except PreconditionFailed:
                continue
            return changed, request.code
        raise Conflict("the driver was changed by other requests at the same time; read it again")

    def delete(self, tenant: str, driver_id: str, allowed_versions: frozenset[str] | None = None) -> None:
        """Delete a driver. Raises NotFound, PreconditionFailed, or Conflict while a flow names it."""
        for _ in range(_TRIES):
            stored = self._context.store.find(tenant, driver_id)
            _check_version(stored, allowed_versions)
            # Each write of a flow increments the generation, so that no flow can name the driver unnoticed.
            generation = self._context.generation(tenant)
            self._check_unused(tenant, driver_id)
            try:
                if self._context.store.delete(stored, generation):
                    return
            except PreconditionFailed:
                continue
        raise Conflict("the driver or the flows were changed by other requests at the same time; try again")

    def _check_unused(self, tenant: str, driver_id: str) -> None:
        users = [flow for flow in self._context.flows.of_tenant(tenant) if flow.driver == driver_id]
        if users:
            names = ", ".join(f"{flow.name} ({flow.id})" for flow in users[:_SHOWN])
            more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
            subject = "The flow" if len(users) == 1 else "The flows"
            verb = "names" if len(users) == 1 else "name"
            raise Conflict(f"{subject} {names}{more} {verb} this driver. Choose another driver there first.")


def _fields(request: DriverRequest) -> dict[str, Any]:
    """Return the fields of a driver that a request sets."""
    return {
        "name": request.name or request.id,
        "description": request.description,
        "signature": request.signature,
        "models": request.models,
        "code_hash": code_hash(request.code),
        "code_size": len(request.code.encode("utf-8")),
    }


def _check_version(stored: Driver, allowed: frozenset[str] | None) -> None:
    if allowed is not None and str(stored.version) not in allowed:
        raise PreconditionFailed(f"the driver is at version {stored.version}; read it again")
