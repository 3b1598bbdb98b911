"""The interface of a report format, which hides the reports and tokens of one kind of network server."""

from collections.abc import Sequence
from typing import Protocol

from chalicelib.domain.report import Report, UplinkPayload


class ReportFormat(Protocol):
    """Parser, verifier and writer of the reports of one kind of network server."""

    @property
    def name(self) -> str:
        """The name that is stored with each report, so that a later parse uses the same format."""

    def parse(self, body: bytes) -> Report:
        """Parse a report strictly.

        Raises TooLarge, Malformed (not JSON), or InvalidRequest (JSON, but not a report).
        """

    def summary(self, report: Report) -> str | None:
        """Return a short ASCII text with the fields that most drains need, or None if the body must be parsed again."""

    def parse_summary(self, summary: str, body: str) -> Report | None:
        """Return the report of ``body`` from its summary, without parsing the body.

        Its ``fields`` have the summarised names only, None for a missing field. None: another release made the summary.
        """

    def check_time(self, query: Sequence[tuple[str, str]], now: float, max_deviation: float) -> None:
        """Check that a signed request is recent.

        ``now`` is in Unix seconds, ``max_deviation`` in seconds. Raises Unauthorized.
        """

    def is_signed(self, query: Sequence[tuple[str, str]], report: Report, key: str) -> bool:
        """Return whether the request's token matches the report and the application server's ``key``."""

    def payload(self, report: Report) -> UplinkPayload | None:
        """Return the payload that a driver can decode; None for another report, or one without application data.

        ``report`` has all of its fields.
        """

    def with_payload(self, report: Report, data: str) -> Report:
        """Return the report with the decoded payload ``data``, JSON, at the end of its root.

        All other bytes stay as they are. A payload that the report has already is replaced in its place. Raises
        Malformed if ``data`` is no strict JSON.
        """

    def with_failure(self, report: Report, message: str) -> Report:
        """Return the report with the reason why its payload is not decoded, at the end of its root."""

    def rejection(
        self, *, dev_eui: str, time_iso: str, cause: str, f_port: int | None = None, correlation_id: str | None = None
    ) -> Report:
        """Build the report that informs the tenant of a rejected downlink; ``cause`` is one sentence."""
