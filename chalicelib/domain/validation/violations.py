"""Violations of a document: pydantic's errors and checks of texts, as JSON pointers and sentences with a remedy."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from chalicelib.domain.amqp_limits import MAX_SHORT_STRING
from chalicelib.errors import Violation
from chalicelib.kernel.json_pointer import pointer
from chalicelib.kernel.text import has_direction_control, is_visible

MAX_VIOLATIONS = 100
"""Maximum number of violations in one response."""

Values = Mapping[str, Any]
"""The fields of an object that are well-formed and not null, named as in the document."""

_SENTENCES = {
    "missing": "This field is mandatory; add it.",
    "string_type": "This must be a string.",
    "string_too_short": "This must have at least {min_length} character(s).",
    "string_too_long": "This must have at most {max_length} characters.",
    "bool_type": "This must be true or false.",
    "int_type": "This must be a whole number.",
    "int_from_float": "This must be a whole number.",
    "int_parsing_size": "This number is too large.",
    "greater_than_equal": "This must be at least {ge}.",
    "less_than_equal": "This must be at most {le}.",
    "literal_error": "This must be {expected}.",
    "enum": "This must be {expected}.",
    "list_type": "This must be an array.",
    "model_type": "This must be an object.",
    "model_attributes_type": "This must be an object.",
    "dict_type": "This must be an object.",
    "string_pattern_mismatch": "This must match {pattern}.",
}


def violations_of(error: ValidationError, known_names: Mapping[str, Sequence[str]]) -> list[Violation]:
    """Return the violations of a document. No sentence shows a value, because it could be a secret.

    ``known_names``: the field names of the object at each pointer, to propose one for an unknown name.
    """
    violations = []
    for item in error.errors(include_url=False, include_input=False)[:MAX_VIOLATIONS]:
        location = item["loc"]
        if item["type"] == "extra_forbidden":
            detail = _unknown(str(location[-1]), known_names.get(pointer(location[:-1]), ()))
        else:
            detail = _sentence(item["type"], item.get("ctx", {}), item["msg"])
        violations.append(Violation(pointer(location), detail))
    return violations


def _unknown(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  # most cold starts refuse nothing

    close = get_close_matches(name[:64], known, n=1)
    return f"This field is unknown; did you mean {close[0]}?" if close else "This field is unknown; remove it."


def _sentence(type_: str, context: Mapping[str, Any], message: str) -> str:
    if type_ == "value_error":
        detail = str(context["error"])
        return detail[:1].upper() + detail[1:]
    template = _SENTENCES.get(type_)
    return template.format_map(context) if template is not None else f"{message}."


def well_formed(value: object, place: str, wrong_places: Collection[str]) -> Values:
    """Return the fields of the object at ``place`` that are not null and have no structural violation."""
    if not isinstance(value, dict):
        return {}
    return {
        name: member
        for name, member in value.items()
        if member is not None and isinstance(name, str) and place + pointer([name]) not in wrong_places
    }


def text_violations(value: object, place: str, *, breaks: str = "", shown: bool = False) -> list[Violation]:
    """Return the violations of a text: control characters other than ``breaks``.

    ``shown``: users read the text in lists and messages, so controls of the text direction are violations, too.

    The type is not checked: a value that is not a string has no violations.
    """
    if not isinstance(value, str):
        return []
    if any(unicodedata.category(character) == "Cc" and character not in breaks for character in value):
        return [Violation(place, "The text contains a control character. Remove it.")]
    if shown and has_direction_control(value):
        detail = "The text contains a control of the text direction, such as U+202E. Remove it."
        return [Violation(place, detail)]
    return []


def name_violations(value: object, place: str) -> list[Violation]:
    """Return the violations of a name: those of a text that is shown, and no visible character."""
    violations = text_violations(value, place, shown=True)
    if not violations and isinstance(value, str) and value and not is_visible(value):
        return [Violation(place, "The name contains only blanks or invisible characters. Enter a name.")]
    return violations


def short_string_violations(value: object, place: str) -> list[Violation]:
    """Return the violation of a name that is longer than an AMQP short string."""
    if isinstance(value, str) and len(value.encode("utf-8", "replace")) > MAX_SHORT_STRING:
        return [
            Violation(
                place, f"This has more than {MAX_SHORT_STRING} bytes of UTF-8, which is AMQP's limit; shorten it."
            )
        ]
    return []
