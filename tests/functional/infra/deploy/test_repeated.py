"""A deployment or removal that is killed at any call, and repeated, ends as one without a kill."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from infra.local.processes import ROOT
from tests.functional.infra.deploy.deploy_target import REGION
from tests.functional.infra.operate.test_deploy_role import BY_DEPLOYMENTS, granted_to_deployments


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.functional.infra.deploy.killed_runs",
            str(tmp_path_factory.mktemp("killed")),
            "1",
        ],
        cwd=ROOT,
        env={
            **clean,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(("kind", "least"), [("first", 24), ("update", 12), ("removal", 12)])
def test_killed_after_any_call_and_repeated_it_ends_the_same(runs: dict[str, Any], kind: str, least: int) -> None:
    # Half of the killed runs lose their record, too: the other half in the other test.
    assert len(runs[kind]) >= least
    assert [run for run in runs[kind] if "error" in run or run["differences"]] == []


def test_second_deployment_without_changes_changes_nothing(runs: dict[str, Any]) -> None:
    assert runs["unchanged"] == []


def test_policies_that_were_changed_are_found_and_mended(runs: dict[str, Any]) -> None:
    drift = runs["drift"]
    assert drift["differences"] == []
    calls = {"iam.PutRolePolicy", "iam.DeleteRolePolicy", "iam.DetachRolePolicy"}
    assert calls <= set(drift["calls"])
    assert not [call for call in drift["calls"] if call.startswith("lambda.Create")]


def test_disabled_event_source_is_enabled_and_nothing_is_uploaded(runs: dict[str, Any]) -> None:
    lock = ["dynamodb.PutItem", "dynamodb.DeleteItem"]
    assert runs["enabled"]["differences"] == []
    assert sorted(runs["enabled"]["calls"]) == sorted([*lock, "lambda.UpdateEventSourceMapping"])


def test_removal_leaves_only_what_it_names_also_when_it_was_killed(runs: dict[str, Any]) -> None:
    remains = {kind: names for kind, names in runs["remains"].items() if names}
    assert set(remains) == {"tables", "queues"}
    kept = [name for names in remains.values() for name in names]
    assert len(kept) >= 5
    for run in runs["removal"]:
        named = " ".join(line for line in run["said"].splitlines() if line.startswith("kept "))
        assert [name for name in kept if name not in named] == [], run["call"]


def test_other_stage_of_the_account_stays_as_it_is(runs: dict[str, Any]) -> None:
    other = runs["other"]
    assert len(other["functions"]) == 8
    assert len(other["mappings"]) == 4
    assert len(other["apis"]) == len(other["rules"]) == len(other["secrets"]) == 1
    assert all(other[kind] for kind in ("stacks", "tables", "logs", "parameters", "roles"))
    assert runs["others"] == []


def test_deploy_role_grants_what_deployments_and_the_removal_called(runs: dict[str, Any]) -> None:
    # Not recorded: what CloudFormation calls for its stacks, and credentials' own identity, which needs no permission.
    called = set(runs["permissions"]) - {"sts:GetCallerIdentity"}
    assert sorted(called - granted_to_deployments()) == []
    services = tuple(f"{service}:" for service in BY_DEPLOYMENTS)
    wanted = {f"{service}:{call}" for service, calls in BY_DEPLOYMENTS.items() for call in calls}
    assert {action for action in called if action.startswith(services)} == wanted
