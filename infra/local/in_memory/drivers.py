"""The table of drivers."""

from collections.abc import Iterator

from chalicelib.domain.drivers.driver import Driver, code_hash
from chalicelib.errors import NotFound


class MemoryDrivers:
    """An in-memory ``ports.drivers.DriverReader``."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], tuple[Driver, str]] = {}
        self.reads = 0
        """The number of reads of a tenant's drivers."""

    def put(self, tenant: str, driver_id: str, code: str, **fields: object) -> None:
        """Store a driver in place of the one with its id."""
        values = {"name": driver_id, "created_at": "", "updated_at": "", **fields}
        made = Driver.model_validate(
            {"tenant": tenant, "id": driver_id, "code_hash": code_hash(code), "code_size": len(code), **values}
        )
        self.stored[tenant, driver_id] = made, code

    def of_tenant(self, tenant: str) -> Iterator[Driver]:
        self.reads += 1
        yield from sorted((each for each, _ in self.stored.values() if each.tenant == tenant), key=lambda each: each.id)

    def code(self, driver: Driver) -> str:
        stored, code = self.stored.get((driver.tenant, driver.id), (None, ""))
        if stored is None or stored.code_hash != driver.code_hash:
            raise NotFound(f"The code of the driver {driver.id} was replaced.")
        return code
