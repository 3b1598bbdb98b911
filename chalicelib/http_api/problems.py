"""Errors as problem documents (RFC 9457).

Handlers are decorated, because Chalice turns an exception of a view into a 500 before any middleware sees it.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import uuid4

from chalice.app import Request, Response

from chalicelib.errors import (
    Conflict,
    Error,
    Forbidden,
    InvalidRequest,
    Malformed,
    NotFound,
    PreconditionFailed,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unfinished,
    Unreadable,
    UnsupportedEncoding,
)
from chalicelib.monitoring import log
from chalicelib.monitoring.request_ids import current_ids

P = ParamSpec("P")
S = TypeVar("S")

_STATUS: tuple[tuple[type[Error], HTTPStatus], ...] = (
    (Malformed, HTTPStatus.BAD_REQUEST),
    (InvalidRequest, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (PreconditionFailed, HTTPStatus.PRECONDITION_FAILED),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (UnsupportedEncoding, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (TooManyRequests, HTTPStatus.TOO_MANY_REQUESTS),
    (Unreadable, HTTPStatus.CONFLICT),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Unfinished, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""Statuses by class of error; the first match applies."""


def answered(
    handler: Callable[Concatenate[S, Request, P], Response],
) -> Callable[Concatenate[S, Request, P], Response]:
    """Decorate a handler whose first argument is the request: its exceptions become problem documents."""

    @wraps(handler)
    def wrapper(self: S, request: Request, /, *args: P.args, **kwargs: P.kwargs) -> Response:
        try:
            return handler(self, request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  # the outermost handler: no exception may pass
            return problem(request, error)

    return wrapper


def problem(request: Request, error: Exception) -> Response:
    """Return the problem document of an error. Any other exception is a 500 that reveals a request id only."""
    status = next((status for type_, status in _STATUS if isinstance(error, type_)), None)
    if status is None:
        request_id = _request_id(request)
        log.error("unexpected error", exc_info=error, extra={"requestId": request_id, "route": request.path})
        return _response(HTTPStatus.INTERNAL_SERVER_ERROR, {"requestId": request_id}, {})
    members: dict[str, Any] = {"detail": str(error)}
    headers: dict[str, str] = {}
    if isinstance(error, Malformed):
        members["detail"] = error.detail
    elif isinstance(error, InvalidRequest):
        members["detail"] = (
            f"The request has {len(error.violations)} violation{'s' * (len(error.violations) > 1)}; see errors."
        )
        members["errors"] = [
            {name: value for name, value in asdict(violation).items() if value is not None}
            for violation in error.violations
        ]
    elif isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        headers["Accept-Encoding"] = "gzip"
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unavailable) and status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
        members["requestId"] = _request_id(request)
        # The reason names internal services, so it goes to the log only.
        members["detail"] = "A required service does not answer. Try again in a few seconds."
        extra = {"requestId": members["requestId"], "reason": str(error), "route": request.path}
        log.error("unavailable", exc_info=error, extra=extra)
    return _response(status, members, headers)


def _response(status: HTTPStatus, members: dict[str, Any], headers: dict[str, str]) -> Response:
    document = {"type": "about:blank", "title": status.phrase, "status": status.value, **members}
    return Response(
        body=json.dumps(document, ensure_ascii=False),
        status_code=status.value,
        headers={
            "Content-Type": "application/problem+json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **headers,
        },
    )


def _request_id(request: Request) -> str:
    return current_ids().get("requestId") or str(request.context.get("requestId") or uuid4())
