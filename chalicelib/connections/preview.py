"""Preview of the AMQP message for a report, made without a broker."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chalicelib.domain.connection import Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration, BrokerProtocol
from chalicelib.domain.notice import Notice, with_warnings
from chalicelib.domain.report import Report
from chalicelib.domain.routing_keys import compile_pattern
from chalicelib.domain.topic_patterns import binding_key, expressions_with_dots
from chalicelib.domain.validation.connections import surrogate_violations
from chalicelib.domain.validation.violations import text_violations, violations_of
from chalicelib.errors import InvalidRequest, NotRoutable, PatternError, Violation
from chalicelib.kernel.documents import Document
from chalicelib.kernel.strict_json import member_spans
from chalicelib.network_servers.formats import DEFAULT
from chalicelib.ports.publishing import amqp_properties
from chalicelib.uplinks.outgoing import is_sent, message_id, outgoing
from chalicelib.vocabulary import ConnectionState

CONNECTION_ID = "preview"
"""Placeholder of the connection id, in the header and in the input of the message id."""
_PATTERN = "/configuration/uplinkTopicPattern"
_KNOWN = {
    "": ["configuration", "uplink"],
    "/configuration": [field.alias or name for name, field in AmqpConfiguration.model_fields.items()],
}


class PreviewConfiguration(AmqpConfiguration):
    """A configuration whose broker fields are optional: a preview needs only the pattern and the body's settings."""

    model_config = ConfigDict(json_schema_extra=None)

    host_name: str | None = Field(default=None, max_length=260)  # type: ignore[assignment]
    protocol: BrokerProtocol | None = None  # type: ignore[assignment]


class PreviewRequest(Document):
    """A configuration and a report to preview."""

    configuration: PreviewConfiguration
    uplink: dict[str, Any] = Field(description='a report, such as {"DevEUI_uplink": {...}}')


class PreviewProperties(BaseModel):
    """AMQP properties under their AMQP names."""

    content_type: str
    content_encoding: str
    delivery_mode: int
    message_id: str
    timestamp: int | None = None
    type: str
    app_id: str


class Preview(Document):
    """The message that the connector would publish. ``body`` is its text."""

    routing_key: str
    headers: dict[str, str | int]
    properties: PreviewProperties
    body: str
    warnings: list[Notice] = Field(default=[], description="effects that may not be intended; absent if there are none")

    def to_json(self) -> dict[str, Any]:
        document = super().to_json()
        del document["warnings"]
        return with_warnings(document, self.warnings)


def preview(text: str, document: Any) -> Preview:
    """Return the message for the configuration and uplink in ``document``, the parsed form of the JSON in ``text``.

    The uplink is cut from the text, so that the preview has the same bytes as a real message. Raises InvalidRequest
    if the configuration, the pattern or the uplink is invalid, TooLarge if the uplink is too large.
    """
    if not isinstance(document, dict):
        raise InvalidRequest(
            [Violation("", 'The body must be an object with the members "configuration" and "uplink".')]
        )
    configuration, violations = _configuration(document)
    report = None
    if isinstance(document.get("uplink"), dict):
        begin, end = member_spans(text)["uplink"]
        try:
            report = DEFAULT.parse(text[begin:end].encode())
        except InvalidRequest as error:
            violations += [Violation(f"/uplink{violation.pointer}", violation.detail) for violation in error.violations]
    if violations or configuration is None or report is None:
        raise InvalidRequest(violations)
    return _published(configuration, report)


def _published(configuration: AmqpConfiguration, report: Report) -> Preview:
    if not is_sent(report, configuration):
        detail = "With sendMetadata, only reports of type DevEUI_uplink are published; preview a report of this type."
        raise InvalidRequest([Violation("/uplink", detail)])
    connection = Connection(
        tenant="-",
        id=CONNECTION_ID,
        name="-",
        active=True,
        configuration=configuration,
        created_at="",
        updated_at="",
        state=ConnectionState.OPENING,
    )
    try:
        message = outgoing(report, connection, "-", message_id(connection.id, report))
    except NotRoutable as error:
        raise InvalidRequest([_pattern_violation(error)]) from None
    return Preview(
        routing_key=message.routing_key,
        headers=dict(message.headers),
        properties=PreviewProperties.model_validate(amqp_properties(message)),
        body=message.body.decode(),
        warnings=_dot_notices(configuration.uplink_topic_pattern),
    )


def _dot_notices(pattern: str) -> list[Notice]:
    found = expressions_with_dots(pattern)
    if not found:
        return []
    values = " and ".join(f"{{{text[:60]}}}" for text in found[:3])
    detail = (
        f"A value of {values} may contain dots. Each dot begins a new word of the routing key, so the binding "
        f"{binding_key(pattern)[:120]} misses such a message; bind with # or use an expression without dots."
    )
    return [Notice(pointer=_PATTERN, detail=detail)]


def _configuration(document: dict[str, Any]) -> tuple[AmqpConfiguration | None, list[Violation]]:
    # ``preview`` parses the uplink as a report; this function checks only that it is an object.
    if "uplink" in document:
        document = document | {"uplink": {} if isinstance(document["uplink"], dict) else 0}
    violations = surrogate_violations(document)
    request = None
    if not violations:
        try:
            # Strict validation accepts a string for an enumeration only when it parses JSON text.
            text = json.dumps(document)
            request = PreviewRequest.model_validate_json(text, strict=True, by_alias=True, by_name=False)
        except ValidationError as error:
            violations = violations_of(error, _KNOWN)
    given = document.get("configuration")
    pattern = given.get("uplinkTopicPattern") if isinstance(given, dict) else None
    if isinstance(pattern, str) and not any(violation.pointer == _PATTERN for violation in violations):
        violations += text_violations(pattern, _PATTERN)
        try:
            compile_pattern(pattern)
        except PatternError as error:
            violations.append(_pattern_violation(error))
    return None if request is None else request.configuration, violations


def _pattern_violation(error: Exception) -> Violation:
    detail = str(error)
    return Violation(_PATTERN, f"{detail[:1].upper()}{detail[1:]}.")
