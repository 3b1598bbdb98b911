"""Preview of the connections that a report would reach, and of the flow that chooses it for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from chalicelib.connections.flows.decoding import DecodedPreview, Decoding, PreviewDecoder
from chalicelib.domain.connection import Connection
from chalicelib.domain.flows.flow import Flow
from chalicelib.domain.flows.matching import FlowMatch, FlowTable, first_matcher
from chalicelib.domain.report import Report
from chalicelib.domain.routing_keys import routing_key
from chalicelib.domain.validation.connections import surrogate_violations
from chalicelib.domain.validation.violations import MAX_VIOLATIONS
from chalicelib.errors import InvalidRequest, NotRoutable, Violation
from chalicelib.kernel.documents import Document
from chalicelib.kernel.json_pointer import pointer
from chalicelib.kernel.strict_json import member_spans
from chalicelib.network_servers.formats import DEFAULT
from chalicelib.ports.connections import ActiveConnections
from chalicelib.ports.flows import FlowReader
from chalicelib.uplinks.outgoing import is_sent

RoutingMode = Literal["all", "flows"]
_MAX_PAYLOADS = 1_500_000
"""Characters of payloads in one answer: a response of Lambda has at most 6 MB, and a character up to 3 bytes."""


class FlowPreviewRequest(Document):
    """A report to preview."""

    uplink: dict[str, Any] = Field(description='a report, such as {"DevEUI_uplink": {...}}')


class ChosenBy(Document):
    """The flow that chooses a report for a connection; ``matcher`` is the index of its first matcher that matches."""

    id: str
    name: str
    matcher: int | None = Field(description="null for a flow without matchers")
    driver: str | None
    uplink_time_validity: str | None


class ConnectionPreview(Document):
    """The fate of the report at one connection: received or not, the flow that decided, payload and routing key."""

    connection_id: str
    name: str
    active: bool
    routing: RoutingMode = Field(description="all: no flow names the connection, so it receives every report")
    receives: bool
    flow: ChosenBy | None
    decoded: DecodedPreview | None = Field(description="null if no driver decodes the report")
    routing_key: str | None = Field(description="null if the connection does not receive the report, or without a key")
    detail: str | None = Field(description="the reason why the report is not published; null if it is")


class FlowPreview(Document):
    """The connections of the tenant, newest first, and the tags of the report that flows compare."""

    tags: list[str]
    connections: list[ConnectionPreview]


class FlowPreviews:
    """Previews reports with the flows and connections of a tenant. Nothing is stored or published."""

    def __init__(self, connections: ActiveConnections, flows: FlowReader, decoder: PreviewDecoder) -> None:
        self._connections = connections
        self._flows = flows
        self._decoder = decoder

    def preview(self, tenant: str, text: str, document: Any) -> FlowPreview:
        """Preview the report in ``document``, the parsed form of the JSON in ``text``.

        Raises InvalidRequest, TooLarge, Unavailable.
        """
        report = _report_in(text, document)
        flows = {flow.id: flow for flow in self._flows.of_tenant(tenant)}
        connections = self._connections.of_tenant(tenant)
        table = FlowTable(flows.values())
        routes = table.route(report, [connection.id for connection in connections])
        deciding = [match for each in connections if each.active and (match := routes.get(each.id))]
        decodings = self._decoder.decode(tenant, report, [match.driver for match in deciding if match.driver])
        work = _Preview(report, table, routes, flows, decodings)
        return FlowPreview(tags=list(report.tags), connections=[work.of(connection) for connection in connections])


@dataclass
class _Preview:
    """A report with its routes, and its decodings by the driver of the flow. ``shown``: characters of payloads."""

    report: Report
    table: FlowTable
    routes: Mapping[str, FlowMatch | None]
    flows: Mapping[str, Flow]
    decodings: Mapping[str, Decoding]
    shown: int = 0

    def of(self, connection: Connection) -> ConnectionPreview:
        """Return the fate of the report at a connection."""
        match = self.routes.get(connection.id)
        receives = connection.active and connection.id in self.routes
        decoding = self.decodings.get(match.driver) if receives and match and match.driver else None
        report = self.report if decoding is None else decoding.report
        key, detail = None, _not_received(connection, report, chosen=connection.id in self.routes)
        if detail is None:
            try:
                key = routing_key(connection.configuration.uplink_topic_pattern, report.fields)
            except NotRoutable as error:
                detail = str(error)
        return ConnectionPreview(
            connection_id=connection.id,
            name=connection.name,
            active=connection.active,
            routing=routing_mode(self.table, connection.id),
            receives=receives,
            flow=None if match is None else _chosen_by(self.flows[match.flow_id], match, report),
            decoded=None if decoding is None else self._shown(decoding),
            routing_key=key,
            detail=detail,
        )

    def _shown(self, decoding: Decoding) -> DecodedPreview:
        self.shown += decoding.size
        if self.shown <= _MAX_PAYLOADS:
            return decoding.result
        error = "The payload is not shown, because those of the connections above are large; the report has it."
        return decoding.result.model_copy(update={"payload": None, "errors": [error]})


def _not_received(connection: Connection, report: Report, *, chosen: bool) -> str | None:
    if not connection.active:
        return "The connection is inactive."
    if not chosen:
        return "No active flow for this connection matches the report."
    if connection.fault:
        return connection.state_reason
    if not is_sent(report, connection.configuration):
        return "With sendMetadata, only reports of type DevEUI_uplink are published."
    return None


def _chosen_by(flow: Flow, match: FlowMatch, report: Report) -> ChosenBy:
    return ChosenBy(
        id=flow.id,
        name=flow.name,
        matcher=first_matcher(flow, report),
        driver=match.driver,
        uplink_time_validity=match.uplink_time_validity,
    )


def routing_mode(table: FlowTable, connection_id: str) -> RoutingMode:
    """Return the read-only ``routing`` of a connection."""
    return "flows" if table.names(connection_id) else "all"


def _report_in(text: str, document: Any) -> Report:
    if not isinstance(document, dict):
        raise InvalidRequest([Violation("", 'The body must be an object with the member "uplink".')])
    others = {name: value for name, value in document.items() if name != "uplink"}
    violations = surrogate_violations(others) or [
        Violation(pointer([name]), "This field is unknown; remove it.") for name in others
    ]
    report = None
    if "uplink" not in document:
        violations.append(Violation("/uplink", "This field is mandatory; add it."))
    elif not isinstance(document["uplink"], dict):
        violations.append(Violation("/uplink", "This must be an object."))
    else:
        begin, end = member_spans(text)["uplink"]
        try:
            report = DEFAULT.parse(text[begin:end].encode())
        except InvalidRequest as error:
            violations += [Violation(f"/uplink{each.pointer}", each.detail) for each in error.violations]
    if violations or report is None:
        raise InvalidRequest(violations[:MAX_VIOLATIONS])
    return report
