"""Validation of requests that create or replace a flow. All violations are reported together."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from chalicelib.domain.flows.flow import (
    MAX_CONNECTORS,
    MAX_KEYS,
    MAX_MATCHERS,
    Flow,
    FlowConnector,
    FlowDriver,
    FlowRequest,
    Matcher,
)
from chalicelib.domain.validation.connections import surrogate_violations
from chalicelib.domain.validation.violations import MAX_VIOLATIONS, name_violations, text_violations, violations_of
from chalicelib.errors import InvalidRequest, Violation

READ_ONLY = frozenset({"id", "createdAt", "updatedAt", "version"})
_OTHERS = {"thing": ("key", "keys"), "key": ("tags",)}

UNKNOWN_DRIVER = Violation(
    "/driver/id",
    "This driver does not exist. Check the id, or write actility:auto:1 to choose by the device's model.",
)


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


_KNOWN = (
    {"": _names(FlowRequest), "/driver": _names(FlowDriver)}
    | {f"/connectors/{place}": _names(FlowConnector) for place in range(MAX_CONNECTORS)}
    | {f"/matchers/{place}": _names(Matcher) for place in range(MAX_MATCHERS)}
)


def parse_flow(
    document: object,
    stored: Flow | None,
    is_connection: Callable[[str], bool],
    is_driver: Callable[[str], bool],
) -> FlowRequest:
    """Return the request in ``document``. ``stored``: the replaced flow, None for a new one.

    ``is_connection`` and ``is_driver``: return whether the tenant has the connection, and whether a flow may name the
    driver. Raises InvalidRequest with all violations, at most MAX_VIOLATIONS.
    """
    if not isinstance(document, dict):
        raise InvalidRequest([Violation("", "A flow is a JSON object; send one.")])
    violations: list[Violation] = []
    if stored is not None:
        if document.get("id") not in (None, stored.id):
            violations = [Violation("/id", "This is not the id of the flow; omit it or send the right one.")]
        document = {name: value for name, value in document.items() if name not in READ_ONLY}
    request, wrong = _structure(document)
    violations += wrong
    places = {violation.pointer for violation in wrong}
    more = name_violations(document.get("name"), "/name")
    more += text_violations(document.get("description"), "/description", breaks="\r\n\t", shown=True)
    more += _matchers(document.get("matchers")) + _connectors(document.get("connectors"), is_connection)
    more += _driver(document.get("driver"), is_driver)
    # A field has one violation: its type or length first.
    violations += [violation for violation in more if violation.pointer not in places]
    if violations or request is None:
        raise InvalidRequest(list(dict.fromkeys(violations))[:MAX_VIOLATIONS])
    return request


def unknown_connection(place: int) -> Violation:
    """Return the violation of a connector whose connection does not exist or is another tenant's."""
    return Violation(f"/connectors/{place}/connectionId", "This connection does not exist. Check the id.")


def _structure(document: Mapping[str, Any]) -> tuple[FlowRequest | None, list[Violation]]:
    surrogates = surrogate_violations(document)
    if surrogates:
        return None, surrogates
    try:
        # Strict validation accepts strings for enumerations only when it parses JSON text.
        text = json.dumps(document)
        return FlowRequest.model_validate_json(text, strict=True, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, violations_of(error, _KNOWN)


def _matchers(given: object) -> list[Violation]:
    if not isinstance(given, list):
        return []
    violations: list[Violation] = []
    keys = 0
    for place, matcher in enumerate(given[:MAX_MATCHERS]):
        if isinstance(matcher, dict):
            violations += _matcher(matcher, f"/matchers/{place}")
            listed = matcher.get("keys")
            keys += (matcher.get("key") is not None) + (len(listed) if isinstance(listed, list) else 0)
    if keys > MAX_KEYS:
        detail = f"The matchers have {keys} keys, and a flow has at most {MAX_KEYS}. Use prefixes, or two flows."
        violations.append(Violation("/matchers", detail))
    return violations


def _matcher(matcher: Mapping[str, Any], place: str) -> list[Violation]:
    kind = matcher.get("type")
    if kind not in _OTHERS:
        return []
    violations = [
        Violation(f"{place}/{name}", f"A matcher of the type {kind} does not have this field. Remove it.")
        for name in _OTHERS[kind]
        if matcher.get(name) is not None
    ]
    given = [name for name in ("tags", "key", "keys") if name not in _OTHERS[kind] and matcher.get(name) is not None]
    if not given:
        name, other = ("tags", "") if kind == "thing" else ("key", ", or keys")
        violations.append(Violation(f"{place}/{name}", f"This field is mandatory{other}; add it."))
    elif len(given) > 1:
        violations.append(Violation(f"{place}/keys", "Send key or keys, not both."))
    tags = matcher.get("tags")
    for index, tag in enumerate(tags if isinstance(tags, list) else ()):
        violations += name_violations(tag, f"{place}/tags/{index}")
    return violations


def _connectors(given: object, is_connection: Callable[[str], bool]) -> list[Violation]:
    violations: list[Violation] = []
    seen: set[str] = set()
    for place, connector in enumerate(given[:MAX_CONNECTORS] if isinstance(given, list) else ()):
        connection_id = connector.get("connectionId") if isinstance(connector, dict) else None
        if not isinstance(connection_id, str):
            continue
        if connection_id in seen:
            detail = "Another connector of the flow has this connection. Remove one of them."
            violations.append(Violation(f"/connectors/{place}/connectionId", detail))
        elif not is_connection(connection_id):
            violations.append(unknown_connection(place))
        seen.add(connection_id)
    return violations


def _driver(given: object, is_driver: Callable[[str], bool]) -> list[Violation]:
    driver_id = given.get("id") if isinstance(given, dict) else None
    if not isinstance(driver_id, str):
        return []
    violations = text_violations(driver_id, "/driver/id")
    if not violations and not is_driver(driver_id):
        violations = [UNKNOWN_DRIVER]
    return violations
