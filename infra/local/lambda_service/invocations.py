"""Lambda's Invoke for functions without an event source: ``POST /2015-03-31/functions/<name>/invocations``.

Each function has a few environments. The processes of the codec get no AWS credentials: the deployed function's role
may only write its log. A call that finds no free environment for a while is refused, as Lambda throttles it. A call of
the type ``Event`` is answered at once; it is made once.
"""

import json
import queue
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from infra.local.http_service import Reply, Request, service
from infra.local.lambda_service.environment import Environment, Function, Outcome

_PATH = re.compile(r"/2015-03-31/functions/([A-Za-z0-9_-]+)/invocations")
_ENVIRONMENTS = 2
_WITHOUT_CREDENTIALS = {"codec"}
_PATIENCE = 5.0
"""Seconds that a call waits for a free environment."""


class Invocations:
    """Answers Invoke at a port of this machine."""

    def __init__(self, functions: Sequence[Function], port: int, changed: Callable[[], None]) -> None:
        self._functions = [
            without_credentials(function) if function.name in _WITHOUT_CREDENTIALS else function
            for function in functions
        ]
        self._port = port
        self._changed = changed
        self._environments: list[Environment] = []
        self._free: dict[str, queue.SimpleQueue[Environment]] = {}

    def start(self) -> None:
        for function in self._functions:
            free: queue.SimpleQueue[Environment] = queue.SimpleQueue()
            for _ in range(_ENVIRONMENTS):
                environment = Environment(function, self._changed)
                self._environments.append(environment)
                environment.start()
                free.put(environment)
            self._free[function.name] = free
        self._server = service(self._port, self._answer)
        threading.Thread(target=self._server.serve_forever, name="invocations", daemon=True).start()

    def stop(self, patience: float) -> None:
        self._server.shutdown()
        self._server.server_close()
        for environment in self._environments:
            environment.stop(patience)

    def pids(self) -> list[int]:
        return [pid for environment in self._environments if (pid := environment.pid) is not None]

    def _answer(self, request: Request) -> Reply:
        found = _PATH.fullmatch(request.path)
        free = self._free.get(found[1]) if found else None
        if free is None:
            return _error(404, "ResourceNotFoundException", f"Function not found: {request.path}")
        event = json.loads(request.body or b"null")
        if request.headers.get("x-amz-invocation-type") == "Event":
            threading.Thread(target=self._call, args=(free, event), name="asynchronous call", daemon=True).start()
            return Reply(202, b"")
        return self._call(free, event)

    @staticmethod
    def _call(free: "queue.SimpleQueue[Environment]", event: Any) -> Reply:
        try:
            environment = free.get(timeout=_PATIENCE)
        except queue.Empty:
            return _error(429, "TooManyRequestsException", "Rate Exceeded.")
        try:
            outcome, result = environment.call(event)
        finally:
            free.put(environment)
        if outcome is Outcome.SUCCEEDED:
            return Reply.of_json(result)
        document = {"errorMessage": f"The function {outcome}: {result}"}
        return Reply(200, json.dumps(document).encode(), headers={"X-Amz-Function-Error": "Unhandled"})


def without_credentials(function: Function) -> Function:
    """Return the function with an environment that has nothing of AWS but the function's name."""
    kept = {"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION"}
    environment = {
        name: value for name, value in function.environment.items() if name in kept or not name.startswith("AWS_")
    }
    return replace(function, environment=environment)


def _error(status: int, code: str, message: str) -> Reply:
    document: dict[str, Any] = {"Type": "User", "Message": message}
    return Reply(status, json.dumps(document).encode(), headers={"x-amzn-ErrorType": code})
