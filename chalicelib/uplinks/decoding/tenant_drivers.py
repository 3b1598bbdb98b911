"""The drivers of a tenant in memory, read again after a few seconds."""

from collections.abc import Sequence

from chalicelib.domain.drivers.driver import Driver
from chalicelib.kernel.bounded_cache import BoundedCache
from chalicelib.ports.clock import Clock
from chalicelib.ports.drivers import DriverReader

_CACHED_TENANTS = 200


class TenantDrivers:
    """Reads the drivers of tenants, without their code, at most once in ``seconds``."""

    def __init__(self, drivers: DriverReader, monotonic: Clock, seconds: float) -> None:
        self._drivers = drivers
        self._monotonic = monotonic
        self._seconds = seconds
        self._cached: BoundedCache[str, tuple[float, Sequence[Driver]]] = BoundedCache(_CACHED_TENANTS)

    def of(self, tenant: str) -> Sequence[Driver]:
        """Return the tenant's drivers as they were a few seconds ago at the latest. Raises Unavailable."""
        now = self._monotonic()
        cached = self._cached.get(tenant)
        if cached is None or now - cached[0] > self._seconds:
            cached = now, list(self._drivers.of_tenant(tenant))
            self._cached.put(tenant, cached)
        return cached[1]

    def forget(self, tenant: str) -> None:
        """Read the tenant's drivers again at the next call."""
        self._cached.drop(tenant)

    def code(self, driver: Driver) -> str:
        """Return a driver's code. Raises NotFound if the driver was replaced or deleted meanwhile, Unavailable."""
        return self._drivers.code(driver)
