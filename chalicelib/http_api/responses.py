"""Answers in JSON, and the absolute paths in their headers."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from chalice.app import Request, Response


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A str body, for bytes of JSON work in ``chalice local`` only."""
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
    return Response(body="", status_code=204, headers={"Cache-Control": "no-store"})


def etag(version: int) -> str:
    return f'"{version}"'


def path_of(request: Request, *segments: str) -> str:
    """The absolute path of a resource of this API, with the stage (or a custom domain's base path) before it."""
    own = str(request.context.get("path") or request.path).rstrip("/").split("/")
    route = request.path.rstrip("/").split("/")
    # The requested path ends in the route, in whatever spelling its parameters have.
    prefix = own[: len(own) - len(route) + 1]
    return "/".join([*prefix, *(quote(segment, safe="") for segment in segments)])


def next_link(request: Request, cursor: str) -> str:
    """The ``Link`` header of a page: the same request, from ``cursor`` on."""
    own = str(request.context.get("path") or request.path).rstrip("/")
    query = request.query_params
    given = [] if query is None else [(name, query[name]) for name in query if name != "cursor"]
    return f'<{own}?{urlencode([*given, ("cursor", cursor)])}>; rel="next"'
