"""Metrics and request ids, as lines of the log."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chalice.app import SQSEvent

from chalicelib.entry.invocations import observed
from chalicelib.monitoring import configure_logging, log
from chalicelib.monitoring.metrics import Metrics, metrics
from chalicelib.monitoring.request_ids import InheritingThreads
from chalicelib.vocabulary import Metric, Unit

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "metrics.md"


def event(request_id: str = "r-1") -> SQSEvent:
    context: Any = SimpleNamespace(aws_request_id=request_id)
    return SQSEvent({"Records": []}, context)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_count_is_added_up_and_times_are_kept_in_one_line() -> None:
    collected = Metrics()
    collected.add(Metric.UPLINKS_DELIVERED, 3)
    collected.add(Metric.UPLINKS_DELIVERED, 4)
    collected.add(Metric.SWEPT, 0)
    for seconds in range(150):
        collected.add(Metric.DELIVERY_DELAY, seconds)
    [line] = collected.take("iot-flow-dev", "r-1")
    document = json.loads(line)
    [directive] = document["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Stage"]]
    assert {m["Name"]: m["Unit"] for m in directive["Metrics"]} == {
        "UplinksDelivered": "Count",
        "Swept": "Count",
        "DeliveryDelay": "Seconds",
    }
    assert (document["Stage"], document["requestId"]) == ("iot-flow-dev", "r-1")
    assert (document["UplinksDelivered"], document["Swept"]) == (7, 0)
    assert document["DeliveryDelay"] == list(range(50, 150))
    assert collected.take("iot-flow-dev", "r-1") == []


def test_metric_with_a_dimension_has_a_line_for_each_value() -> None:
    collected = Metrics()
    collected.add(Metric.CONNECTIONS, 2, of="OPENED")
    collected.add(Metric.CONNECTIONS, 1, of="UNREACHABLE")
    found = [json.loads(line) for line in collected.take("iot-flow-dev", None)]
    assert [(each["State"], each["Connections"]) for each in found] == [("OPENED", 2), ("UNREACHABLE", 1)]
    assert found[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Stage", "State"]]


def test_metrics_of_a_handler_that_raises_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.take("", None)

    def fail(_event: Any) -> None:
        metrics.add(Metric.UNREADABLE)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        observed(event(), fail)
    [line] = lines(capsys)
    assert (line["Unreadable"], line["requestId"]) == (1, "r-1")


def test_every_line_of_an_invocation_has_its_request_id_also_from_other_threads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handlers, level, propagate = log.handlers, log.level, log.propagate
    configure_logging("INFO")
    try:
        with InheritingThreads(2) as threads:
            for request_id in ("r-1", "r-2"):
                observed(event(request_id), lambda _: threads.submit(log.info, "in a thread").result())
        with ThreadPoolExecutor(1) as threads:
            threads.submit(log.info, "outside").result()
        found = [(line["message"], line.get("requestId")) for line in lines(capsys) if "message" in line]
    finally:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level or logging.NOTSET)
    assert found == [("in a thread", "r-1"), ("in a thread", "r-2"), ("outside", None)]


def row(metric: Metric) -> str:
    return f"| `{metric}` | {metric.unit} | {f'`{metric.by}`' if metric.by else ''} | {metric.sentence} |"


def test_page_lists_exactly_the_metrics() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows == [row(metric) for metric in Metric]


def test_no_metric_has_a_dimension_of_customers() -> None:
    assert {metric.by for metric in Metric} == {None, "Routes", "State"}
    assert all(metric.unit in Unit for metric in Metric)


def test_metrics_of_different_dimensions_share_a_line() -> None:
    collected = Metrics()
    collected.add(Metric.API_2XX)
    collected.add(Metric.API_LATENCY, 12.5, of="uplinks")
    collected.add(Metric.CONNECTIONS, 2, of="OPENED")
    collected.add(Metric.CONNECTIONS, 1, of="UNREACHABLE")
    first, second = (json.loads(line) for line in collected.take("iot-flow-dev", None))
    dimensions = [directive["Dimensions"] for directive in first["_aws"]["CloudWatchMetrics"]]
    assert dimensions == [[["Stage"]], [["Stage", "State"]], [["Stage", "Routes"]]]
    assert (first["Api2xx"], first["State"], first["Connections"]) == (1, "OPENED", 2)
    assert (first["Routes"], first["ApiLatency"]) == ("uplinks", [12.5])
    assert (second["State"], second["Connections"]) == ("UNREACHABLE", 1)
