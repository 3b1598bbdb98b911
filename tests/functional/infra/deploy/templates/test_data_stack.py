"""The data stack's template, as CloudFormation creates it, and the local stack's copy of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml  # type: ignore[import-untyped]
from moto import mock_aws

from chalicelib.config import Timing
from infra.local.aws import data_stack

PREFIX = "iot-flow-test"
BY_CLOUDFORMATION, BY_HAND = "eu-west-1", "eu-west-3"
"""Two regions, so that both copies can have the same names."""
TABLES = {
    "connections",
    "flows",
    "drivers",
    "application-servers",
    "events",
    "statistics",
    "failed-messages",
    "notifications",
    "coordination",
}
QUEUES = {"wakes", "wakes-slow", "polls", "downlinks.fifo"}
FUNCTIONS = {"", "-codec", "-forward", "-forward_slow", "-consume", "-send_downlinks", "-reconcile", "-notify"}
OF_THE_RUN = ("Arn", "Timestamp", "Approximate", "Policy")
"""Parts of the names of attributes that identify a queue or depend on its content."""


def client(service: Any, region: str = BY_CLOUDFORMATION) -> Any:
    return boto3.client(service, region_name=region)


def template(kind: str) -> list[dict[str, Any]]:
    """The resources of one type in the template."""
    document = yaml.safe_load(data_stack.TEMPLATE.read_text(encoding="utf-8"))
    return [resource for resource in document["Resources"].values() if resource["Type"] == kind]


def create_stack(**parameters: str) -> None:
    cloudformation = client("cloudformation")
    cloudformation.create_stack(
        StackName="data",
        TemplateBody=data_stack.TEMPLATE.read_text(encoding="utf-8"),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in {"Prefix": PREFIX, **parameters}.items()
        ],
    )
    [stack] = cloudformation.describe_stacks(StackName="data")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield


def index_of(description: Any) -> dict[str, Any]:
    return {key: description[key] for key in ("IndexName", "KeySchema", "Projection")}


def tables(region: str) -> dict[str, Any]:
    dynamodb = client("dynamodb", region)
    found: dict[str, Any] = {}
    for name in dynamodb.list_tables()["TableNames"]:
        table = dynamodb.describe_table(TableName=name)["Table"]
        found[name] = {
            "keys": table["KeySchema"],
            "attributes": sorted(table["AttributeDefinitions"], key=json.dumps),
            "indexes": sorted(map(index_of, table.get("GlobalSecondaryIndexes", [])), key=json.dumps),
            "billing": table["BillingModeSummary"]["BillingMode"],
        }
    return found


def expiring(region: str) -> dict[str, str]:
    """The time-to-live attribute by table."""
    dynamodb = client("dynamodb", region)
    described = {
        name: dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        for name in dynamodb.list_tables()["TableNames"]
    }
    return {name: ttl["AttributeName"] for name, ttl in described.items() if ttl["TimeToLiveStatus"] == "ENABLED"}


def queues(region: str) -> dict[str, dict[str, str]]:
    sqs = client("sqs", region)
    found: dict[str, dict[str, str]] = {}
    for url in sqs.list_queues()["QueueUrls"]:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        found[url.rsplit("/", 1)[1]] = {
            key: value.lower() for key, value in attributes.items() if not any(part in key for part in OF_THE_RUN)
        }
    return found


@pytest.mark.usefixtures("aws")
def test_local_stack_creates_the_same_tables_and_queues_as_cloudformation() -> None:
    create_stack()
    data_stack.create(client("dynamodb", BY_HAND), client("sqs", BY_HAND), PREFIX, Timing())

    assert set(tables(BY_CLOUDFORMATION)) == {f"{PREFIX}-{kind}" for kind in TABLES}
    assert tables(BY_HAND) == tables(BY_CLOUDFORMATION)
    assert set(queues(BY_CLOUDFORMATION)) == {f"{PREFIX}-{kind}" for kind in QUEUES}
    assert queues(BY_HAND) == queues(BY_CLOUDFORMATION)
    assert {queue["SqsManagedSseEnabled"] for queue in queues(BY_CLOUDFORMATION).values()} == {"true"}
    assert expiring(BY_HAND) == {
        resource["Properties"]["TableName"]["Fn::Sub"].replace("${Prefix}", PREFIX): expiry["AttributeName"]
        for resource in template("AWS::DynamoDB::Table")
        # moto's CloudFormation ignores time-to-live.
        if (expiry := resource["Properties"].get("TimeToLiveSpecification", {})).get("Enabled")
    }


@pytest.mark.usefixtures("aws")
def test_every_function_has_a_log_group_with_retention() -> None:
    create_stack(FunctionPrefix="iot-flow-amqp-test", LogRetentionDays="14")
    groups = client("logs").describe_log_groups()["logGroups"]
    retention = {group["logGroupName"]: group["retentionInDays"] for group in groups}
    assert retention == {f"/aws/lambda/iot-flow-amqp-test{name}": 14 for name in FUNCTIONS}


@pytest.mark.usefixtures("aws")
def test_customer_key_encrypts_queues_if_requested() -> None:
    create_stack(CustomerKey="true")
    [stack] = client("cloudformation").describe_stacks(StackName="data")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    found = queues(BY_CLOUDFORMATION).values()
    assert {queue["KmsMasterKeyId"] for queue in found} == {outputs["QueueKeyArn"]}
    assert client("kms").get_key_rotation_status(KeyId=outputs["QueueKeyArn"])["KeyRotationEnabled"]


@pytest.mark.usefixtures("aws")
def test_customer_data_is_retained_when_the_stack_is_deleted() -> None:
    create_stack()
    client("cloudformation").delete_stack(StackName="data")
    kept = {name.removeprefix(f"{PREFIX}-") for name in tables(BY_CLOUDFORMATION)}
    assert kept == {"connections", "flows", "drivers", "application-servers", "failed-messages", "notifications"}
    assert set(queues(BY_CLOUDFORMATION)) == {f"{PREFIX}-downlinks.fifo"}


def test_templates_pass_cfn_lint() -> None:
    program = Path(sys.executable).with_name("cfn-lint")
    templates = sorted(map(str, data_stack.TEMPLATE.parent.glob("*.yaml")))
    argv = [str(program), "--regions", "eu-west-1", "--template", *templates]
    answer = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_every_table_that_outlives_minutes_has_a_backup() -> None:
    backed_up = {
        resource["Properties"]["TableName"]["Fn::Sub"].removeprefix("${Prefix}-")
        for resource in template("AWS::DynamoDB::Table")
        if resource["Properties"].get("PointInTimeRecoverySpecification") == {"PointInTimeRecoveryEnabled": True}
    }
    assert backed_up == TABLES - {"coordination"}
