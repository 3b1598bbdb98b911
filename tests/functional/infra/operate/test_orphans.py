"""Queues, secrets and REST APIs without an owner are found, and removed once they are an hour old."""

import json
import time
from typing import Any

import boto3
import pytest

from chalicelib.entry.services import Services
from infra.deploy.operate import orphans
from infra.deploy.operate.stage import Stage
from infra.local.aws import data_stack
from tests.functional.infra.operate.cases import Operator, connect, store_report


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands run an hour later."""
    made = Stage.services.func  # type: ignore[attr-defined]

    def later(stage: Stage) -> Services:
        services: Services = made(stage)
        services.clock = lambda: time.time() + orphans.YOUNG
        return services

    monkeypatch.setattr(Stage.services, "func", later)


def lose_record(services: Services, tenant: str, connection_id: str) -> None:
    services.dynamodb.delete_item(
        TableName=services.settings.table("connections"), Key={"tenant": {"S": tenant}, "id": {"S": connection_id}}
    )


def kinds(rows: Any) -> set[tuple[str, str]]:
    return {(row["kind"], row["action"]) for row in rows}


@pytest.mark.usefixtures("old")
def test_queue_and_secrets_of_a_lost_record_are_removed(services: Services, operate: Operator) -> None:
    kept, lost = connect(services, "demo"), connect(services, "other")
    for each in (kept, lost):
        services.secret_store.put_as_key(each.tenant, each.id, "0011")
    store_report(services, lost)
    services.application_server_store.put("demo", "AS1", "key of AS1")
    lose_record(services, "other", lost.id)

    found = operate.json("orphans", code=1)
    assert sorted(row["name"].split("/", 1)[-1] for row in found) == [
        f"iot-flow-test-uplinks-{lost.id}.fifo",
        f"other/{lost.id}",
        f"other/{lost.id}/as-keys",
    ]
    assert found[0]["content"] == "1 reports"
    operate("orphans", "--remove", code=3)
    assert kinds(operate.json("orphans", "--remove", "--yes")) == {("queue", "removed"), ("secret", "removed")}
    assert operate.json("orphans") == []
    assert services.uplink_queues.depth(kept.id) == (0, 0)
    assert services.application_server_store.keys("AS1") == [("demo", "key of AS1")]


def test_what_is_younger_than_an_hour_stays(services: Services, operate: Operator) -> None:
    connect(services, "demo")
    lost = connect(services, "other")
    lose_record(services, "other", lost.id)
    assert kinds(operate.json("orphans", "--remove", "--yes")) == {("queue", "young"), ("secret", "young")}
    assert services.uplink_queues.depth(lost.id) == (0, 0)


@pytest.mark.usefixtures("old")
def test_unfinished_delete_is_left_to_the_reconciler(services: Services, operate: Operator) -> None:
    connect(services, "demo")
    deleted = connect(services, "other")
    services.connection_store.delete("other", deleted.id)
    assert operate.json("orphans") == []


@pytest.mark.usefixtures("old")
def test_secrets_of_another_stage_are_no_orphans(services: Services, operate: Operator) -> None:
    # Given: another stage in this account with the same SECRET_PREFIX
    connect(services, "demo")
    other = Services(services.settings.model_copy(update={"resource_prefix": "iot-flow-prod"}))
    data_stack.create(other.dynamodb, other.sqs, "iot-flow-prod", other.settings.timing)
    connect(other, "other")
    other.application_server_store.put("other", "AS1", "key of AS1")
    services.secretsmanager.create_secret(Name="iot-flow/somebody/else/entirely", SecretString="x")
    assert operate.json("orphans") == []


@pytest.mark.usefixtures("old")
def test_nothing_is_removed_when_the_table_is_empty(services: Services, operate: Operator) -> None:
    lost = connect(services, "demo")
    lose_record(services, "demo", lost.id)
    assert "--all" in operate("orphans", "--remove", "--yes", code=1).err
    assert services.uplink_queues.depth(lost.id) == (0, 0)
    operate("orphans", "--remove", "--all", "--yes")
    assert operate.json("orphans") == []


def make_api(name: str, function: str) -> str:
    """Create a REST API that calls a function, and return its id."""
    gateway: Any = boto3.client("apigateway")
    api: str = gateway.create_rest_api(name=name)["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    gateway.put_method(restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE")
    arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{function}/invocations"
    uri = f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{arn}"
    gateway.put_integration(
        restApiId=api, resourceId=root, httpMethod="GET", type="AWS_PROXY", integrationHttpMethod="POST", uri=uri
    )
    return api


def rest_apis() -> set[str]:
    return {api["id"] for api in boto3.client("apigateway").get_rest_apis()["items"]}


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage's function exists."""
    monkeypatch.setattr(orphans._Search, "_function_exists", lambda _: True)


def record_api(api: str) -> None:
    value = json.dumps({"restApi": api})
    boto3.client("ssm").put_parameter(Name="/iot-flow-test/deployment", Value=value, Type="String", Overwrite=True)


@pytest.mark.usefixtures("old")
def test_api_of_a_missing_function_is_an_orphan(services: Services, operate: Operator) -> None:
    connect(services, "demo")
    make_api("iot-flow-amqp", "iot-flow-amqp-test")
    other = make_api("iot-flow-amqp", "iot-flow-amqp-prod")
    assert kinds(operate.json("orphans", "--remove", "--yes")) == {("REST API", "removed")}
    assert rest_apis() == {other}


@pytest.mark.usefixtures("old", "function")
def test_api_beside_the_recorded_one_is_an_orphan(services: Services, operate: Operator) -> None:
    connect(services, "demo")
    deployed, _ = (make_api("iot-flow-amqp-test", "iot-flow-amqp-test") for _ in range(2))
    record_api(deployed)
    assert kinds(operate.json("orphans", "--remove", "--yes")) == {("REST API", "removed")}
    assert rest_apis() == {deployed}


@pytest.mark.usefixtures("old", "function")
@pytest.mark.parametrize("recorded", ["", "gone"])
def test_no_api_is_an_orphan_when_the_record_names_none_of_them(
    services: Services, operate: Operator, recorded: str
) -> None:
    connect(services, "demo")
    both = {make_api("iot-flow-amqp-test", "iot-flow-amqp-test") for _ in range(2)}
    if recorded:
        record_api(recorded)
    assert operate.json("orphans", "--remove", "--yes") == []
    assert all(api in operate.err for api in both)
    assert rest_apis() == both
