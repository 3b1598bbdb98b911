"""Chalice's part of a deployment: its resources for one stage, what of them AWS already has, and their deployment."""

import base64
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from chalice.awsclient import LambdaClientError, TypedAWSClient
from chalice.cli.factory import CLIFactory
from chalice.deploy import models
from chalice.deploy.appgraph import ApplicationGraphBuilder, DependencyBuilder
from chalice.deploy.deployer import create_build_stage
from chalice.deploy.executor import Executor
from chalice.deploy.planner import PlanStage, RemoteState
from chalice.deploy.swagger import TemplatedSwaggerGenerator
from chalice.deploy.sweeper import ResourceSweeper
from chalice.utils import UI, OSUtils

from infra.deploy import policies
from infra.deploy.account import Account, absent
from infra.deploy.adoption import Found, record
from infra.deploy.declared import QUEUES
from infra.deploy.packaging import chalice_packages
from infra.deploy.stage import Refused, Stage

_SHIPPED = ("app.py", "chalicelib", "requirements.txt", ".chalice")


class _Quiet(UI):
    """No output of Chalice: this command prints its own lines."""

    def write(self, msg: str) -> None:
        pass


@dataclass(frozen=True)
class Wanted:
    """The resources that a stage should have, and the package of its functions."""

    resources: list[Any]
    package: Path
    sha256: str
    """As Lambda's ``CodeSha256``."""
    fingerprint: str
    """A hash of all resources with everything that they contain."""

    def of(self, kind: type[Any]) -> Iterable[Any]:
        return (each for each in self.resources if isinstance(each, kind))


class Functions:
    """The functions, roles, event sources, schedule and REST API of a stage, made by Chalice."""

    def __init__(self, root: Path, stage: Stage, aws: Account, say: Callable[[str], object]) -> None:
        self._say = say
        self._stage = stage
        self._aws = aws
        self._place = tempfile.TemporaryDirectory(prefix="iot-flow-deploy-")
        self._directory = Path(self._place.name)
        _copy(root, self._directory, stage)
        self._factory = CLIFactory(str(self._directory), environ=os.environ)

    def build(self) -> Wanted:
        """Build the package and the resources. Raises Refused when a wheel for Lambda is missing."""
        chalice_packages.replace(self._say)
        config = self._factory.create_config_obj(self._stage.name)
        application = ApplicationGraphBuilder().build(config, self._stage.name)
        order = DependencyBuilder()
        steps = create_build_stage(OSUtils(), _Quiet(), TemplatedSwaggerGenerator(), config)
        try:
            steps.execute(config, order.build_dependencies(application))
        except Exception as error:  # Chalice raises several kinds; each ends the deployment
            raise Refused(f"The package cannot be built: {' '.join(str(error).split())}") from error
        resources = order.build_dependencies(application)
        for each in resources:
            self._adapt(each)
        [package] = {
            Path(str(each.deployment_package.filename)) for each in resources if isinstance(each, models.LambdaFunction)
        }
        content = hashlib.sha256(package.read_bytes()).digest()
        return Wanted(resources, package, base64.b64encode(content).decode(), self._fingerprint(resources, content))

    def _adapt(self, resource: Any) -> None:
        """Set what Chalice takes from app.py or a file for all stages, and should differ by stage."""
        if isinstance(resource, models.RestAPI):
            cast("dict[str, Any]", resource.swagger_doc)["info"]["title"] = self._stage.application
        elif isinstance(resource, models.ManagedIAMRole):
            resource.policy.document = policies.narrowed(
                cast("dict[str, Any]", resource.policy.document), self._stage, self._aws.number
            )
        elif isinstance(resource, models.SQSEventSource):
            handler = resource.lambda_function.resource_name
            source = self._stage.sources[handler]
            # app.py has the names of the environment in which it was imported first.
            resource.queue = f"{self._stage.prefix}-{QUEUES[handler]}"
            resource.maximum_concurrency = source.concurrency
            resource.maximum_batching_window_in_seconds = source.batch_window

    def _fingerprint(self, resources: list[Any], content: bytes) -> str:
        # The package's file name depends on the directory; its content stands for it.
        described = [[type(each).__name__, asdict(each)] for each in resources]
        text = json.dumps(described, sort_keys=True, default=str).replace(str(self._directory), "")
        return hashlib.sha256(text.encode() + content).hexdigest()

    def changes(self, wanted: Wanted, found: Found, deployed: str) -> list[str]:
        """Return how AWS differs. ``deployed`` is the fingerprint of the last deployment that came to its end."""
        changes = [
            change
            for function in wanted.of(models.LambdaFunction)
            if (change := _function_change(function, found.functions.get(function.resource_name), wanted.sha256))
        ]
        names = {each.resource_name for each in wanted.of(models.LambdaFunction)}
        changes += [f"delete function {self._stage.function(each)}" for each in sorted(set(found.functions) - names)]
        sources = {(each["handler"], each["EventSourceArn"].rsplit(":", 1)[1]): each for each in found.mappings}
        changes += [
            change
            for source in wanted.of(models.SQSEventSource)
            if (change := _source_change(source, sources.get((source.lambda_function.resource_name, source.queue))))
        ]
        changes += [
            f"write the policy of role {role.role_name}"
            for role in wanted.of(models.ManagedIAMRole)
            if role.role_name in found.roles and not self._has_policy(role)
        ]
        rules = [each.rule_name for each in wanted.of(models.ScheduledEvent)]
        changes += [f"create schedule {rule}" for rule in rules if rule not in found.rules]
        if not found.api:
            changes.append(f"create REST API {self._stage.application}")
        if not changes and deployed != wanted.fingerprint:
            changes.append(
                "deploy roles, schedule and REST API again: the last deployment was another one or did not end"
            )
        return changes

    def _has_policy(self, role: Any) -> bool:
        with absent("NoSuchEntity"):
            answer = self._aws.client("iam").get_role_policy(RoleName=role.role_name, PolicyName=role.role_name)
            return bool(answer["PolicyDocument"] == role.policy.document)
        return False

    def deploy(self, wanted: Wanted, found: Found) -> str:
        """Run Chalice's plan over the resources that exist. Return the REST API's id."""
        folder = self._directory / ".chalice" / "deployed"
        folder.mkdir(exist_ok=True)
        path = folder / f"{self._stage.name}.json"
        path.write_text(json.dumps(record(self._stage, found)), encoding="utf-8")
        config = self._factory.create_config_obj(self._stage.name)
        client = TypedAWSClient(self._aws.session)
        state = RemoteState(client, config.deployed_resources(self._stage.name))
        plan = PlanStage(osutils=OSUtils(), remote_state=state).execute(wanted.resources)
        ResourceSweeper().execute(plan, config)
        executor = Executor(client, _Quiet())
        try:
            executor.execute(plan)
        except LambdaClientError as error:
            raise Refused(f"Lambda refused a function: {' '.join(str(error).split())}") from error
        [api] = [each for each in executor.resource_values if each["resource_type"] == "rest_api"]
        return str(api["rest_api_id"])


