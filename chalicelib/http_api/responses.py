"""Builders of responses: JSON bodies, and absolute paths for headers."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from chalice.app import Request, Response


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response. The body is a str, because bytes of JSON work in ``chalice local`` only."""
    return Response(
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        status_code=status,
        headers={
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        },
    )


def no_content() -> Response:
    """Return an empty 204."""
    return Response(body="", status_code=204, headers={"Cache-Control": "no-store"})


def etag(version: int) -> str:
    """Return the strong entity tag of a version."""
    return f'"{version}"'


def path_of(request: Request, *segments: str) -> str:
    """Return the absolute path of a resource, including the stage or the base path of a custom domain."""
    full = str(request.context.get("path") or request.path).rstrip("/").split("/")
    route = request.path.rstrip("/").split("/")
    # The requested path ends with the route, so the rest of its segments is the prefix.
    prefix = full[: len(full) - len(route) + 1]
    return "/".join([*prefix, *(quote(segment, safe="") for segment in segments)])


def next_link(request: Request, cursor: str, name: str = "cursor") -> str:
    """Return the ``Link`` header of a page: the same request with the next page's ``cursor`` as parameter ``name``."""
    path = str(request.context.get("path") or request.path).rstrip("/")
    query = request.query_params
    given = [] if query is None else [(each, query[each]) for each in query if each != name]
    return f'<{path}?{urlencode([*given, (name, cursor)])}>; rel="next"'
