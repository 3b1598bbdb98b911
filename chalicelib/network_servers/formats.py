"""The report formats that the connector reads. A new one is added here."""

from collections.abc import Mapping

from chalicelib.domain.report import DEFAULT_FORMAT
from chalicelib.errors import InvalidRequest, Violation
from chalicelib.network_servers.report_format import ReportFormat
from chalicelib.network_servers.thingpark.report_format import ThingParkReports

FORMATS: Mapping[str, ReportFormat] = {each.name: each for each in (ThingParkReports(),)}
DEFAULT: ReportFormat = FORMATS[DEFAULT_FORMAT]


def format_named(name: str) -> ReportFormat:
    """Return the format of a stored report. Raises InvalidRequest for a name that this release does not know."""
    if name not in FORMATS:
        raise InvalidRequest([Violation("", f"The report format {name} is unknown to this release.")])
    return FORMATS[name]
