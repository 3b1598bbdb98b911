"""Validation of requests that create or replace a driver. All violations are reported together."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from chalicelib.domain.drivers.driver import MAX_CODE, MAX_MODELS, Driver, DriverRequest, Model, is_automatic
from chalicelib.domain.validation.connections import surrogate_violations
from chalicelib.domain.validation.violations import MAX_VIOLATIONS, name_violations, text_violations, violations_of
from chalicelib.errors import InvalidRequest, Violation

READ_ONLY = frozenset({"createdAt", "updatedAt", "version", "codeSize"})

_SOME_ID = "producer:module:1"


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


_KNOWN = {"": _names(DriverRequest)} | {f"/models/{place}": _names(Model) for place in range(MAX_MODELS)}


def parse_driver(document: object, stored: Driver | None) -> DriverRequest:
    """Return the request in ``document``. ``stored``: the replaced driver, None for a new one.

    Raises InvalidRequest with all violations, at most MAX_VIOLATIONS.
    """
    if not isinstance(document, dict):
        raise InvalidRequest([Violation("", "A driver is a JSON object; send one.")])
    violations: list[Violation] = []
    if stored is not None:
        if document.get("id") not in (None, stored.id):
            violations = [Violation("/id", "This is not the id of the driver; omit it or send the right one.")]
        # A stored id is right, whatever the pattern of this release is.
        document = {name: value for name, value in document.items() if name not in READ_ONLY} | {"id": _SOME_ID}
    request, wrong = _structure(document)
    violations += wrong
    places = {violation.pointer for violation in wrong}
    more = name_violations(document.get("name"), "/name")
    more += text_violations(document.get("description"), "/description", breaks="\r\n\t", shown=True)
    more += _id(document.get("id")) if stored is None else []
    more += code_violations(document.get("code"), "/code")
    # A field has one violation: its type or length first.
    violations += [violation for violation in more if violation.pointer not in places]
    if violations or request is None:
        raise InvalidRequest(list(dict.fromkeys(violations))[:MAX_VIOLATIONS])
    return request if stored is None else request.model_copy(update={"id": stored.id})


def _structure(document: Mapping[str, Any]) -> tuple[DriverRequest | None, list[Violation]]:
    surrogates = surrogate_violations(document)
    if surrogates:
        return None, surrogates
    try:
        text = json.dumps(document)
        return DriverRequest.model_validate_json(text, strict=True, by_alias=True, by_name=False), []
    except ValidationError as error:
        detail = "An id is producerId:moduleId:version, each of 1 to 64 letters, digits or any of . _ - characters."
        return None, [
            Violation("/id", detail) if each.pointer == "/id" and "match" in each.detail else each
            for each in violations_of(error, _KNOWN)
        ]


def _id(given: object) -> list[Violation]:
    if isinstance(given, str) and is_automatic(given):
        return [Violation("/id", "The module auto stands for the driver that fits a device. Use another moduleId.")]
    return []


def code_violations(code: object, place: str) -> list[Violation]:
    """Return the violation of a code that is too large."""
    if isinstance(code, str) and len(code.encode("utf-8", "replace")) > MAX_CODE:
        return [Violation(place, f"The code has more than {MAX_CODE} bytes of UTF-8. Send a shorter or minified one.")]
    return []
