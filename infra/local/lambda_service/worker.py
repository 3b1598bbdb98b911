"""One execution environment as in Lambda: a fresh interpreter that imports the app and runs one event at a time.

The runner starts it and writes invocations as lines of JSON to stdin. The answers go to a separate pipe, because
handlers print their log to stdout. The process ends when stdin ends, even in a handler, so that it never outlives the
runner.
"""

import argparse
import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from infra.local.processes import die_with_parent


@dataclass(frozen=True)
class LambdaContext:
    """The context argument of a handler. Source: AWS Lambda, "context object in Python"."""

    function_name: str
    aws_request_id: str
    timeout: float
    """Seconds."""
    function_version: str = "$LATEST"
    memory_limit_in_mb: str = "512"
    log_stream_name: str = "local"
    identity: None = None
    client_context: None = None
    _began: float = field(default_factory=time.monotonic)

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:{os.environ.get('AWS_REGION', 'local')}:123456789012:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.timeout - (time.monotonic() - self._began)) * 1000))


def _read_invocations(source: TextIO, invocations: "queue.SimpleQueue[str]") -> None:
    for line in source:
        invocations.put(line)
    os._exit(0)


def _invoke(handler: Callable[[Any, Any], Any], function: str, invocation: dict[str, Any]) -> dict[str, Any]:
    context = LambdaContext(function, invocation["requestId"], invocation["timeout"])
    try:
        result = handler(invocation["event"], context)
    except Exception as error:  # noqa: BLE001  # as Lambda: whatever a handler raises is its invocation's error
        traceback.print_exc()
        return {"requestId": invocation["requestId"], "error": f"{type(error).__name__}: {error}"}
    return {"requestId": invocation["requestId"], "error": None, "result": result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runner", type=int, required=True, help="process id of the runner")
    parser.add_argument("--project", required=True, help="directory that the module is imported from")
    parser.add_argument("--module", required=True)
    parser.add_argument("--function", required=True)
    parser.add_argument("--answers", type=int, required=True, help="file descriptor")
    arguments = parser.parse_args()
    # A frozen worker cannot see the end of stdin, but SIGKILL ends it.
    die_with_parent(arguments.runner, signal.SIGKILL)
    invocations: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_invocations, args=(sys.stdin, invocations), daemon=True).start()
    sys.path.insert(0, arguments.project)
    handler = importlib.import_module(arguments.module).app.handler_map[arguments.function]
    with os.fdopen(arguments.answers, "w", encoding="utf-8") as answers:
        print(json.dumps({"ready": True}), file=answers, flush=True)
        while True:
            answer = _invoke(handler, arguments.function, json.loads(invocations.get()))
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
