"""Deployments that are killed after a changing call of AWS, each in a process that takes moto's state with it.

``python -m tests.functional.infra.deploy.killed_runs FOLDER TIMES`` kills a run after the first TIMES calls of each
kind (99: after every call, which takes minutes). It prints ``{"first": [...], "update": [...]}``: for each killed run,
the call and the differences between its end after a repetition and the end of a run that nobody killed. A fork has the
state of AWS at its call, so that no run needs a deployment before it.
"""

import hashlib
import io
import json
import logging
import os
import sys
import warnings
import zipfile
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.client
from moto import mock_aws

from infra.deploy import smoke, state
from infra.deploy.account import Account
from infra.deploy.deployment import Deployment
from infra.deploy.packaging import package as packaging
from infra.deploy.stage import Stage, load
from tests.functional.infra.deploy.deploy_target import Project
from tests.functional.infra.deploy.snapshot import snapshot
from tests.functional.infra.deploy.strict_moto import make_strict

_READS = ("Get", "List", "Describe")


ROOT = Path(sys.argv[1]) / "project"
"""A copy of the project, in which Chalice may write its record."""


class Killed(BaseException):
    """The end of a process: nothing may catch it."""


class Killer:
    """Counts changing calls; forks after each one, and ends the run in the child."""

    def __init__(self, folder: Path, name: str, times: int) -> None:
        self.folder, self.name, self._times = folder, name, times
        self.calls: list[str] = []
        self.armed = self.dead = False
        client: Any = botocore.client.BaseClient
        client._make_api_call = self._made(client._make_api_call)

    def _made(self, call: Any) -> Any:
        def make(client: Any, operation: str, arguments: Any) -> Any:
            if self.dead:
                raise Killed
            answer = call(client, operation, arguments)
            if not operation.startswith(_READS):
                self._after(f"{client.meta.service_model.service_name}.{operation}")
            return answer

        return make

    def _after(self, call: str) -> None:
        self.calls.append(call)
        if not self.armed or self.calls.count(call) > self._times:
            return
        child = os.fork()
        if child == 0:
            self.armed, self.dead = False, True
            raise Killed
        os.waitpid(child, 0)


def run(stage: Stage, aws: Account) -> None:
    with redirect_stdout(io.StringIO()):
        Deployment(ROOT, stage, aws).run()


def killed_everywhere(killer: Killer, stage: Stage, aws: Account, *, lose_odd: bool) -> list[dict[str, Any]]:
    """Deploy once, and repeat each killed run in a child. ``lose_odd``: every other one also loses its record."""
    killer.calls.clear()
    killer.armed = True
    try:
        run(stage, aws)
    except Killed:
        killer.dead = False
        number = len(killer.calls)
        if (number % 2 == 1) == lose_odd:
            state.Record(stage, aws).remove()
        outcome: dict[str, Any] = {"number": number, "call": killer.calls[-1]}
        try:
            run(stage, aws)
            outcome["end"] = snapshot(stage, aws)
        except BaseException as error:  # noqa: BLE001  # reported to the parent
            outcome["error"] = f"{type(error).__name__}: {error}"
        (killer.folder / f"{killer.name}-{number:03}.json").write_text(json.dumps(outcome))
        os._exit(0)
    killer.armed = False
    expected = json.loads(json.dumps(snapshot(stage, aws)))
    outcomes = [json.loads(path.read_text()) for path in sorted(killer.folder.glob(f"{killer.name}-*.json"))]
    return [{"calls": len(killer.calls), **compared(outcome, expected)} for outcome in outcomes]


def compared(outcome: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    end = outcome.pop("end", {})
    return outcome | {
        "differences": [key for key in expected if "error" not in outcome and end.get(key) != expected[key]]
    }


def package(folder: Path, content: str) -> None:
    """Let Chalice pack a small file, because what the package contains does not matter here."""
    path = folder / f"{content}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), content)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    packages: Any = packaging
    packages.cached = lambda *_: packaging.Package(path, path.stat().st_size, sha256)


def main() -> None:
    folder = Path(sys.argv[1])
    logging.disable()
    warnings.simplefilter("ignore")
    make_strict()
    Project.copied_to(ROOT)
    modules: Any = (smoke, state)
    modules[0].check = lambda *_: "not here"
    modules[1]._runs = lambda _process: False  # the killed process has ended
    with mock_aws():
        stage = load(ROOT, "test")
        aws = Account.of_environment(stage.region, pause=0.01)
        killer = Killer(folder, "first", int(sys.argv[2]))
        package(folder, "one")
        first = killed_everywhere(killer, stage, aws, lose_odd=True)

        killer.calls.clear()
        run(stage, aws)
        unchanged = list(killer.calls)

        killer.name = "update"
        package(folder, "two")
        changed = replace(stage, variables={**stage.variables, "OIDC_AUDIENCE": "changed"})
        update = killed_everywhere(killer, changed, aws, lose_odd=False)
    print(json.dumps({"first": first, "unchanged": unchanged, "update": update}))


if __name__ == "__main__":
    main()
