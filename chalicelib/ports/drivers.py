"""Drivers in DynamoDB, and the codec that runs them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chalicelib.domain.drivers.driver import Driver


class DriverReader(Protocol):
    """Reads the drivers of a tenant."""

    def of_tenant(self, tenant: str) -> Iterator[Driver]:
        """Yield all drivers of the tenant, by id. Raises Unavailable."""

    def code(self, driver: Driver) -> str:
        """Return the code of the driver. Raises NotFound if it was replaced or deleted meanwhile, Unavailable."""


class DriverStore(DriverReader, Protocol):
    """Drivers as their owners create, change and delete them."""

    def create(self, driver: Driver, code: str, limit: int) -> None:
        """Write a new driver. Raises Conflict when its id is taken, or the tenant already has ``limit`` drivers."""

    def find(self, tenant: str, driver_id: str) -> Driver:
        """Return the driver. Raises NotFound."""

    def replace(self, driver: Driver, code: str, stored: Driver) -> None:
        """Write another version. Raises PreconditionFailed when the stored version is not that of ``stored``."""

    def delete(self, driver: Driver, generation: int) -> bool:
        """Delete a driver; return False, and delete nothing, if the tenant's flows changed since ``generation``.

        Raises PreconditionFailed when the stored version is another one.
        """


@dataclass(frozen=True)
class CodecJob:
    """A call of one function of a driver, or a compilation. ``whole`` and ``console`` ask for more of the answer."""

    code_hash: str
    signature: str
    operation: str
    input: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False
    console: bool = False


COMPILE = "compile"
"""The operation that runs nothing of a driver."""


@dataclass(frozen=True)
class CodecAnswer:
    """The result of one job. ``data``, ``bytes``, ``f_port`` and ``result`` are JSON, None if the driver gave none.

    ``failure``: why it gave none; ``line`` and ``column`` of the code begin at 1. ``errors``: those in its result.
    """

    data: str | None = None
    bytes: str | None = None
    f_port: str | None = None
    result: str | None = None
    errors: Sequence[str] = ()
    warnings: Sequence[str] = ()
    console: Sequence[str] = ()
    failure: str | None = None
    line: int | None = None
    column: int | None = None
    milliseconds: float = 0.0

    @property
    def fault(self) -> str | None:
        """One sentence about what failed; None if nothing did."""
        if self.failure is not None:
            where = "" if self.line is None else f" (line {self.line})"
            return f"{self.failure}{where}"
        return "; ".join(self.errors) if self.errors else None


class Codec(Protocol):
    """Runs drivers where they can reach nothing."""

    def run(self, jobs: Sequence[CodecJob], code_of: Callable[[str], str]) -> list[CodecAnswer]:
        """Run jobs of one connection; return the answers of the first ones, fewer than jobs if the time is over.

        ``code_of``: returns the code with a hash, if the codec asks for it. Raises Unavailable, and what it raises.
        """
