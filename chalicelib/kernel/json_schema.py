"""Parts of JSON Schema that pydantic lacks or interprets differently."""

from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic.config import JsonDict


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer as JSON Schema defines it: 5000.0 is an integer."""


def given(*names: str) -> JsonDict:
    """Return a schema of objects in which all these fields are strings."""
    return {"required": [*names], "properties": {name: {"type": "string"} for name in names}}


def absent(*names: str) -> JsonDict:
    """Return a schema of objects in which each of these fields is absent or null."""
    return {"properties": {name: {"type": "null"} for name in names}}
