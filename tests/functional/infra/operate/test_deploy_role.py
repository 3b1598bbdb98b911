"""The role for deployments grants what the recorded calls need, and its example workflow is valid YAML."""

import json
import re
import subprocess
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml  # type: ignore[import-untyped]
from botocore.client import BaseClient

from chalicelib.domain.notifications.signature import new_secret
from chalicelib.entry.services import Services
from infra.local.processes import ROOT
from tests.functional.connection_cases import failed
from tests.functional.driver_cases import add_driver
from tests.functional.flow_cases import add_flow
from tests.functional.infra.deploy.iam import Permission, asked_for
from tests.functional.infra.operate.cases import Operator, StageCodec, connect, store_report
from tests.functional.infra.operate.test_orphans import lose_record, old  # noqa: F401  # a fixture

TEMPLATE = ROOT / "infra" / "deploy" / "templates" / "deploy-role.yaml"
WORKFLOW = ROOT / "docs" / "operations" / "github-actions.md"
BY_DEPLOYMENTS = {
    "apigateway": {"DELETE", "GET", "PATCH", "POST", "PUT"},
    "events": {
        *("DeleteRule", "ListRules", "ListTagsForResource", "ListTargetsByRule", "PutRule", "PutTargets"),
        *("RemoveTargets", "TagResource"),
    },
    "iam": {
        *("CreateRole", "DeleteRole", "DeleteRolePolicy", "DetachRolePolicy", "GetRole", "GetRolePolicy"),
        *("ListAttachedRolePolicies", "ListRolePolicies", "ListRoleTags", "ListRoles", "PutRolePolicy", "TagRole"),
    },
    "lambda": {
        *("AddPermission", "CreateEventSourceMapping", "CreateFunction", "DeleteEventSourceMapping", "DeleteFunction"),
        *("DeleteFunctionConcurrency", "GetAccountSettings", "GetEventSourceMapping", "GetFunction"),
        *("GetFunctionConcurrency", "GetFunctionConfiguration", "GetFunctionEventInvokeConfig", "GetPolicy"),
        *("ListEventSourceMappings", "ListFunctions", "ListTags", "PutFunctionConcurrency"),
        *("PutFunctionEventInvokeConfig", "UpdateEventSourceMapping", "UpdateFunctionCode"),
        *("UpdateFunctionConfiguration",),
    },
    "ssm": {"AddTagsToResource", "DeleteParameter", "GetParameter", "PutParameter"},
}
"""Calls of deployments and a removal; tests/functional/infra/deploy/test_repeated.py records them and compares."""
IMPLIED = {"iam:PassRole", "lambda:TagResource", "lambda:UntagResource"}
"""CreateFunction needs the first for its role and the second for its tags; a change of the tags needs the third."""
RARE = {"secretsmanager:RestoreSecret", "secretsmanager:UpdateSecretVersionStage"}
"""For secrets that were deleted or changed by hand, which moto treats in another way."""
TAGGED = {"CreateQueue": "sqs:TagQueue", "CreateSecret": "secretsmanager:TagResource"}
LISTS = {"ListQueues", "ListTables", "ListSecrets", "GetMetricData"}
HERE = "eu-west-1:123456789012"


def statements(policy: str) -> dict[str, tuple[set[str], list[str]]]:
    """The actions and resources of a policy's statements by Sid."""
    document = yaml.safe_load(TEMPLATE.read_text())["Resources"][policy]["Properties"]["PolicyDocument"]
    found = {}
    for each in document["Statement"]:
        resources = each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]]
        texts = [one["Fn::Sub"] if isinstance(one, dict) else one for one in resources]
        plain = [
            re.sub(r"\$\{AWS::Partition}", "aws", text).replace("${AWS::AccountId}", "123456789012") for text in texts
        ]
        found[each["Sid"]] = set(each["Action"]), plain
    return found


def granted_to_deployments() -> set[str]:
    """The actions that the role grants for deployments, not those for operation."""
    policies = ("DeployPolicy", "StepsPolicy")
    return {action for policy in policies for actions, _ in statements(policy).values() for action in actions}


def test_role_grants_the_calls_of_deployments_and_no_other() -> None:
    wanted = {f"{service}:{call}" for service, calls in BY_DEPLOYMENTS.items() for call in calls} | IMPLIED
    services = tuple(f"{service}:" for service in BY_DEPLOYMENTS)
    assert {action for action in granted_to_deployments() if action.startswith(services)} == wanted


def test_policies_are_as_short_as_iam_requires() -> None:
    document = yaml.safe_load(TEMPLATE.read_text())["Resources"]
    policies = {name: each for name, each in document.items() if each["Type"] == "AWS::IAM::ManagedPolicy"}
    assert set(policies) == {"DeployPolicy", "StepsPolicy", "OperatePolicy"}
    for name, policy in policies.items():
        text = json.dumps(policy["Properties"]["PolicyDocument"], separators=(",", ":"))
        # Fn::Sub and its parameters are longer than what they become, except for longer names of partitions.
        assert len(text) <= 6144, name


def test_only_lists_and_apis_reach_beyond_the_products_names() -> None:
    for policy in ("DeployPolicy", "StepsPolicy", "OperatePolicy"):
        for sid, (actions, resources) in statements(policy).items():
            assert not [action for action in actions if "*" in action]
            named = all("iot-flow" in resource for resource in resources)
            assert named or sid in {"Lists", "Api", "Apis", "EventSource", "EventSources"}, sid


