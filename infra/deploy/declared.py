"""Settings of a stage that neither a template nor Chalice can make, with reasons. ``beyond.py`` makes and checks them.

A stage of ``.chalice/config.json`` may set other numbers in ``deploy.concurrency`` (infra/README.md).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A queue's event source: how many invocations it may run at once, and how long it collects a batch."""

    concurrency: int
    batch_window: int = 0
    """Seconds. Zero: a report alone must not wait for others."""


SOURCES = {
    "forward": Source(50),
    "forward_slow": Source(50),
    # Twice fifty, because a poll runs until its successor has taken over its connections.
    "consume": Source(100),
    "send_downlinks": Source(50),
}
"""By function. AWS accepts 2 to 1000."""

QUEUES = {"forward": "wakes", "forward_slow": "wakes-slow", "consume": "polls", "send_downlinks": "downlinks.fifo"}
"""The last part of the name of each function's queue, as in app.py."""

RESERVED = {"api_handler": 100, "codec": 50}
"""Reserved concurrency by function: other functions of the account cannot take the API's share, and the API cannot take
theirs. Without it, forwarders that wait for slow brokers would make POST /uplinks wait, too. Drivers cannot take more
than the codec's share, however many forwarders ask for them."""

UNRESERVED_MINIMUM = 100
"""AWS keeps as many concurrent executions of an account without a reservation."""


@dataclass(frozen=True)
class AsynchronousCalls:
    """Retries and age of a scheduled invocation that failed or was throttled."""

    retries: int
    maximum_age: int
    """Seconds, at least 60."""


ASYNCHRONOUS = {
    "reconcile": AsynchronousCalls(retries=0, maximum_age=60),
    "notify": AsynchronousCalls(retries=0, maximum_age=60),
}
"""The schedule, and for notifications the reconciler, call every minute; an invocation of an earlier minute would only
run beside the next one."""

ACCESS_LOG_FORMAT = (
    '{"requestId":"$context.requestId","time":"$context.requestTime","method":"$context.httpMethod",'
    '"path":"$context.resourcePath","status":"$context.status","latencyMs":"$context.responseLatency",'
    '"integrationMs":"$context.integrationLatency","bytes":"$context.responseLength",'
    '"error":"$context.error.messageString"}'
)
"""One line a request, without the client's address and without the query, whose parameters identify devices."""

COST_TAG = "iot-flow:stage"
"""The tag of every resource, with the stage as its value. Activate it in Billing as a cost allocation tag."""
