"""`make deploy` creates the resources that app.py declares, and its package runs without other libraries."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, cast

import pytest
from chalice.app import Rate, ScheduledEventConfig, SQSEventConfig
from chalice.cli.factory import CLIFactory

from app import app
from chalicelib import __version__
from chalicelib.config import settings
from chalicelib.domain.drivers.driver import code_hash
from chalicelib.domain.work_items import DownlinkJob, PollJob, PollTarget, Wake
from chalicelib.kernel.ids import new_id
from infra.deploy.packaging import bytecode, wheels
from infra.deploy.packaging.package import LARGEST
from infra.deploy.packaging.runtime import RUNTIME
from infra.deploy.stage import load
from infra.local.processes import ROOT
from tests.functional.infra.deploy.deploy_target import STAGE, Project, Target, target
from tests.functional.infra.deploy.guide.commands import README, blocks, expanded

APP = f"iot-flow-amqp-{STAGE}"
PREFIX = f"iot-flow-{STAGE}"
CONFIG = json.loads((ROOT / ".chalice" / "config.json").read_text())
NAMES = sorted(CONFIG["lambda_functions"])
LAMBDA_BRINGS = ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3")
"""The libraries of Lambda's runtime, in the versions that are pinned for the tests."""
NOT_SHIPPED = ("boto3", "botocore", "moto", "pytest", "hypothesis", "tests", "infra", "click", "pip", "setuptools")
SERVICES = ("dynamodb", "lambda", "logs", "secretsmanager", "sns", "sqs")
SECRET_LIKE = ("BEGIN PRIVATE KEY", "BEGIN RSA PRIVATE KEY", "BEGIN EC PRIVATE KEY", "AKIA")


@dataclass(frozen=True)
class Deployed:
    aws: Target
    project: Project
    seconds: float

    def function(self, name: str) -> Any:
        return self.aws.client("lambda").get_function_configuration(FunctionName=function_name(name))


def function_name(name: str) -> str:
    return APP if name == "api_handler" else f"{APP}-{name}"


def source_of(declared: SQSEventConfig) -> str:
    """The name of a handler's queue in the stage, whose prefix differs from that of the test process."""
    return PREFIX + (declared.queue or "").removeprefix(settings().resource_prefix)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    project = Project.copied_to(tmp_path_factory.mktemp("deploy") / "project")
    with target() as aws:
        began = time.monotonic()
        said = project.deploy(aws)
        seconds = time.monotonic() - began
        assert "release 0.1.0 answers" in said, said
        yield Deployed(aws, project, seconds)