class Recording:
    """Runs commands and records the permissions that their calls need."""

    def __init__(self, operate: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
        self._operate = operate
        self._monkeypatch = monkeypatch
        self.needed: set[Permission] = set()

    def __call__(self, *arguments: str) -> None:
        real = vars(BaseClient)["_make_api_call"]

        def record(client: Any, operation: str, parameters: Any) -> Any:
            self.needed.update(permissions_of(client.meta.service_model, operation, parameters))
            return real(client, operation, parameters)

        with self._monkeypatch.context() as patched:
            patched.setattr(BaseClient, "_make_api_call", record)
            self._operate(*arguments)


@pytest.mark.usefixtures("old")
def test_operator_is_granted_exactly_what_the_commands_call(
    services: Services, operate: Operator, codec: StageCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: one of everything
    made, lost = connect(services, "demo"), connect(services, "other")
    services.secret_store.put_as_key("demo", made.id, "0011")
    services.application_server_store.put("demo", "AS1", "key of AS1")
    store_report(services, made)
    add_driver(services, "company:sensor:1")
    add_flow(services, made.id, driver="company:sensor:1")
    lose_record(services, "other", lost.id)
    services.notifications.replace("demo", {"url": "https://hooks.example.com/iot"}, None)
    make_api_of("iot-flow-amqp-test")

    # When: every command runs
    run = Recording(operate, monkeypatch)
    run("list")
    for command in ("show", "drain", "restart"):
        run(command, f"demo/{made.id}")
    services.failed_messages.add("demo", made.id, [failed(int(time.time()) - 1_764_000_000)])
    run("find", "70B3D5E75E000001")
    run("export", str(tmp_path / "export.json"), "--tenant", "demo", "--with-secrets")
    change(tmp_path / "export.json")
    run("import", str(tmp_path / "export.json"), "--yes")
    run("orphans", "--remove", "--yes")
    url = services.sqs.get_queue_url(QueueName=services.settings.queue(f"uplinks-{made.id}.fifo"))["QueueUrl"]
    services.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "30"})
    run("migrate-queues", "--yes")
    run("backup", str(tmp_path / "copy"), "--with-queues")
    run("backup", str(tmp_path / "taken"), "--take-queues", "--yes")
    services.uplink_queues.delete(made.id)
    run("repair", "--yes")
    services.uplink_queues.delete(made.id)
    services.secret_store.delete("demo", made.id)
    lose_record(services, "demo", made.id)
    run("restore", str(tmp_path / "taken"), "--yes")

    # Then
    for name in codec.names:
        run.needed.update(asked_for("lambda", "Invoke", {"FunctionName": name}))
    granted = statements("OperatePolicy").values()
    assert sorted(each for each in run.needed if not any(grants(one, each) for one in granted)) == []
    used = {each.action for each in run.needed}
    assert {action for actions, _ in granted for action in actions} - used - RARE == set()


def make_api_of(function: str) -> None:
    """Create a REST API that calls a function which does not exist."""
    gateway: Any = boto3.client("apigateway")
    api = gateway.create_rest_api(name="iot-flow-amqp")["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    gateway.put_method(restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE")
    arn = f"arn:aws:lambda:{HERE}:function:{function}"
    uri = f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{arn}/invocations"
    gateway.put_integration(
        restApiId=api, resourceId=root, httpMethod="GET", type="AWS_PROXY", integrationHttpMethod="POST", uri=uri
    )


def change(file: Path) -> None:
    """Change a connection and an application server in an export, and add a connection."""
    document = json.loads(file.read_text())
    [connection] = document["connections"]
    connection["configuration"] |= {"password": "other", "description": "x"}
    document["connections"].append(connection | {"id": None, "name": "new"})
    document["applicationServers"][0]["asKey"] = "another key"
    document["drivers"][0]["code"] += "// changed"
    document["flows"][0]["name"] = "changed"
    document["notifications"][0]["secret"] = new_secret()
    file.write_text(json.dumps(document))


def permissions_of(model: Any, operation: str, parameters: Any) -> list[Permission]:
    """The permissions that a call of a command needs."""
    service = model.service_name
    if operation in LISTS:
        return [Permission(f"{service}:{operation}", "*")]
    if service == "apigateway":
        verb = model.operation_model(operation).http["method"]
        return [Permission(f"apigateway:{verb}", "arn:aws:apigateway:eu-west-1::/restapis/x")]
    if service == "ssm":
        return [Permission(f"ssm:{operation}", f"arn:aws:ssm:{HERE}:parameter{parameters['Name']}")]
    if service == "lambda":
        return [Permission(f"lambda:{operation}", f"arn:aws:lambda:{HERE}:function:{parameters['FunctionName']}")]
    found = list(asked_for(service, operation, parameters))
    if operation in TAGGED:
        # The client adds the stage's tags after this look at the call.
        found.append(Permission(TAGGED[operation], found[0].resource))
    if operation == "DeleteSecret":
        # An orphan is named by its ARN.
        found = [
            Permission(each.action, each.resource.replace("secret:arn:aws:", "secret:iot-flow/")) for each in found
        ]
    return found


def grants(statement: tuple[set[str], list[str]], permission: Permission) -> bool:
    actions, resources = statement
    return permission.action in actions and any(fnmatchcase(permission.resource, each) for each in resources)


def test_template_passes_cfn_lint() -> None:
    program = Path(sys.executable).with_name("cfn-lint")
    argv = [str(program), "--regions", "eu-west-1", "--template", str(TEMPLATE)]
    answer = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_example_workflow_takes_the_role_with_its_own_token() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", WORKFLOW.read_text(encoding="utf-8"), re.DOTALL)
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    assert workflow["jobs"]["deploy"]["environment"] == "dev"
    runs = [step["run"] for step in workflow["jobs"]["deploy"]["steps"] if "run" in step]
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {run.split()[1] for run in runs} <= set(targets)
