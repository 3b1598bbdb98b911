"""Deployments and a removal that are killed after a changing call of AWS, each in a process with its own moto.

``python -m tests.functional.infra.deploy.killed_runs FOLDER TIMES`` kills a run after the first TIMES calls of each
kind (99: after every call, which takes minutes). It prints ``{"first": [...], "update": [...], "removal": [...]}``: for
each killed run, the call and the differences between its end after a repetition and the end of a run without a
kill. A fork has the state of AWS at its call, so that no run needs a deployment before it. Another stage of the
account is there all the time; ``others`` has what the runs changed of it.
"""

import gc
import hashlib
import io
import json
import logging
import os
import sys
import warnings
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import botocore.client
from moto import mock_aws

from infra.deploy import smoke, state
from infra.deploy.account import Account
from infra.deploy.adoption import find
from infra.deploy.deployment import Deployment
from infra.deploy.packaging import package as packaging
from infra.deploy.stage import Stage, load
from infra.deploy.undeploy import Removal
from tests.functional.infra.deploy.deploy_target import Project
from tests.functional.infra.deploy.snapshot import left, snapshot
from tests.functional.infra.deploy.strict_moto import make_strict

_READS = ("Get", "List", "Describe")
OTHER = "prod"

ROOT = Path(sys.argv[1]) / "project"
"""A copy of the project, in which Chalice may write its record."""


class Killed(BaseException):
    """The end of a process: nothing may catch it."""


class Killer:
    """Counts changing calls; forks after each one, and ends the run in the child."""

    def __init__(self, folder: Path, name: str, times: int) -> None:
        self.folder, self.name, self._times = folder, name, times
        self.calls: list[str] = []
        self.permissions: set[str] = set()
        """Actions that IAM requires for the calls, such as ``apigateway:PATCH``."""
        self.armed = self.dead = self.recording = False
        client: Any = botocore.client.BaseClient
        client._make_api_call = self._made(client._make_api_call)

    def _made(self, call: Any) -> Any:
        def make(client: Any, operation: str, arguments: Any) -> Any:
            if self.dead:
                raise Killed
            answer = call(client, operation, arguments)
            if self.recording:
                self.permissions.add(_action(client.meta.service_model, operation))
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


@dataclass(frozen=True)
class Run:
    """A command on a stage, and what the stage has after it."""

    stage: Stage
    aws: Account
    command: Callable[[], object]
    end: Callable[[], dict[str, Any]]


def deployment(stage: Stage, aws: Account) -> Run:
    return Run(stage, aws, Deployment(ROOT, stage, aws).run, lambda: snapshot(stage, aws))


def removal(stage: Stage, aws: Account) -> Run:
    return Run(
        stage, aws, Removal(stage, aws, dry=False, confirm=lambda _: True).run, lambda: dict(left(aws, stage.name))
    )


def _action(model: Any, operation: str) -> str:
    service = model.service_name
    # API Gateway's actions are the methods of HTTP.
    name = model.operation_model(operation).http["method"] if service == "apigateway" else operation
    return f"{service}:{name}"


def run(one: Run) -> str:
    """Run a command and return what it said."""
    with redirect_stdout(io.StringIO()) as said:
        one.command()
    return said.getvalue()


def recorded(killer: Killer, one: Run) -> None:
    """Run a command and record the permissions that its calls need."""
    killer.recording = True
    run(one)
    killer.recording = False


def killed_everywhere(killer: Killer, make: Callable[[], Run], *, lose_odd: bool = False) -> list[dict[str, Any]]:
    """Run a command once, and repeat each killed run in a child. ``lose_odd``: which half also loses its record."""
    killer.calls.clear()
    killer.armed = True
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            killer.recording = True
            make().command()
            killer.recording = False
    except Killed:
        killer.dead = False
        number = len(killer.calls)
        again = make()
        if (number % 2 == 1) == lose_odd:
            state.Record(again.stage, again.aws).remove()
        outcome: dict[str, Any] = {"number": number, "call": killer.calls[-1]}
        try:
            outcome["said"] = said.getvalue() + run(again)
            outcome["end"] = again.end()
        except BaseException as error:  # noqa: BLE001  # reported to the parent
            outcome["error"] = f"{type(error).__name__}: {error}"
        (killer.folder / f"{killer.name}-{number:03}.json").write_text(json.dumps(outcome))
        os._exit(0)
    killer.armed = False
    expected = json.loads(json.dumps(make().end()))
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


