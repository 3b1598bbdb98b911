"""The supported report formats. To support another network server, add its format to FORMATS."""

from collections.abc import Mapping

from chalicelib.domain.report import DEFAULT_FORMAT
from chalicelib.errors import InvalidRequest, Violation
from chalicelib.network_servers.report_format import ReportFormat
from chalicelib.network_servers.thingpark.report_format import ThingParkReports

FORMATS: Mapping[str, ReportFormat] = {each.name: each for each in (ThingParkReports(),)}
DEFAULT: ReportFormat = FORMATS[DEFAULT_FORMAT]


def format_named(name: str) -> ReportFormat:
    """Return the format of a stored report. Raises InvalidRequest for an unknown name."""
    if name not in FORMATS:
        raise InvalidRequest([Violation("", f"The report format {name} is not supported by this release.")])
    return FORMATS[name]
