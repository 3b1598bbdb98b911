"""One operation of the API, as the OpenAPI document describes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

Model = type[BaseModel]


@dataclass(frozen=True)
class Operation:
    """One operation of the API.

    ``answer``: a model, a list with one model, a schema, or None for an empty body. ``body``: alternative models, or a
    schema. ``problems``: statuses besides 401, 403, 422, 500 and 503, which every operation with a scope may answer.
    """

    name: str
    """Name of the function in ``app.py``; the ``operationId``."""
    summary: str
    scope: str | None
    answer: Model | list[Model] | dict[str, Any] | None
    success: int = 200
    body: tuple[Model, ...] | dict[str, Any] = ()
    media_types: tuple[str, ...] = ("application/json",)
    query: tuple[str, ...] = ()
    parameters: Mapping[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """Query parameters that mean something else here than in ``PARAMETERS``."""
    required: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    problems: tuple[int, ...] = ()
    lrc: bool = False
    """True if the LRC's token is accepted in place of a bearer token."""
    examples: Mapping[str, Any] = field(default_factory=dict)
