"""Alarms of a stage, declared once and printed as the template of the stack ``<prefix>-alarms``.

``python -m infra.deploy.templates.alarms`` prints the template. Each alarm has an entry of its name in ``RUNBOOK``.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chalicelib.monitoring.metrics import NAMESPACE
from chalicelib.vocabulary import Metric, Unit

RUNBOOK = "docs/operations/runbook.md"
FUNCTIONS = {
    "api": "",
    "codec": "-codec",
    "forward": "-forward",
    "forward_slow": "-forward_slow",
    "consume": "-consume",
    "send_downlinks": "-send_downlinks",
    "reconcile": "-reconcile",
    "notify": "-notify",
}
"""Names of the functions after Chalice's app name and stage."""
PARAMETERS: dict[str, dict[str, Any]] = {
    "Prefix": {"Type": "String", "Default": "iot-flow-dev", "Description": "As in the data stack."},
    "FunctionPrefix": {"Type": "String", "Default": "iot-flow-amqp-dev", "Description": "As in the data stack."},
    "ApiName": {"Type": "String", "Default": "iot-flow-amqp", "Description": "The name of the REST API."},
    "ApiStage": {"Type": "String", "Default": "api", "Description": "Chalice's setting api_gateway_stage."},
    "AlarmTopicArn": {
        "Type": "String",
        "Default": "",
        "Description": "An SNS topic for alarms and their ends. Without it, CloudWatch only shows them.",
    },
    "ConcurrencyLimit": {
        "Type": "Number",
        "Default": 800,
        "Description": "Concurrent executions of the account from which an alarm warns, such as 80 % of the quota.",
    },
}


@dataclass(frozen=True)
class Query:
    """One metric of AWS or of this program. ``dimensions``: templates of values by name."""

    namespace: str
    name: str
    statistic: str
    dimensions: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the members that an alarm and a metric of an expression have in common."""
        return {
            "Namespace": self.namespace,
            "MetricName": self.name,
            "Dimensions": [{"Name": name, "Value": _value(text)} for name, text in self.dimensions.items()],
        }


def _value(text: str) -> Any:
    return {"Fn::Sub": text} if "${" in text else text


def own(metric: Metric, statistic: str | None = None, of: str = "") -> Query:
    """Return one of this program's metrics. Counts are summed, of times the longest is taken."""
    dimensions = {"Stage": "${Prefix}"} | ({metric.by: of} if metric.by else {})
    default = "Sum" if metric.unit is Unit.COUNT else "Maximum"
    return Query(NAMESPACE, metric.value, statistic or default, dimensions)


@dataclass(frozen=True)
class Alarm:
    """An alarm: on when ``periods`` periods of ``period`` seconds in succession are above (or below) ``threshold``.

    With ``expression``, the queries ``m0``, ``m1`` ... are its arguments and its result is compared.
    """

    name: str
    description: str
    queries: tuple[Query, ...]
    threshold: float
    period: int = 300
    periods: int = 1
    below: bool = False
    expression: str = ""
    missing: str = "notBreaching"

    def resource(self) -> dict[str, Any]:
        """Return the alarm's properties in CloudFormation."""
        topic = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
        properties: dict[str, Any] = {
            "AlarmName": {"Fn::Sub": f"${{Prefix}}-{self.name}"},
            "AlarmDescription": f"{self.description} See {RUNBOOK}#{self.name}",
            "EvaluationPeriods": self.periods,
            "ComparisonOperator": "LessThanThreshold" if self.below else "GreaterThanThreshold",
            "Threshold": self.threshold,
            "TreatMissingData": self.missing,
            "AlarmActions": topic,
            "OKActions": topic,
        }
        if self.expression:
            properties["Metrics"] = [
                {"Id": "result", "Expression": self.expression, "ReturnData": True},
                *(
                    {
                        "Id": f"m{index}",
                        "MetricStat": {"Metric": query.body(), "Period": self.period, "Stat": query.statistic},
                        "ReturnData": False,
                    }
                    for index, query in enumerate(self.queries)
                ),
            ]
        else:
            [query] = self.queries
            stat = "ExtendedStatistic" if query.statistic.startswith("p") else "Statistic"
            properties |= {**query.body(), stat: query.statistic, "Period": self.period}
        return {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}


