"""The deployment guide lists exactly the settings that exist, and states the numbers and names of the deployment."""

import json
import re

import yaml  # type: ignore[import-untyped]

from chalicelib.config import Settings
from infra.deploy.declared import RESERVED, SOURCES
from infra.local.processes import ROOT

GUIDE = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")


def test_deployment_guide_lists_exactly_the_settings() -> None:
    section = GUIDE.split("## 3. Settings")[1].split("## 4.")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)`", section, re.MULTILINE)) == {
        name.upper() for name in Settings.model_fields
    }


def test_deployment_guide_states_how_many_functions_a_stage_may_run() -> None:
    queues = {name: source.concurrency for name, source in SOURCES.items()}
    stated = re.search(
        r"may use (\d+): (\d+) are reserved for the API and (\d+) for the codec.* may run (\d+), the schedule 1",
        " ".join(GUIDE.split()),
    )
    assert stated
    together = sum(RESERVED.values()) + sum(queues.values()) + 1
    assert [int(each) for each in stated.groups()] == [together, *RESERVED.values(), sum(queues.values())]
    [example] = re.findall(r'"concurrency": (\{.*\})', GUIDE)
    assert json.loads(example) == RESERVED | queues


def test_deployment_guide_names_the_tables_that_a_removal_keeps() -> None:
    template = yaml.safe_load((ROOT / "infra" / "deploy" / "templates" / "data-stack.yaml").read_text(encoding="utf-8"))
    kept = {
        each["Properties"]["TableName"]["Fn::Sub"].removeprefix("${Prefix}")
        for each in template["Resources"].values()
        if each["Type"] == "AWS::DynamoDB::Table" and each.get("DeletionPolicy") == "Retain"
    }
    paragraph = GUIDE.split("Resources with customer data are kept on purpose: the tables")[1].split("the queue")[0]
    assert set(re.findall(r"`(-[a-z-]+)`", paragraph)) == kept
