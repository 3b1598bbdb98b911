"""Invocations: conversion of Lambda's SQS events into queue records and deadlines, request ids and metrics."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol
from uuid import uuid4

from chalice.app import CloudWatchEvent, Request

from chalicelib.config import settings
from chalicelib.entry.services import services
from chalicelib.errors import Unavailable
from chalicelib.kernel.times import parse_time
from chalicelib.monitoring import log
from chalicelib.monitoring.metrics import metrics
from chalicelib.monitoring.request_ids import current_ids, reset_ids, set_ids
from chalicelib.ports.queues import QueueRecord
from chalicelib.vocabulary import Metric


class LambdaEvent(Protocol):
    """The members of Chalice's event classes that the handlers use."""

    context: Any
    """Lambda's context object. Chalice annotates it with a different type."""

    def to_dict(self) -> dict[str, Any]: ...


def records(event: LambdaEvent) -> list[QueueRecord]:
    """Return the messages of an SQS event, in their order."""
    return [
        QueueRecord(
            receipt=record["receiptHandle"],
            message_id=record["messageId"],
            body=record["body"],
            group=record["attributes"].get("MessageGroupId", ""),
            attempts=int(record["attributes"].get("ApproximateReceiveCount", 1)),
            received_at=int(record["attributes"].get("ApproximateFirstReceiveTimestamp", 0)) / 1000,
            deduplication_id=record["attributes"].get("MessageDeduplicationId", ""),
            report=record.get("messageAttributes", {}).get("report", {}).get("stringValue") or "",
        )
        for record in event.to_dict()["Records"]
    ]


def deadline(event: LambdaEvent) -> float:
    """Return the monotonic time at which Lambda ends the function."""
    return time_left(event.context)


def time_left(context: Any) -> float:
    """Return ``deadline`` for a function that is invoked without an event source. ``context``: Lambda's."""
    milliseconds: int = context.get_remaining_time_in_millis()
    return time.monotonic() + milliseconds / 1000


def observed(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Run an invocation with its request ids, and write its metrics at its end, also when it raises.

    Chalice's middleware of every handler. ``event``: a request of the API, or the event of a queue or the schedule.
    """
    is_request = isinstance(event, Request)
    context = event.lambda_context if is_request else getattr(event, "context", None)
    lambda_id = str(getattr(context, "aws_request_id", None) or uuid4())
    given = event.context.get("requestId") if is_request else None
    token = set_ids(str(given or lambda_id), lambda_id)
    metrics.begin(settings().resource_prefix)
    began = time.monotonic()
    try:
        if isinstance(event, CloudWatchEvent):
            metrics.add(Metric.RECONCILER_LAG, max(0.0, time.time() - (parse_time(event.time) or time.time())))
        response = get_response(event)
        if is_request:
            metrics.add(_class_of(response.status_code))
            metrics.add(Metric.API_LATENCY, 1000 * (time.monotonic() - began), of=_routes(event))
    except Exception:
        if is_request:
            metrics.add(Metric.API_5XX)
        raise
    else:
        return response
    finally:
        _flush_statistics()
        metrics.write(current_ids().get("requestId"))
        reset_ids(token)


def _flush_statistics() -> None:
    """Write the counters of whole tenants, if this invocation counted anything."""
    statistics = vars(services()).get("statistics")
    if statistics is None:
        return
    try:
        statistics.flush()
    except Unavailable as error:
        log.warning("statistics of tenants not stored", extra={"reason": str(error)})


def _class_of(status: int) -> Metric:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Metric.API_429
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Metric.API_5XX
    return Metric.API_4XX if status >= HTTPStatus.BAD_REQUEST else Metric.API_2XX


def _routes(request: Request) -> str:
    """Return the group of a route: tests may take 25 s by design, so their latency is measured apart."""
    path: str = request.context.get("resourcePath") or request.path
    if path.endswith("/test"):
        return "tests"
    first = path.split("/")[1]
    return first if first in {"uplinks", "console"} else "management"