def _copy(root: Path, directory: Path, stage: Stage) -> None:
    """Copy the sources of a package to ``directory``, with the stage's derived settings."""
    unwanted = shutil.ignore_patterns("__pycache__", "deployed", "deployments", "venv")
    for name in _SHIPPED:
        if (root / name).is_dir():
            shutil.copytree(root / name, directory / name, ignore=unwanted)
        else:
            shutil.copy(root / name, directory)
    # Packages that were built before are used again.
    packages = root / ".chalice" / "deployments"
    packages.mkdir(exist_ok=True)
    (directory / ".chalice" / "deployments").symlink_to(packages)
    document = json.loads(json.dumps(stage.document))
    own = document["stages"][stage.name]
    own["environment_variables"] = dict(stage.variables)
    own["tags"] = stage.tags
    for handler, number in stage.reserved.items():
        # Chalice deletes a reservation that its configuration does not name.
        own.setdefault("lambda_functions", {}).setdefault(handler, {})["reserved_concurrency"] = number
    (directory / ".chalice" / "config.json").write_text(json.dumps(document), encoding="utf-8")


def _function_change(function: Any, existing: dict[str, Any] | None, sha256: str) -> str:
    if existing is None:
        return f"create function {function.function_name}"
    if existing["CodeSha256"] != sha256:
        return f"upload the package to {function.function_name}"
    return "" if _configured(function, existing) else f"configure function {function.function_name}"


def _source_change(source: Any, mapping: dict[str, Any] | None) -> str:
    if mapping is None:
        return f"connect queue {source.queue} to {source.lambda_function.function_name}"
    return "" if _mapped(source, mapping) else f"change the event source {source.queue}"


def _configured(function: Any, existing: dict[str, Any]) -> bool:
    return bool(
        existing.get("Environment", {}).get("Variables", {}) == function.environment_variables
        and existing["Timeout"] == function.timeout
        and existing["MemorySize"] == function.memory_size
        and existing["Runtime"] == function.runtime
        and existing["Handler"] == function.handler
        and existing.get("Architectures", [function.architecture]) == [function.architecture]
        and sorted(existing.get("VpcConfig", {}).get("SubnetIds", [])) == sorted(function.subnet_ids or [])
        and sorted(existing.get("VpcConfig", {}).get("SecurityGroupIds", []))
        == sorted(function.security_group_ids or [])
    )


def _mapped(source: Any, mapping: dict[str, Any]) -> bool:
    return bool(
        mapping["BatchSize"] == source.batch_size
        and mapping.get("MaximumBatchingWindowInSeconds", 0) == (source.maximum_batching_window_in_seconds or 0)
        and mapping.get("ScalingConfig", {}).get("MaximumConcurrency") == source.maximum_concurrency
    )
