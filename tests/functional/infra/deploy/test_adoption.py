"""Existing resources at AWS are found by the stage's name and recorded as Chalice records them."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from infra.deploy import adoption
from infra.deploy.account import Account
from infra.deploy.stage import Refused, Stage, load
from infra.local.processes import ROOT
from tests.functional.infra.deploy.deploy_target import REGION
from tests.functional.infra.deploy.test_undeploy import make


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield Account.of_environment(REGION, pause=0.01)


@pytest.fixture
def stage() -> Stage:
    return load(ROOT, "test")


def test_record_names_only_the_stages_own_resources(aws: Account, stage: Stage) -> None:
    make(aws, "test")
    make(aws, "staging")
    resources = adoption.record(stage, adoption.find(stage, aws))["resources"]
    assert [(each["name"], each["resource_type"]) for each in resources] == [
        ("forward_role", "iam_role"),
        ("forward", "lambda_function"),
        ("forward-sqs-event-source", "sqs_event"),
        ("reconcile-event", "cloudwatch_event"),
        ("rest_api", "rest_api"),
    ]
    assert "staging" not in str(resources)
    assert adoption.strange_mappings(stage, adoption.find(stage, aws)) == []


def test_second_api_of_the_name_is_refused_unless_one_is_recorded(aws: Account, stage: Stage) -> None:
    ids = [aws.client("apigateway").create_rest_api(name="iot-flow-amqp-test")["id"] for _ in range(2)]
    with pytest.raises(Refused, match="There are 2 REST APIs named iot-flow-amqp-test"):
        adoption.find(stage, aws)
    assert adoption.find(stage, aws, recorded_api=ids[1]).api == ids[1]


def test_api_of_the_first_release_is_taken_only_if_it_is_recorded(aws: Account, stage: Stage) -> None:
    old = aws.client("apigateway").create_rest_api(name="iot-flow-amqp")["id"]
    assert adoption.find(stage, aws).api == ""
    assert adoption.find(stage, aws, recorded_api=old).api == old


def test_event_source_of_another_stages_queue_is_strange_and_can_be_removed(aws: Account, stage: Stage) -> None:
    make(aws, "test")
    sqs, functions = aws.client("sqs"), aws.client("lambda")
    url = sqs.create_queue(QueueName="iot-flow-dev-wakes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    name = functions.get_function_configuration(FunctionName="iot-flow-amqp-test-forward")["FunctionArn"]
    functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=name)
    strange = adoption.strange_mappings(stage, adoption.find(stage, aws))
    assert [each["EventSourceArn"] for each in strange] == [arn]
    adoption.remove_mappings(strange, aws)
    [left] = adoption.find(stage, aws).mappings
    assert left["EventSourceArn"].endswith(":iot-flow-test-wakes")


def test_only_a_functions_own_event_sources_are_found_also_if_aws_lists_more(aws: Account, stage: Stage) -> None:
    make(aws, "test")
    make(aws, "test2")
    # LocalStack searches for the name in names: it lists the mappings of forward_slow for forward, and all for the API.
    event = "before-parameter-build.lambda.ListEventSourceMappings"
    aws.client("lambda").meta.events.register(event, lambda params, **_: params.pop("FunctionName"))
    [mapping] = adoption.find(stage, aws).mappings
    assert mapping["FunctionArn"].endswith(":iot-flow-amqp-test-forward")
    assert mapping["EventSourceArn"].endswith(":iot-flow-test-wakes")
