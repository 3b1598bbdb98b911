"""Calls the queue and schedule handlers that the app declares, as Lambda would, and answers Invoke for the others.

``python -m infra.local.lambda_service.runner --project . --module app --stage local --directory .local``

This process imports the app only to read its declarations; the handlers run in worker processes. SIGTERM stops the
runner in order. Its workers end with it, also when it is killed.
"""

import argparse
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import boto3
from chalice.app import ScheduledEventConfig, SQSEventConfig

from chalicelib.config import Settings, Timing
from infra.local.files import write_atomically
from infra.local.lambda_service.environment import Function
from infra.local.lambda_service.invocations import Invocations
from infra.local.lambda_service.sources import QueueMapping, QueueSource, Schedule, Source, minutes_of

PIDS_FILE = "workers.json"
_PATIENCE = 3.0
_KNOWN_WITHIN = 30.0
_LOOK_AGAIN = 0.2
_CONCURRENCY = {"forward": (8, 8), "forward_slow": (2, 8), "consume": (2, 8), "send_downlinks": (1, 2)}
"""Initial and maximum number of concurrent invocations, small enough for a developer's machine. A frozen broker blocks
one forwarder per report until its breaker opens; a forwarder that starts only then would be late for the others."""
_DEFAULT_CONCURRENCY = (1, 2)


@dataclass(frozen=True)
class Options:
    """Options of a runner. ``timeouts`` are seconds by function and override the settings."""

    project: Path
    module: str
    stage: str
    directory: Path
    timeouts: Mapping[str, float] = field(default_factory=dict)
    invoke_port: int | None = None
    """The port of Lambda's Invoke for the functions without an event source; None: they are not served."""


class Runner:
    """The event sources of an app. Calls ``on_pids`` with the workers' pids whenever they change."""

    def __init__(self, options: Options, environment: Mapping[str, str], on_pids: Callable[[list[int]], None]) -> None:
        self._options = options
        self._stage = _stage(options)
        # The stage's variables win, as in `chalice local` and Lambda.
        self._environment = {**environment, **self._variables("")}
        self._timing = Settings.from_environment(self._environment).timing
        self._on_pids = on_pids
        self._publishing = threading.Lock()
        self._sources: list[Source] = []

    def start(self) -> None:
        """Starts all sources. Raises SystemExit with the reason when the app declares an unsupported source."""
        os.environ.update(self._environment)
        sys.path.insert(0, str(self._options.project))
        app = importlib.import_module(self._options.module).app
        sqs = boto3.session.Session().client("sqs")
        for declared in app.event_sources:
            function = self._function(declared.name)
            if isinstance(declared, SQSEventConfig):
                source = _queue_source(sqs, declared)
                self._sources.append(QueueMapping(function, source, sqs, self._publish))
            elif isinstance(declared, ScheduledEventConfig):
                self._sources.append(self._schedule(function, declared))
            else:
                raise SystemExit(f"{declared.name}: {type(declared).__name__} is not supported here.")
        if self._options.invoke_port is not None:
            functions = [self._function(declared.name) for declared in app.pure_lambda_functions]
            self._sources.append(Invocations(functions, self._options.invoke_port, self._publish))
        for each in self._sources:
            each.start()

    def stop(self) -> None:
        """Stops all sources in parallel, after a short wait for running invocations."""
        stopping = [threading.Thread(target=each.stop, args=(_PATIENCE,)) for each in self._sources]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        self._publish()

    def pids(self) -> list[int]:
        return [pid for source in self._sources for pid in source.pids()]

    def _publish(self) -> None:
        with self._publishing:
            self._on_pids(self.pids())

    def _schedule(self, function: Function, declared: Any) -> Schedule:
        expression = declared.schedule_expression
        try:
            minutes = minutes_of(expression if isinstance(expression, str) else expression.to_string())
        except ValueError as error:
            raise SystemExit(f"{declared.name}: {error}") from error
        return Schedule(function, minutes * self._timing.schedule, self._timing.schedule, self._publish)

    def _function(self, name: str) -> Function:
        return Function(
            name=name,
            project=self._options.project,
            module=self._options.module,
            timeout=self._timeout(name, self._timing),
            environment={
                **self._environment,
                **self._variables(name),
                "AWS_LAMBDA_FUNCTION_NAME": name,
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            },
            log=self._options.directory / "logs" / f"{name}.log",
        )

    def _timeout(self, name: str, timing: Timing) -> float:
        if name in self._options.timeouts:
            return self._options.timeouts[name]
        if name == "consume":
            return timing.poll_timeout
        if name in ("forward", "send_downlinks"):
            return timing.function_timeout
        declared = self._stage.get("lambda_functions", {}).get(name, {}).get("lambda_timeout")
        return float(declared) if declared else timing.function_timeout

    def _variables(self, function: str) -> dict[str, str]:
        own = self._stage.get("lambda_functions", {}).get(function, {})
        return {**self._stage.get("environment_variables", {}), **own.get("environment_variables", {})}


def _stage(options: Options) -> dict[str, Any]:
    """The stage of ``.chalice/config.json`` merged with the top-level values. Empty when the file is missing."""
    path = options.project / ".chalice" / "config.json"
    if not path.exists():
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    stage: dict[str, Any] = document.get("stages", {}).get(options.stage, {})
    above = {key: document[key] for key in ("environment_variables", "lambda_functions") if key in document}
    variables = {**above.get("environment_variables", {}), **stage.get("environment_variables", {})}
    return {**above, **stage, "environment_variables": variables}


def _queue_url(sqs: Any, name: str) -> str:
    """Return the address of a queue. SQS may not know a queue for some seconds after its creation."""
    deadline = time.monotonic() + _KNOWN_WITHIN
    while True:
        try:
            return str(sqs.get_queue_url(QueueName=name)["QueueUrl"])
        except sqs.exceptions.QueueDoesNotExist:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_AGAIN)


def _queue_source(sqs: Any, declared: Any) -> QueueSource:
    name = declared.queue or declared.queue_arn.rsplit(":", 1)[-1]
    url = _queue_url(sqs, name)
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    least, most = _CONCURRENCY.get(declared.name, _DEFAULT_CONCURRENCY)
    most = min(most, declared.maximum_concurrency or most)
    return QueueSource(
        url=url,
        arn=arn,
        region=sqs.meta.region_name,
        batch_size=declared.batch_size,
        window=float(declared.maximum_batching_window_in_seconds or 0),
        least=min(least, most),
        most=most,
    )


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--module", default="app")
    parser.add_argument("--stage", default="local")
    parser.add_argument("--directory", type=Path, required=True, help="where logs and workers.json are written")
    parser.add_argument("--invoke-port", type=int, help="where Lambda's Invoke is served")
    parser.add_argument("--timeout", action="append", default=[], metavar="FUNCTION=SECONDS")
    parsed = parser.parse_args(arguments)
    timeouts = {name: float(seconds) for name, _, seconds in (each.partition("=") for each in parsed.timeout)}
    where = parsed.project.resolve(), parsed.module, parsed.stage, parsed.directory.resolve()
    return Options(*where, timeouts, parsed.invoke_port)


def main() -> None:
    options = _options(None)
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    pids_file = options.directory / PIDS_FILE
    runner = Runner(options, os.environ, lambda pids: write_atomically(pids_file, {"pids": pids}))
    runner.start()
    stopping.wait()
    runner.stop()


if __name__ == "__main__":
    main()
