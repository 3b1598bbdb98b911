"""A deployment that is killed at any call, and repeated, ends as one that nobody killed."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from infra.local.processes import ROOT
from tests.functional.infra.deploy.deploy_target import REGION


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


@pytest.mark.parametrize(("kind", "least"), [("first", 24), ("update", 12)])
def test_killed_after_any_call_and_repeated_it_ends_the_same(runs: dict[str, Any], kind: str, least: int) -> None:
    # Half of the killed runs lose their record, too: the other half in the other test.
    assert len(runs[kind]) >= least
    assert [run for run in runs[kind] if "error" in run or run["differences"]] == []


def test_second_deployment_without_changes_changes_nothing(runs: dict[str, Any]) -> None:
    assert runs["unchanged"] == []
