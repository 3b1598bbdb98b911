"""CloudFormation stacks of a stage: created, updated or left alone."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.account import Account, code
from infra.deploy.stage import Refused, Stage
from infra.deploy.templates import alarms

TEMPLATES_FOLDER = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Template:
    """A template and the parameters that a stage gives it."""

    name: str
    """The last part of the stack's name."""
    parameters: Callable[[Stage], Mapping[str, str]]
    text: Callable[[], str]
    wanted: Callable[[Stage], bool] = lambda _stage: True
    """Whether the stage has the stack."""
    capabilities: tuple[str, ...] = ()
    before_functions: bool = True
    """Whether the functions need what the stack makes. Other stacks follow the functions."""

    def stack(self, stage: Stage) -> str:
        return f"{stage.prefix}-{self.name}"


def _file(name: str) -> str:
    return (TEMPLATES_FOLDER / name).read_text(encoding="utf-8")


def _of_data(stage: Stage) -> Mapping[str, str]:
    return {"Prefix": stage.prefix, "FunctionPrefix": stage.application, **stage.parameters("data_stack")}


def _of_alarms(stage: Stage) -> Mapping[str, str]:
    own = {"ApiName": stage.application, "ApiStage": stage.gateway_stage, **stage.parameters("alarms")}
    return {"Prefix": stage.prefix, "FunctionPrefix": stage.application, **own}


# Further stacks of a stage belong here, in the order in which they are made; undeploy removes them backwards.
TEMPLATES: tuple[Template, ...] = (
    Template("data", _of_data, partial(_file, "data-stack.yaml")),
    Template("alarms", _of_alarms, alarms.text, before_functions=False),
)

_USABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}


class Stack:
    """One stack of a stage."""

    def __init__(self, template: Template, stage: Stage, aws: Account) -> None:
        self.template = template
        self._stage = stage
        self._aws = aws
        self._client = aws.client("cloudformation")
        self.name = template.stack(stage)

    def describe(self) -> dict[str, Any] | None:
        """Return CloudFormation's description, or None if there is no such stack."""
        try:
            [stack] = self._client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if code(error) == "ValidationError" and "does not exist" in str(error):
                return None
            raise
        return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack

    def changes(self) -> list[str]:
        """Return what a deployment would do. Raises Refused for a stack that only a person can mend."""
        stack = self.describe()
        if stack is None:
            return [f"create stack {self.name}"]
        if stack["StackStatus"].endswith("_IN_PROGRESS"):
            return [f"wait for the running change of stack {self.name} ({stack['StackStatus']}), then compare"]
        self._check(stack)
        return [] if self._equals(stack) else [f"update stack {self.name}"]

    def apply(self) -> None:
        """Create or update the stack, after a change that another started. Raises Refused when that fails."""
        stack = self.wait()
        if stack is None:
            try:
                self._client.create_stack(StackName=self.name, **self._arguments())
            except ClientError as error:
                if code(error) != "AlreadyExistsException":
                    raise
        elif not self._equals(stack):
            try:
                self._client.update_stack(StackName=self.name, **self._arguments())
            except ClientError as error:
                if "No updates are to be performed" not in str(error):
                    raise
        done = self.wait()
        if done is None or done["StackStatus"] not in _USABLE or done["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE":
            status = done["StackStatus"] if done else "gone"
            raise Refused(f"Stack {self.name} is {status}: {self._reason()}")

    def remove(self) -> None:
        """Delete the stack. Its retained resources stay."""
        if self.describe() is not None:
            self._client.delete_stack(StackName=self.name)
            left = self.wait(deleting=True)
            if left is not None:
                raise Refused(f"Stack {self.name} is {left['StackStatus']}: {self._reason()}")

    def resources(self) -> list[dict[str, Any]]:
        """Return the resources of an existing stack."""
        if self.describe() is None:
            return []
        pages = self._client.get_paginator("list_stack_resources").paginate(StackName=self.name)
        return [resource for page in pages for resource in page["StackResourceSummaries"]]

    def outputs(self) -> dict[str, str]:
        stack = self.describe() or {}
        return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}

    def wait(self, *, deleting: bool = False) -> dict[str, Any] | None:
        """Return the stack when no change of it runs any more."""
        while (stack := self.describe()) is not None and stack["StackStatus"].endswith("_IN_PROGRESS"):
            self._aws.wait()
        if stack is not None and not deleting:
            self._check(stack)
        return stack

    def _check(self, stack: dict[str, Any]) -> None:
        status = stack["StackStatus"]
        if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}:
            raise Refused(
                f"Stack {self.name} is {status}, which CloudFormation can only delete: {self._reason()}. Mend the "
                f"cause, run `aws cloudformation delete-stack --stack-name {self.name}`, and deploy again."
            )
        if status == "UPDATE_ROLLBACK_FAILED":
            raise Refused(
                f"Stack {self.name} is {status}: {self._reason()}. Mend the cause, then run "
                f"`aws cloudformation continue-update-rollback --stack-name {self.name}`."
            )

    def _reason(self) -> str:
        events = self._client.describe_stack_events(StackName=self.name)["StackEvents"]
        for event in reversed(events):
            if event.get("ResourceStatus", "").endswith("_FAILED"):
                return f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
        return "CloudFormation gave no reason"

    def _equals(self, stack: dict[str, Any]) -> bool:
        if stack["StackStatus"] not in _USABLE:
            return False
        wanted = self._arguments()
        body = self._client.get_template(StackName=self.name)["TemplateBody"]
        found = {each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", [])}
        tags = {each["Key"]: each["Value"] for each in stack.get("Tags", [])}
        # Parameters that are left out have the template's defaults, which the template's text covers.
        same = all(found.get(name) == value for name, value in self.template.parameters(self._stage).items())
        # boto3 parses a template in JSON, and returns the text of one in YAML.
        template = json.loads(wanted["TemplateBody"]) if isinstance(body, dict) else wanted["TemplateBody"]
        return bool(same and body == template and tags == self._stage.tags)

    def _arguments(self) -> dict[str, Any]:
        parameters = self.template.parameters(self._stage)
        return {
            "TemplateBody": self.template.text(),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Capabilities": list(self.template.capabilities),
            "Tags": [{"Key": key, "Value": value} for key, value in self._stage.tags.items()],
        }
