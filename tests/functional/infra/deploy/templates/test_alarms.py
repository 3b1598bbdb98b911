"""The alarms' template, its runbook and its dashboard."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from chalicelib.vocabulary import Metric
from infra.deploy.stacks import TEMPLATES
from infra.deploy.stage import load
from infra.deploy.templates.alarms import ALARMS, FUNCTIONS, PARAMETERS, RUNBOOK, template, text
from infra.deploy.templates.dashboard import dashboard

ROOT = Path(__file__).parents[5]


def alarms() -> list[dict[str, Any]]:
    resources = template()["Resources"].values()
    return [each["Properties"] for each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]


def test_every_alarm_has_an_entry_in_the_runbook_and_every_entry_an_alarm() -> None:
    runbook = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    entries = dict(re.findall(r"^## (\S+)\n\n((?:- .*\n?)+)", runbook, re.MULTILINE))
    assert list(entries) == re.findall(r"^## (.*)$", runbook, re.MULTILINE)
    assert set(entries) == {alarm.name for alarm in ALARMS}
    assert len(ALARMS) == len(entries)
    for name, entry in entries.items():
        assert re.findall(r"^- (Means|Look at|Do): \S", entry, re.MULTILINE) == ["Means", "Look at", "Do"], name


def test_every_alarm_reports_its_begin_and_its_end_and_names_its_entry() -> None:
    for alarm in alarms():
        assert alarm["AlarmActions"] == alarm["OKActions"]
        assert alarm["TreatMissingData"] in {"notBreaching", "breaching"}
        name = alarm["AlarmName"]["Fn::Sub"].removeprefix("${Prefix}-")
        assert re.fullmatch(rf"[^.]+(\.fifo [^.]+)?\. See {RUNBOOK}#{name}", alarm["AlarmDescription"])


def test_errors_and_throttles_of_every_function_are_watched() -> None:
    watched = {(query.name, query.dimensions.get("FunctionName")) for alarm in ALARMS for query in alarm.queries}
    for suffix in FUNCTIONS.values():
        assert {("Errors", f"${{FunctionPrefix}}{suffix}"), ("Throttles", f"${{FunctionPrefix}}{suffix}")} <= watched


def test_no_alarm_watches_what_a_customer_causes_by_ordinary_use() -> None:
    ordinary = {
        Metric.API_4XX,
        Metric.API_429,
        Metric.UPLINKS_FAILED,
        Metric.UPLINKS_EXPIRED,
        Metric.DELIVERY_DELAY,
        Metric.DRAINS_HELD,
        Metric.DOWNLINKS_FAILED,
        Metric.DOWNLINKS_REJECTED,
        Metric.BREAKERS_OPEN,
    }
    watched = {query.name for alarm in ALARMS for query in alarm.queries}
    assert not watched & ordinary


def test_dashboard_shows_every_metric() -> None:
    shown = {line[1] for widget in dashboard()["widgets"] for line in widget["properties"]["metrics"]}
    # Shown only as the numerator's base, in the alarm's expression.
    assert set(Metric) - shown == {Metric.TENANTS}


def test_template_passes_cfn_lint_and_fits_into_a_call(tmp_path: Path) -> None:
    [alarms_of_stage] = (each for each in TEMPLATES if each.name == "alarms")
    assert set(alarms_of_stage.parameters(load(ROOT, "test"))) <= set(PARAMETERS)
    assert len(text().encode()) <= 51_200
    file = tmp_path / "alarms.json"
    file.write_text(text(), encoding="utf-8")
    program = Path(sys.executable).with_name("cfn-lint")
    argv = [str(program), "--regions", "eu-west-1", "--template", str(file)]
    answer = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, "")
