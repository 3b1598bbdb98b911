"""Request ids: the ids of the running request, which every log line has, and threads that inherit them."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, Token, copy_context
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_ids: ContextVar[dict[str, str]] = ContextVar("request ids")


def set_ids(request_id: str, lambda_request_id: str) -> Token[dict[str, str]]:
    """Set the id that a caller sees (API Gateway's, or Lambda's) and Lambda's own for this context."""
    ids = {"requestId": request_id}
    if lambda_request_id != request_id:
        ids["lambdaRequestId"] = lambda_request_id
    return _ids.set(ids)


def reset_ids(token: Token[dict[str, str]]) -> None:
    """Undo ``set_ids``."""
    _ids.reset(token)


def current_ids() -> dict[str, str]:
    """Return the ids of the running request as members of a log line; empty outside of a request."""
    return _ids.get({})


class InheritingThreads(ThreadPoolExecutor):
    """A pool whose threads run each call with the request ids of the thread that submitted it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        def run(*given: Any, **named: Any) -> T:
            return context.run(fn, *given, **named)

        context = copy_context()
        return super().submit(run, *args, **kwargs)