def _of_aws() -> Iterator[Alarm]:
    for queue in ("wakes", "wakes-slow"):
        query = Query("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", {"QueueName": f"${{Prefix}}-{queue}"})
        text = f"A message of the queue {queue} waits for more than 900 s."
        yield Alarm(f"{queue}-age", text, (query,), 900, periods=3)
    # The age of this queue says nothing: a downlink of a deactivated connection waits for as long as it is valid.
    sent = Query("AWS/SQS", "NumberOfMessagesSent", "Sum", {"QueueName": "${Prefix}-downlinks.fifo"})
    sender = Query("AWS/Lambda", "Invocations", "Sum", {"FunctionName": "${FunctionPrefix}-send_downlinks"})
    text = "Downlinks are stored and the function send_downlinks does not run."
    yield Alarm(
        "downlinks-stopped", text, (sent, sender), 0, periods=3, expression="IF(m0 > 0 AND FILL(m1, 0) == 0, 1, 0)"
    )
    due, notify = (
        own(Metric.NOTIFICATIONS_DUE),
        Query("AWS/Lambda", "Invocations", "Sum", {"FunctionName": "${FunctionPrefix}-notify"}),
    )
    text = "Notifications are due and the function notify does not run."
    yield Alarm(
        "notifications-stopped", text, (due, notify), 0, periods=3, expression="IF(m0 > 0 AND FILL(m1, 0) == 0, 1, 0)"
    )
    for function, suffix in FUNCTIONS.items():
        dimensions = {"FunctionName": f"${{FunctionPrefix}}{suffix}"}
        # A function raises an exception to ask for a retry, so a few errors are normal.
        errors = Query("AWS/Lambda", "Errors", "Sum", dimensions)
        yield Alarm(f"{function}-errors", f"The function {function} keeps failing.", (errors,), 5, periods=3)
        throttles = Query("AWS/Lambda", "Throttles", "Sum", dimensions)
        yield Alarm(f"{function}-throttles", f"The function {function} is throttled.", (throttles,), 0, periods=3)
    concurrency = Query("AWS/Lambda", "ConcurrentExecutions", "Maximum")
    # The template's parameter replaces the threshold.
    yield Alarm(
        "concurrency", "The account's concurrent executions are near their quota.", (concurrency,), 800, periods=2
    )
    runs = Query("AWS/Lambda", "Invocations", "Sum", {"FunctionName": "${FunctionPrefix}-reconcile"})
    text = "The reconciler does not run: no connection reconnects and no downlink is fetched."
    yield Alarm("reconcile-stopped", text, (runs,), 1, periods=3, below=True, missing="breaching")
    gateway = Query("AWS/ApiGateway", "5XXError", "Sum", {"ApiName": "${ApiName}", "Stage": "${ApiStage}"})
    yield Alarm("gateway-5xx", "API Gateway answers requests with 5XX.", (gateway,), 5, periods=2)


ALARMS: tuple[Alarm, ...] = (
    *_of_aws(),
    Alarm("api-5xx", "The API answers requests with 500 or 503.", (own(Metric.API_5XX),), 5, periods=2),
    Alarm(
        "uplinks-latency",
        "One of a hundred POST /uplinks takes longer than 3 s.",
        (own(Metric.API_LATENCY, "p99", "uplinks"),),
        3000,
        periods=3,
    ),
    Alarm(
        "breakers-open",
        "Most tenants have an open breaker, so the cause is likely here and not at their brokers.",
        (own(Metric.TENANTS_BROKEN, "Maximum"), own(Metric.TENANTS, "Maximum")),
        50,
        periods=3,
        expression="IF(m0 >= 3, 100 * m0 / m1, 0)",
    ),
    Alarm("swept", "Reports waited without a wake.", (own(Metric.SWEPT),), 0),
    Alarm(
        "wake-overdue",
        "A connection's reports wait although their broker may work: a pending wake-up is not sent.",
        (own(Metric.WAKE_OVERDUE),),
        600,
    ),
    Alarm(
        "uplinks-stuck",
        "Uplinks that were tried ten times end the function or fail with an unforeseen error.",
        (own(Metric.UPLINKS_STUCK), own(Metric.UPLINKS_RETURNED)),
        0,
        expression="m0 - m1",
    ),
    Alarm("uplinks-expire", "A connection's uplinks will be lost within a day.", (own(Metric.UPLINKS_EXPIRE),), 0),
    Alarm("uplinks-lost", "Uplinks were deleted after waiting 14 days.", (own(Metric.UPLINKS_LOST),), 0),
    Alarm(
        "certificates-ending",
        "A connection's client certificate ends within seven days.",
        (own(Metric.CERTIFICATES_ENDING, "Maximum"),),
        0,
        period=3600,
    ),
    Alarm(
        "reconciler-late",
        "The reconciler starts more than 90 s late.",
        (own(Metric.RECONCILER_LAG),),
        90,
        periods=2,
    ),
    Alarm(
        "reconciler-slow",
        "The reconciler needs more than 45 s of its 60 s.",
        (own(Metric.RECONCILER_DURATION),),
        45,
        periods=2,
    ),
    Alarm(
        "downlinks-delayed",
        "The network server does not accept downlinks now.",
        (own(Metric.DOWNLINKS_DELAYED),),
        5,
        periods=2,
    ),
    Alarm("not-handled", "A message failed because of an internal error.", (own(Metric.NOT_HANDLED),), 0),
    Alarm("unreadable", "A record or a queued item cannot be read.", (own(Metric.UNREADABLE),), 0),
    Alarm("events-lost", "Events of tenants could not be stored.", (own(Metric.EVENTS_LOST),), 0),
)


def template() -> dict[str, Any]:
    """Return the template with all alarms and the dashboard."""
    from infra.deploy.templates.dashboard import dashboard  # noqa: PLC0415  # it shows the alarms

    resources = {_identifier(alarm.name): alarm.resource() for alarm in ALARMS}
    resources["Concurrency"]["Properties"]["Threshold"] = {"Ref": "ConcurrencyLimit"}
    resources["Dashboard"] = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {
            "DashboardName": {"Fn::Sub": "${Prefix}"},
            "DashboardBody": {"Fn::Sub": json.dumps(dashboard(), separators=(",", ":"))},
        },
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Alarms and dashboard of the AMQP connector, printed by infra/deploy/templates/alarms.py.",
        "Parameters": PARAMETERS,
        "Conditions": {"HasAlarmTopic": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopicArn"}, ""]}]}},
        "Resources": resources,
    }


def _identifier(name: str) -> str:
    return "".join(part.capitalize() for part in name.replace("_", "-").split("-"))


def text() -> str:
    """Return the template's text, on one line because CloudFormation takes 51,200 bytes."""
    return json.dumps(template(), separators=(",", ":"))


if __name__ == "__main__":
    print(json.dumps(template(), indent=2))