@pytest.fixture(scope="module")
def unpacked(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("package")
    with zipfile.ZipFile(deployed.project.package) as package:
        package.extractall(directory)
    if bytecode.interpreter() is None:
        # This machine has no Python of the runtime's version. The handlers run on its own Python, with the same sources
        # and the same versions of the libraries; test_package.py examines the libraries for Lambda.
        for path, content in wheels.files_of(ROOT / "requirements.txt", "x86_64", sys.version_info[:2]).items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_bytes(content)
    return directory


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that contains only the libraries of Lambda's runtime."""
    directory = tmp_path_factory.mktemp("runtime")
    for name in LAMBDA_BRINGS:
        files = distribution(name).files or []
        tops = {file.parts[0] for file in files if file.parts[0] not in {"..", "__pycache__"}}
        for top in tops:
            (directory / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return directory


def test_every_function_is_created_as_configured(deployed: Deployed) -> None:
    found = deployed.aws.client("lambda").list_functions()["Functions"]
    assert {function["FunctionName"] for function in found} == {function_name(name) for name in NAMES}
    assert set(NAMES) == {"api_handler", "codec", "notify", *(source.name for source in app.event_sources)}
    for name in NAMES:
        function, wanted = deployed.function(name), CONFIG["lambda_functions"][name]
        assert function["Timeout"] == wanted["lambda_timeout"]
        assert function["MemorySize"] == wanted["lambda_memory_size"]
        assert function["Runtime"] == RUNTIME == "python3.13"
        assert function["Handler"] == ("app.app" if name == "api_handler" else f"app.{name}")
        assert function["Environment"]["Variables"] == {
            **CONFIG["stages"][STAGE]["environment_variables"],
            "SECRET_PREFIX": PREFIX,
            "CODEC_FUNCTION": function_name("codec"),
            "NOTIFY_FUNCTION": function_name("notify"),
            "RESOURCE_TAGS": "iot-flow:stage=test",
        }


def test_every_queue_handler_has_its_event_source(deployed: Deployed) -> None:
    declared = {
        (function_name(each.name), source_of(each), each.batch_size, each.maximum_concurrency)
        for each in app.event_sources
        if isinstance(each, SQSEventConfig)
    }
    mappings = deployed.aws.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    found = {
        (
            mapping["FunctionArn"].rsplit(":", 1)[1],
            mapping["EventSourceArn"].rsplit(":", 1)[1],
            mapping["BatchSize"],
            mapping["ScalingConfig"]["MaximumConcurrency"],
        )
        for mapping in mappings
    }
    assert len(mappings) == len(declared) == 4
    assert found == declared


def test_visibility_timeout_exceeds_the_function_timeout(deployed: Deployed) -> None:
    # Otherwise Lambda refuses the event source.
    sqs = deployed.aws.client("sqs")
    for each in app.event_sources:
        if isinstance(each, SQSEventConfig):
            url = sqs.get_queue_url(QueueName=source_of(each))["QueueUrl"]
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
            assert int(attributes["VisibilityTimeout"]) >= deployed.function(each.name)["Timeout"]


def test_every_schedule_calls_its_function(deployed: Deployed) -> None:
    events = deployed.aws.client("events")
    found = {
        (each["Arn"].rsplit(":", 1)[1], rule["ScheduleExpression"], rule["State"])
        for rule in events.list_rules()["Rules"]
        for each in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    }
    declared = {
        (function_name(each.name), str(cast("Rate", each.schedule_expression).to_string()), "ENABLED")
        for each in app.event_sources
        if isinstance(each, ScheduledEventConfig)
    }
    assert found == declared
    assert found


def test_every_route_calls_the_api_function(deployed: Deployed) -> None:
    gateway = deployed.aws.client("apigateway")
    [api] = gateway.get_rest_apis()["items"]
    assert api["name"] == APP
    assert [stage["stageName"] for stage in gateway.get_stages(restApiId=api["id"])["item"]] == ["api"]
    resources = gateway.get_resources(restApiId=api["id"], embed=["methods"], limit=500)["items"]
    called = {
        (method, resource["path"]): details["methodIntegration"]["uri"]
        for resource in resources
        for method, details in resource.get("resourceMethods", {}).items()
    }
    assert set(called) == {(method, path) for path, methods in app.routes.items() for method in methods}
    assert all(f":function:{APP}/invocations" in uri for uri in called.values())
    policy = json.loads(deployed.aws.client("lambda").get_policy(FunctionName=APP)["Policy"])
    assert [statement["Principal"] for statement in policy["Statement"]] == [{"Service": "apigateway.amazonaws.com"}]


def test_chalice_knows_the_address_of_the_api(deployed: Deployed) -> None:
    [api] = deployed.aws.client("apigateway").get_rest_apis()["items"]
    record = CLIFactory(str(deployed.project.directory)).create_config_obj(STAGE).deployed_resources(STAGE)
    url = record.resource_values("rest_api")["rest_api_url"]  # what `chalice url` prints
    assert url == f"https://{api['id']}.execute-api.eu-west-1.amazonaws.com/api/"


def test_every_function_has_its_role_and_policy_without_wildcard_actions(deployed: Deployed) -> None:
    iam = deployed.aws.client("iam")
    roles = {name: deployed.function(name)["Role"].rsplit("/", 1)[1] for name in NAMES}
    assert len(set(roles.values())) == len(NAMES)
    for name, role in roles.items():
        assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
        [policy_name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
        policy = iam.get_role_policy(RoleName=role, PolicyName=policy_name)["PolicyDocument"]
        template = json.loads((ROOT / ".chalice" / f"policy-{name}.json").read_text())
        assert [each["Action"] for each in policy["Statement"]] == [each["Action"] for each in template["Statement"]]
        # Nothing of another stage, region or account.
        allowed = tuple(f"{service}:eu-west-1:123456789012:" for service in SERVICES)
        for resource in (resource for each in policy["Statement"] for resource in each["Resource"]):
            assert resource.split(":", 2)[2].startswith(allowed), resource
            assert f"{PREFIX}-" in resource or f"secret:{PREFIX}/" in resource or APP in resource
            assert f"{APP}-*" not in resource
        assert not [action for each in policy["Statement"] for action in each["Action"] if "*" in action]


def test_uploaded_package_is_small_and_has_only_expected_files(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    content = deployed.project.package.read_bytes()
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert {deployed.function(name)["CodeSha256"] for name in NAMES} == {digest}
    with capsys.disabled():
        print(f"\nchalice deploy: {deployed.seconds:.1f} s, package {len(content) / 1e6:.2f} MB zipped")
    assert len(content) <= LARGEST == 15_000_000

    with zipfile.ZipFile(deployed.project.package) as package:
        names = package.namelist()
        shipped = [name for name in names if "/__pycache__/" not in f"/{name}"]
        ours = [name for name in shipped if name == "app.py" or name.startswith("chalicelib/")]
        texts = [package.read(name).decode("utf-8", "replace") for name in ours]
    assert len(names) == len(set(names))
    assert {name.split("/")[0] for name in names}.isdisjoint(NOT_SHIPPED)
    assert {name for name in shipped if name.startswith("chalice/")} == {"chalice/__init__.py", "chalice/app.py"}
    sources = [path for path in (ROOT / "chalicelib").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert set(ours) == {"app.py", *(str(path.relative_to(ROOT)) for path in sources)}
    # Code that recognises a private key contains its first line; a real key has the rest, too.
    assert not [text for text in texts if any(f"-----{mark}-----\n" in text for mark in SECRET_LIKE)]
    assert not [name for name in names if name.endswith((".pem", ".key", ".env"))]


def sqs_event(queue: str, body: str) -> dict[str, Any]:
    record = {
        "messageId": "00000000-0000-4000-8000-000000000001",
        "receiptHandle": "none",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": "0000000000000001"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{PREFIX}-{queue}",
        "awsRegion": "eu-west-1",
    }
    return {"Records": [record]}


def http_event(method: str, path: str) -> dict[str, Any]:
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": {"Accept": "application/json"},
        "multiValueHeaders": {"Accept": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {"httpMethod": method, "resourcePath": path, "path": f"/api{path}", "stage": "api"},
        "body": None,
        "isBase64Encoded": False,
    }


GONE = new_id(time.time())
DRIVER = "function decodeUplink(input) { return { data: input.bytes }; }"
EVENTS: dict[str, dict[str, Any]] = {
    "api_handler": http_event("GET", "/health"),
    "forward": sqs_event("wakes", Wake(tenant="demo", connection_id=GONE).model_dump_json(by_alias=True)),
    "forward_slow": sqs_event("wakes-slow", Wake(tenant="demo", connection_id=GONE).model_dump_json(by_alias=True)),
    "consume": sqs_event(
        "polls",
        PollJob(sent_at=0, targets=[PollTarget(tenant="demo", connection_id=GONE)]).model_dump_json(by_alias=True),
    ),
    "send_downlinks": sqs_event(
        "downlinks.fifo",
        DownlinkJob(tenant="demo", connection_id=GONE, downlink={}, received_at=0).model_dump_json(by_alias=True),
    ),
    "codec": {
        "messages": [
            {
                "driver": code_hash(DRIVER),
                "signature": "lora-alliance",
                "operation": "decodeUplink",
                "input": {"bytes": "2a"},
            }
        ],
        "codes": {code_hash(DRIVER): DRIVER},
    },
    "notify": {"jobs": []},
    "reconcile": {
        "version": "0",
        "id": "1",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-11-23T09:00:00Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": {},
    },
}


def call(deployed: Deployed, unpacked: Path, runtime: Path, name: str, event: dict[str, Any]) -> Any:
    """The handler's answer in an interpreter with the package, Lambda's libraries and the standard library."""
    function = deployed.function(name)
    script = Path(__file__).with_name("call_handler.py")
    request = {"handler": function["Handler"], "event": event, "thorough": True}
    python = bytecode.interpreter()
    # Python 3.13 writes no bytecode into the environment of these tests, which runtime links to.
    start = [python.program, "-B"] if python else [sys.executable]
    answer = subprocess.run(
        [*start, "-I", "-S", "-W", "error::ImportWarning", str(script), str(unpacked), str(runtime)],
        cwd=unpacked,
        env={**deployed.aws.environment, **function["Environment"]["Variables"]},
        input=json.dumps(request),
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout.splitlines()[-1])
    assert result["strange"] == []
    return result["answer"]


@pytest.mark.parametrize("name", NAMES)
def test_each_handler_runs_with_only_the_uploaded_package(
    deployed: Deployed, unpacked: Path, runtime: Path, name: str
) -> None:
    answer = call(deployed, unpacked, runtime, name, EVENTS[name])
    if name == "api_handler":
        assert (answer["statusCode"], json.loads(answer["body"])) == (
            200,
            {"status": "ok", "release": __version__},
        )
    if name == "codec":
        assert answer["answers"][0]["data"] == "[42]"


def test_uploaded_api_requires_a_token(deployed: Deployed, unpacked: Path, runtime: Path) -> None:
    answer = call(deployed, unpacked, runtime, "api_handler", http_event("GET", "/connections"))
    assert answer["statusCode"] == 401


def of_guide(section: str, program: str) -> list[str]:
    return [line for line in blocks(README)[section].splitlines() if line.startswith(program)]


def test_stage_in_the_guide_is_complete(tmp_path: Path) -> None:
    [example] = re.findall(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / ".chalice").mkdir()
    document = {**CONFIG, "stages": json.loads(f"{{{example}}}")}
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(document), encoding="utf-8")
    assert load(tmp_path, "prod").prefix == "iot-flow-prod"


def test_guide_has_no_command_that_these_tests_do_not_know() -> None:
    known = {
        "1. Prepare": ["git", "export", "aws", "aws"],
        "4. Deploy": ["make", "make", "aws"],
        "5. The first uplink": ["API=$(.venv/bin/chalice", "curl", "curl", "curl", "curl"],
        "Removing a stage": ["make", "make"],
    }
    found = {
        title: [line.split()[0] for line in text.splitlines() if not line.startswith((" ", "{"))]
        for title, text in blocks(README).items()
    }
    assert found == known


def test_commands_of_the_guide_list_deploy_and_remove_the_stage(deployed: Deployed) -> None:
    def run(command: str) -> str:
        module, stage, *options = expanded(command)
        assert stage == "dev"
        double = ["--address", f"{deployed.aws.endpoint}/double"] if module == "infra.deploy" else []
        # Standard input ends, so that the removal of queues and secrets is not confirmed.
        answer = deployed.project.run(module, STAGE, *options, *double, aws=deployed.aws)
        assert answer.returncode == 0, answer.stdout
        return answer.stdout

    # Given: the address as section 5 asks for it
    [address] = of_guide("5. The first uplink", "API=")
    assert "chalice url --stage dev" in address
    # When, then: the stage is deployed already
    listed, again = map(run, of_guide("4. Deploy", "make "))
    assert "nothing was changed" in listed
    for said in (listed, again):
        assert [line.split()[-1] for line in said.splitlines() if line.startswith(("stack", "func", "settings"))] == [
            "unchanged"
        ] * 4
    would, removed = map(run, of_guide("Removing a stage", "make "))
    assert "would remove 8 functions, 8 roles, 4 event sources, 1 schedules, 1 REST API" in would
    assert "removed 8 functions, 8 roles, 4 event sources, 1 schedules, 1 REST API" in removed
    assert "kept 0 queues and 0 secrets of connections, 1 stacks" in removed
    assert deployed.aws.client("lambda").list_functions()["Functions"] == []
