"""The interface of a report format: everything that depends on how a network server writes its reports."""

from collections.abc import Sequence
from typing import Protocol

from chalicelib.domain.report import Report


class ReportFormat(Protocol):
    """Reads, verifies and writes the reports of one kind of network server."""

    @property
    def name(self) -> str:
        """The name that travels with a stored report."""

    def parse(self, body: bytes) -> Report:
        """Read a report strictly. Raises TooLarge, Malformed (no JSON) or InvalidRequest (JSON, but no report)."""

    def check_time(self, query: Sequence[tuple[str, str]], now: float, max_deviation: float) -> None:
        """Check the time of a signed request (seconds). Raises Unauthorized."""

    def is_signed(self, query: Sequence[tuple[str, str]], report: Report, key: str) -> bool:
        """Return whether the request's token fits the report and the application server's key."""

    def rejection(
        self, *, dev_eui: str, time_iso: str, cause: str, f_port: int | None = None, correlation_id: str | None = None
    ) -> Report:
        """Build the report of a rejected downlink for the customer."""
