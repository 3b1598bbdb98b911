"""The report format of ThingPark."""

from collections.abc import Sequence

from chalicelib.domain.report import Report, UplinkPayload
from chalicelib.network_servers.thingpark.decoding import decoded_report, payload_of, undecoded_report
from chalicelib.network_servers.thingpark.downlinks import rejected_report
from chalicelib.network_servers.thingpark.lrc_tokens import check_time, uplink_token_matches
from chalicelib.network_servers.thingpark.reports import FORMAT, parse_report, parse_summary, summary_of


class ThingParkReports:
    """The ReportFormat of ThingPark's network server, the LRC."""

    name = FORMAT

    def parse(self, body: bytes) -> Report:
        """Parse a report; see ``parse_report``."""
        return parse_report(body)

    def summary(self, report: Report) -> str | None:
        """Return the fields of a report that most drains need; see ``summary_of``."""
        return summary_of(report)

    def parse_summary(self, summary: str, body: str) -> Report | None:
        """Return a report from its summary; see ``parse_summary``."""
        return parse_summary(summary, body)

    def check_time(self, query: Sequence[tuple[str, str]], now: float, max_deviation: float) -> None:
        """Check the query parameter Time. Raises Unauthorized."""
        check_time(dict(query).get("Time", ""), now, max_deviation)

    def is_signed(self, query: Sequence[tuple[str, str]], report: Report, key: str) -> bool:
        """Return whether the query parameter Token matches; the caller checks that it is present."""
        return uplink_token_matches(query, report, key, dict(query)["Token"])

    def payload(self, report: Report) -> UplinkPayload | None:
        """Return the payload of a ``DevEUI_uplink``; see ``payload_of``."""
        return payload_of(report)

    def with_payload(self, report: Report, data: str) -> Report:
        """Return the report with ``payload``; see ``decoded_report``."""
        return decoded_report(report, data)

    def with_failure(self, report: Report, message: str) -> Report:
        """Return the report with ``payloadDecodedError``; see ``undecoded_report``."""
        return undecoded_report(report, message)

    def rejection(
        self, *, dev_eui: str, time_iso: str, cause: str, f_port: int | None = None, correlation_id: str | None = None
    ) -> Report:
        """Build a ``DevEUI_downlink_Rejected``."""
        body = rejected_report(
            dev_eui=dev_eui, time_iso=time_iso, cause=cause, f_port=f_port, correlation_id=correlation_id
        )
        return parse_report(body)
