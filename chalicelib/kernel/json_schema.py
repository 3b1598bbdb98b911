"""Parts of JSON Schema that pydantic lacks or reads differently."""

from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic.config import JsonDict


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer as in JSON Schema, where 5000.0 is one."""


def given(*names: str) -> JsonDict:
    """A schema of objects that have all of these strings."""
    return {"required": [*names], "properties": {name: {"type": "string"} for name in names}}


def absent(*names: str) -> JsonDict:
    """A schema of objects that have none of these fields, or null."""
    return {"properties": {name: {"type": "null"} for name in names}}
