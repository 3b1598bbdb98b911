"""CloudWatch as far as the alarms need it: datapoints by metric and period, statistics, and the states of alarms."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.vocabulary import Unit
from infra.deploy.stacks import TEMPLATES
from infra.deploy.stage import Stage
from infra.deploy.templates.alarms import PARAMETERS, template

DOCUMENTED = {
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): {"QueueName"},
    ("AWS/SQS", "NumberOfMessagesSent"): {"QueueName"},
    ("AWS/Lambda", "Errors"): {"FunctionName"},
    ("AWS/Lambda", "Throttles"): {"FunctionName"},
    ("AWS/Lambda", "Invocations"): {"FunctionName"},
    ("AWS/Lambda", "ConcurrentExecutions"): set(),
    ("AWS/ApiGateway", "5XXError"): {"ApiName", "Stage"},
}
"""The metrics of AWS that alarms use, with the dimensions that AWS's documentation gives them."""
_MOST_VALUES = 100
_MILLISECONDS = 10**12

Key = tuple[str, str, frozenset[tuple[str, str]]]


@dataclass
class CloudWatch:
    """Datapoints of a stage. ``period`` is the number of the period that new datapoints are in."""

    stage: Stage
    period: int = 0
    _points: dict[Key, dict[int, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def put(self, namespace: str, name: str, value: float, **dimensions: str) -> None:
        """Take a datapoint of one of AWS's own metrics."""
        assert DOCUMENTED[namespace, name] == set(dimensions)
        self._points[namespace, name, frozenset(dimensions.items())][self.period].append(value)

    def take(self, output: str) -> None:
        """Take the datapoints in the lines of a function's log that have the embedded metric format."""
        for line in output.splitlines():
            document = json.loads(line) if line.startswith('{"_aws"') else {}
            for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
                assert document["_aws"]["Timestamp"] > _MILLISECONDS
                for names in directive["Dimensions"]:
                    dimensions = frozenset((name, str(document[name])) for name in names)
                    for metric in directive["Metrics"]:
                        self._take(directive["Namespace"], metric, dimensions, document[metric["Name"]])

    def _take(
        self, namespace: str, metric: Mapping[str, str], dimensions: frozenset[tuple[str, str]], value: Any
    ) -> None:
        values = value if isinstance(value, list) else [value]
        assert metric["Unit"] in set(Unit)
        assert len(values) <= _MOST_VALUES
        self._points[namespace, metric["Name"], dimensions][self.period] += map(float, values)

    def alarms_on(self) -> set[str]:
        """Return the names of the alarms in the deployed template whose condition holds at the end of this period."""
        resources = [each["Properties"] for each in template()["Resources"].values() if "AlarmName" in str(each)]
        return {
            self._resolved(alarm["AlarmName"]).removeprefix(f"{self.stage.prefix}-")
            for alarm in resources
            if self._is_on(alarm)
        }

    def _is_on(self, alarm: Mapping[str, Any]) -> bool:
        periods = range(self.period - alarm["EvaluationPeriods"] + 1, self.period + 1)
        return all(self._breaches(alarm, period) for period in periods)

    def _breaches(self, alarm: Mapping[str, Any], period: int) -> bool:
        value = self._value(alarm, period)
        if value is None:
            return bool(alarm["TreatMissingData"] == "breaching")
        threshold = float(self._resolved(alarm["Threshold"]))
        if alarm["ComparisonOperator"] == "LessThanThreshold":
            return value < threshold
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        return value > threshold

    def _value(self, alarm: Mapping[str, Any], period: int) -> float | None:
        if "Metrics" not in alarm:
            return self._statistic(alarm, alarm.get("Statistic") or alarm["ExtendedStatistic"], period)
        [result] = [each["Expression"] for each in alarm["Metrics"] if each["ReturnData"]]
        stats = {each["Id"]: each["MetricStat"] for each in alarm["Metrics"] if not each["ReturnData"]}
        values = {name: self._statistic(stat["Metric"], stat["Stat"], period) for name, stat in stats.items()}
        functions = {
            "IF": lambda condition, yes, no: yes if condition else no,
            "FILL": lambda one, default: default if one is None else one,
        }
        try:
            found = eval(result.replace(" AND ", " and "), {"__builtins__": {}}, {**functions, **values})  # noqa: S307
        except (TypeError, ZeroDivisionError):
            # A metric without a datapoint, or a division by zero: the expression has none, either.
            return None
        return float(found)

    def _statistic(self, metric: Mapping[str, Any], statistic: str, period: int) -> float | None:
        dimensions = frozenset((each["Name"], self._resolved(each["Value"])) for each in metric["Dimensions"])
        values = sorted(self._points.get((metric["Namespace"], metric["MetricName"], dimensions), {}).get(period, []))
        if not values:
            return None
        if statistic.startswith("p"):
            return values[math.ceil(len(values) * float(statistic[1:]) / 100) - 1]
        return sum(values) if statistic == "Sum" else {"Maximum": max(values)}[statistic]

    def _resolved(self, value: Any) -> str:
        """Return a value of the template with the parameters that a deployment of the stage gives it."""
        [alarms] = [each for each in TEMPLATES if each.name == "alarms"]
        parameters = {name: str(each["Default"]) for name, each in PARAMETERS.items()}
        parameters |= alarms.parameters(self.stage)
        if isinstance(value, dict) and "Ref" in value:
            return parameters[value["Ref"]]
        text = value["Fn::Sub"] if isinstance(value, dict) else str(value)
        for name, each in parameters.items():
            text = text.replace(f"${{{name}}}", each)
        assert "${" not in text, text
        return text
