"""What JSON Schema and pydantic see differently, or pydantic has no word for."""

from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic.config import JsonDict, JsonValue


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer as JSON Schema has it: 5000.0 is one."""


def _given(*names: str) -> JsonDict:
    return {"required": [*names], "properties": {name: {"type": "string"} for name in names}}


def _absent(*names: str) -> JsonDict:
    return {"properties": {name: {"type": "null"} for name in names}}


TOGETHER: list[JsonValue] = [
    {
        "anyOf": [
            _given("downlinkTopicPattern"),
            {"required": ["downlinkEnabled"], "properties": {"downlinkEnabled": {"const": False}}},
        ]
    },
    {"anyOf": [_given("username", "password"), _absent("username", "password")]},
    {"anyOf": [_given("certificate", "privateKey"), _absent("certificate", "privateKey")]},
    {
        "anyOf": [
            {"properties": {"protocol": {"const": "SSL"}}},
            _absent("certificate", "privateKey", "trustedCaCertificate"),
        ]
    },
]
"""Which fields of a configuration go together, as a JSON Schema says it; ``validation`` says it to people."""
