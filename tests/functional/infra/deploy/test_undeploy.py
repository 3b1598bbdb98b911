"""Two stages of one account: one is removed, by hand or not at all, and the other stays."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from infra.deploy import undeploy
from infra.deploy.account import Account
from infra.deploy.stacks import TEMPLATES, Stack
from infra.deploy.stage import Stage, load
from infra.deploy.undeploy import Removal
from infra.local.processes import ROOT
from tests.functional.infra.deploy import strict_moto
from tests.functional.infra.deploy.deploy_target import REGION
from tests.functional.infra.deploy.snapshot import left

ROLE = '{"Version": "2012-10-17", "Statement": []}'
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}]}'
OTHER = "staging"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """The stages ``test`` and ``staging`` with a function, a role, a schedule, an API, a queue and a secret each."""
    strict_moto.make_strict()
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        aws = Account.of_environment(REGION, pause=0.01)
        make(aws, "test")
        make(aws, OTHER)
        yield aws


@pytest.fixture
def stage() -> Stage:
    return load(ROOT, "test")


def make(aws: Account, name: str) -> None:
    application, prefix = f"iot-flow-amqp-{name}", f"iot-flow-{name}"
    role = aws.client("iam").create_role(RoleName=f"{application}-forward", AssumeRolePolicyDocument=POLICY)["Role"]
    aws.client("iam").put_role_policy(RoleName=role["RoleName"], PolicyName="own", PolicyDocument=POLICY)
    sqs, functions, events = aws.client("sqs"), aws.client("lambda"), aws.client("events")
    function = functions.create_function(
        FunctionName=f"{application}-forward",
        Runtime="python3.11",
        Role=role["Arn"],
        Handler="app.forward",
        Code={"ZipFile": b"PK"},
    )
    wakes = sqs.create_queue(QueueName=f"{prefix}-wakes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=wakes, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=function["FunctionArn"])
    events.put_rule(Name=f"{application}-reconcile-event", ScheduleExpression="rate(1 minute)")
    target = {"Id": "1", "Arn": function["FunctionArn"]}
    events.put_targets(Rule=f"{application}-reconcile-event", Targets=[target])
    aws.client("apigateway").create_rest_api(name=application)
    sqs.create_queue(QueueName=f"{prefix}-uplinks-1.fifo", Attributes={"FifoQueue": "true"})
    aws.client("secretsmanager").create_secret(Name=f"{prefix}/demo/1", SecretString="x")


def test_confirmed_removal_leaves_nothing_of_the_stage_and_the_other_stage_whole(aws: Account, stage: Stage) -> None:
    before = left(aws, OTHER)
    Removal(stage, aws, dry=False, confirm=lambda _: True).run()
    remains = left(aws, "test")
    assert remains.pop("queues") == ["iot-flow-test-wakes"]  # made by hand here; else by the data stack
    assert remains == {kind: [] for kind in remains}
    assert left(aws, OTHER) == before


def test_removal_without_confirmation_keeps_queues_and_secrets(aws: Account, stage: Stage) -> None:
    asked: list[str] = []

    def refuse(question: str) -> bool:
        asked.append(question)
        return False

    Removal(stage, aws, dry=False, confirm=refuse).run()
    remains = left(aws, "test")
    assert remains["functions"] == remains["apis"] == remains["mappings"] == []
    assert remains["queues"] == ["iot-flow-test-uplinks-1.fifo", "iot-flow-test-wakes"]
    assert remains["secrets"] == ["iot-flow-test/demo/1"]
    assert asked == ["Remove 1 queues and 1 secrets of connections, 1 stacks with all waiting messages?"]


def test_dry_run_removes_nothing(aws: Account, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    before = left(aws, "test")
    Removal(stage, aws, dry=True, confirm=lambda _: True).run()
    assert left(aws, "test") == before
    said = capsys.readouterr().out
    assert "would remove 1 functions, 1 roles, 1 event sources, 1 schedules, 1 REST API" in said
    assert "would ask, then remove 1 queues and 1 secrets of connections, 1 stacks" in said


@pytest.mark.filterwarnings("ignore:Tried to parse AWS")
def test_kept_tables_are_named_with_the_command_that_removes_them(
    aws: Account, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.client("sqs").delete_queue(
        QueueUrl=aws.client("sqs").get_queue_url(QueueName="iot-flow-test-wakes")["QueueUrl"]
    )
    Stack(TEMPLATES[0], stage, aws).apply()
    Removal(stage, aws, dry=False, confirm=lambda _: True).run()
    said = capsys.readouterr().out
    tables = ("connections", "application-servers", "failed-messages")
    for table in tables:
        assert f"aws dynamodb delete-table --table-name iot-flow-test-{table}" in said
    assert "aws sqs delete-queue --queue-url" in said
    assert Stack(TEMPLATES[0], stage, aws).describe() is None


def test_shared_prefix_of_secrets_keeps_the_secrets(
    aws: Account, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.client("secretsmanager").create_secret(Name="iot-flow/demo/-test", SecretString="x")
    monkeypatch.setitem(stage.variables, "SECRET_PREFIX", "iot-flow")
    Removal(stage, aws, dry=False, confirm=lambda _: True).run()
    assert left(aws, "test")["secrets"] == ["iot-flow-test/demo/1", "iot-flow/demo/-test"]


def test_only_the_stages_name_confirms(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for typed, expected in (("test\n", True), ("yes\n", False), ("", False)):
        monkeypatch.setattr("sys.stdin.readline", lambda typed=typed: typed)
        assert undeploy._asked(stage)("Remove?") is expected
