"""A stack is created, updated or left alone, after a change that another started, and a dead one is explained."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.deploy.account import Account
from infra.deploy.stacks import TEMPLATES, Stack
from infra.deploy.stage import Refused, Stage

STAGE = Stage("dev", "eu-west-1", "", {}, {"stages": {"dev": {}}})
NAME = "iot-flow-dev-data"


def refusal(code: str, text: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}}, "UpdateStack")


class ScriptedCloudFormation:
    """CloudFormation whose stack has one status after the other; the last one stays."""

    def __init__(self, *statuses: str, template: str = "") -> None:
        self._statuses = list(statuses)
        self._template = template or TEMPLATES[0].text()
        self.calls: list[str] = []
        self.refusal: ClientError | None = None

    def describe_stacks(self, **_: Any) -> Any:
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if not status:
            raise refusal("ValidationError", f"Stack with id {NAME} does not exist")
        parameters = {"Prefix": "iot-flow-dev", "FunctionPrefix": "iot-flow-amqp-dev"}
        return {
            "Stacks": [
                {
                    "StackStatus": status,
                    "Parameters": [{"ParameterKey": key, "ParameterValue": each} for key, each in parameters.items()],
                    "Tags": [{"Key": key, "Value": each} for key, each in STAGE.tags.items()],
                }
            ]
        }

    def get_template(self, **_: Any) -> Any:
        return {"TemplateBody": self._template}

    def describe_stack_events(self, **_: Any) -> Any:
        failed = {"LogicalResourceId": "Events", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "no quota"}
        return {"StackEvents": [failed]}

    def _change(self, call: str) -> None:
        self.calls.append(call)
        if self.refusal:
            raise self.refusal

    def create_stack(self, **_: Any) -> None:
        self._change("create")

    def update_stack(self, **_: Any) -> None:
        self._change("update")


@pytest.fixture
def waits() -> list[float]:
    return []


def stack(cloudformation: ScriptedCloudFormation, waits: list[float]) -> Stack:
    aws = Account(None, pause=5.0, sleep=waits.append)
    aws._clients["cloudformation"] = cloudformation
    return Stack(TEMPLATES[0], STAGE, aws)


def test_missing_stack_is_created(waits: list[float]) -> None:
    aws = ScriptedCloudFormation("", "", "CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    one = stack(aws, waits)
    assert one.changes() == [f"create stack {NAME}"]
    one.apply()
    assert (aws.calls, waits) == (["create"], [5.0, 5.0])


def test_equal_stack_is_left_alone(waits: list[float]) -> None:
    aws = ScriptedCloudFormation("UPDATE_COMPLETE")
    one = stack(aws, waits)
    assert one.changes() == []
    one.apply()
    assert aws.calls == []


def test_update_that_another_started_is_awaited_and_then_nothing_is_left_to_do(waits: list[float]) -> None:
    aws = ScriptedCloudFormation("UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")
    one = stack(aws, waits)
    assert one.changes() == [f"wait for the running change of stack {NAME} (UPDATE_IN_PROGRESS), then compare"]
    one.apply()
    assert (aws.calls, waits) == ([], [5.0])


def test_stack_that_another_has_just_created_is_awaited(waits: list[float]) -> None:
    aws = ScriptedCloudFormation("", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    aws.refusal = refusal("AlreadyExistsException", "exists")
    stack(aws, waits).apply()
    assert (aws.calls, waits) == (["create"], [5.0])


def test_no_updates_is_fine(waits: list[float]) -> None:
    aws = ScriptedCloudFormation("CREATE_COMPLETE", template="an older one")
    aws.refusal = refusal("ValidationError", "No updates are to be performed.")
    one = stack(aws, waits)
    assert one.changes() == [f"update stack {NAME}"]
    one.apply()
    assert aws.calls == ["update"]


def test_stack_that_could_not_be_created_names_the_cause_and_the_way_out(waits: list[float]) -> None:
    aws = ScriptedCloudFormation("ROLLBACK_COMPLETE")
    with pytest.raises(Refused) as caught:
        stack(aws, waits).changes()
    assert "Events: no quota" in str(caught.value)
    assert f"aws cloudformation delete-stack --stack-name {NAME}" in str(caught.value)
    assert aws.calls == []


def test_update_that_was_rolled_back_is_a_fault(waits: list[float]) -> None:
    aws = ScriptedCloudFormation("CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE", template="older")
    with pytest.raises(Refused, match="is UPDATE_ROLLBACK_COMPLETE: Events: no quota"):
        stack(aws, waits).apply()