def add_stage() -> None:
    """Configure another stage in the copy of the project."""
    path = ROOT / ".chalice" / "config.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    text = json.dumps(document["stages"]["test"]).replace("iot-flow-test", f"iot-flow-{OTHER}")
    document["stages"][OTHER] = json.loads(text)
    path.write_text(json.dumps(document), encoding="utf-8")


def add_connection(stage: Stage, aws: Account) -> None:
    """Make the queue and the secret of a connection."""
    name = f"{stage.prefix}-uplinks-1.fifo"
    aws.client("sqs").create_queue(QueueName=name, Attributes={"FifoQueue": "true"})
    aws.client("secretsmanager").create_secret(Name=f"{stage.secret_prefix}/demo/1", SecretString="x")


def let_roles_drift(stage: Stage, aws: Account) -> None:
    """Change one role's policy by hand, and give another role two more."""
    iam = aws.client("iam")
    changed, role = stage.function("forward"), stage.function("consume")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=changed, PolicyName=changed, PolicyDocument=json.dumps(policy))
    iam.put_role_policy(RoleName=role, PolicyName="by-hand", PolicyDocument=json.dumps(policy))
    made = iam.create_policy(PolicyName="managed", PolicyDocument=json.dumps(policy))["Policy"]
    iam.attach_role_policy(RoleName=role, PolicyArn=made["Arn"])


def disable_event_source(stage: Stage, aws: Account) -> None:
    [mapping] = [each for each in find(stage, aws).mappings if each["handler"] == "forward"]
    aws.client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


def everything(stage: Stage, aws: Account) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(snapshot(stage, aws) | left(aws, stage.name)))
    return found


def main() -> None:
    # A collection looks at all objects, and would copy their pages in each fork: a third of the time.
    gc.disable()
    folder = Path(sys.argv[1])
    logging.disable()
    warnings.simplefilter("ignore")
    make_strict()
    Project.copied_to(ROOT)
    add_stage()
    modules: Any = (smoke, state)
    modules[0].check = lambda *_: "not here"
    modules[1]._runs = lambda _process: False  # the killed process has ended
    with mock_aws():
        stage, other = load(ROOT, "test"), load(ROOT, OTHER)
        aws = Account.of_environment(stage.region, pause=0.01)
        killer = Killer(folder, "first", int(sys.argv[2]))
        package(folder, "one")
        run(deployment(other, aws))
        add_connection(other, aws)
        before = everything(other, aws)
        first = killed_everywhere(killer, lambda: deployment(stage, aws), lose_odd=True)

        killer.calls.clear()
        run(deployment(stage, aws))
        unchanged = list(killer.calls)

        complete = snapshot(stage, aws)
        let_roles_drift(stage, aws)
        killer.calls.clear()
        recorded(killer, deployment(stage, aws))
        drift = {"calls": list(killer.calls), **compared({"end": snapshot(stage, aws)}, complete)}

        disable_event_source(stage, aws)
        killer.calls.clear()
        run(deployment(stage, aws))
        enabled = {"calls": list(killer.calls), **compared({"end": snapshot(stage, aws)}, complete)}

        killer.name = "update"
        package(folder, "two")
        changed = replace(stage, variables={**stage.variables, "OIDC_AUDIENCE": "changed"})
        update = killed_everywhere(killer, lambda: deployment(changed, aws))

        killer.name = "removal"
        add_connection(stage, aws)
        removed = killed_everywhere(killer, lambda: removal(stage, aws))
        remains = left(aws, stage.name)
        after = everything(other, aws)
    others = sorted(kind for kind in before if before[kind] != after[kind])
    numbers = {"first": first, "unchanged": unchanged, "drift": drift, "enabled": enabled, "update": update}
    permissions = sorted(killer.permissions)
    print(
        json.dumps(
            {
                **numbers,
                "removal": removed,
                "remains": remains,
                "other": before,
                "others": others,
                "permissions": permissions,
            }
        )
    )


if __name__ == "__main__":
    main()
