"""Dashboard of a stage, in CloudWatch's JSON. Names in ``${...}`` are parameters of the alarms' template."""

from typing import Any

from chalicelib.vocabulary import ConnectionState, Metric, Unit
from infra.deploy.templates.alarms import FUNCTIONS, Query, own

_WIDTH, _HEIGHT = 8, 6
_COLUMNS = 24 // _WIDTH


def _lambda(metric: str, statistic: str = "Sum") -> list[Query]:
    return [
        Query("AWS/Lambda", metric, statistic, {"FunctionName": f"${{FunctionPrefix}}{suffix}"})
        for suffix in FUNCTIONS.values()
    ]


def _queues(metric: str) -> list[Query]:
    names = ("wakes", "wakes-slow", "polls", "downlinks.fifo")
    return [Query("AWS/SQS", metric, "Maximum", {"QueueName": f"${{Prefix}}-{name}"}) for name in names]


def _tables(metric: str) -> list[Query]:
    names = ("connections", "events", "statistics", "failed-messages", "coordination", "application-servers")
    return [Query("AWS/DynamoDB", metric, "Sum", {"TableName": f"${{Prefix}}-{name}"}) for name in names]


def _own(*metrics: Metric, statistic: str | None = None) -> list[Query]:
    return [own(metric, statistic) for metric in metrics]


def _widgets() -> dict[str, list[Query]]:
    latency = [own(Metric.API_LATENCY, "p99", routes) for routes in ("uplinks", "management", "tests", "console")]
    gauges = (Metric.BREAKERS_OPEN, Metric.TENANTS_BROKEN, Metric.CERTIFICATES_ENDING)
    return {
        "Uplinks": _own(
            Metric.UPLINKS_ACCEPTED, Metric.UPLINKS_DELIVERED, Metric.UPLINKS_FAILED, Metric.UPLINKS_EXPIRED
        ),
        "Delivery delay, p50 and p99": [own(Metric.DELIVERY_DELAY, "p50"), own(Metric.DELIVERY_DELAY, "p99")],
        "Downlinks": _own(*(metric for metric in Metric if metric.startswith("Downlinks"))),
        "Notifications": _own(*(metric for metric in Metric if metric.startswith("Notifications"))),
        "Connections by state": [own(Metric.CONNECTIONS, "Maximum", state.value) for state in ConnectionState],
        "Breakers and certificates": _own(*gauges, statistic="Maximum"),
        "Faults": _own(
            Metric.SWEPT, Metric.UPLINKS_STUCK, Metric.UPLINKS_RETURNED, Metric.UPLINKS_EXPIRE, Metric.UPLINKS_LOST
        )
        + _own(Metric.UPLINKS_LOST, Metric.NOT_HANDLED, Metric.UNREADABLE, Metric.EVENTS_LOST),
        "Responses": _own(Metric.API_2XX, Metric.API_4XX, Metric.API_429, Metric.API_5XX),
        "Latency, p99": latency,
        "Reconciler": _own(*(metric for metric in Metric if metric.unit is Unit.SECONDS and metric.startswith("Rec")))
        + _own(Metric.WAKE_OVERDUE),
        "Age of the shared queues": _queues("ApproximateAgeOfOldestMessage"),
        "Depth of the shared queues": _queues("ApproximateNumberOfMessagesVisible"),
        "Held drains and reports without a wake": _own(Metric.DRAINS_HELD, Metric.QUEUED),
        "Errors of functions": _lambda("Errors"),
        "Throttles": _lambda("Throttles"),
        "Concurrent executions": _lambda("ConcurrentExecutions", "Maximum"),
        "Cost: function time": _lambda("Duration"),
        "Cost: invocations": _lambda("Invocations"),
        "Cost: units written to tables": _tables("ConsumedWriteCapacityUnits"),
    }


def dashboard() -> dict[str, Any]:
    """Return the dashboard's body."""
    return {
        "widgets": [
            {
                "type": "metric",
                "x": index % _COLUMNS * _WIDTH,
                "y": index // _COLUMNS * _HEIGHT,
                "width": _WIDTH,
                "height": _HEIGHT,
                "properties": {
                    "title": title,
                    "region": "${AWS::Region}",
                    "period": 300,
                    "metrics": [_line(query) for query in queries],
                },
            }
            for index, (title, queries) in enumerate(_widgets().items())
        ]
    }


def _line(query: Query) -> list[Any]:
    dimensions = [part for pair in query.dimensions.items() for part in pair]
    return [query.namespace, query.name, *dimensions, {"stat": query.statistic}]
