"""Settings that Chalice cannot make (declared.py): compared with AWS, made where they differ, checked afterwards."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.account import Account, absent, code
from infra.deploy.adoption import Found
from infra.deploy.declared import ACCESS_LOG_FORMAT, ASYNCHRONOUS
from infra.deploy.stage import Refused, Stage

_WRITER = "iot-flow-api-access-logs"
_WRITERS_ACTIONS = (
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogGroups",
    "logs:DescribeLogStreams",
    "logs:PutLogEvents",
    "logs:GetLogEvents",
    "logs:FilterLogEvents",
)
"""The actions of AWS's own policy for this role; API Gateway tries them before it accepts the role."""
_TRIES = 12


@dataclass(frozen=True)
class Difference:
    """Something that AWS does not have as declared, and the call that mends it."""

    text: str
    mend: Callable[[], object]


class Beyond:
    """Reserved concurrency, asynchronous calls, event sources, access log, tags and roles of a stage with functions."""

    def __init__(self, stage: Stage, aws: Account, found: Found) -> None:
        self._stage = stage
        self._aws = aws
        self._found = found
        self._lambda = aws.client("lambda")
        self._gateway = aws.client("apigateway")

    def differences(self) -> Iterator[Difference]:
        """Compare each declared value with AWS."""
        yield from self._reservations()
        yield from self._asynchronous()
        yield from self._event_sources()
        yield from self._access_log()
        yield from self._tags()
        yield from self._other_policies()

    def _reservations(self) -> Iterator[Difference]:
        for handler in self._found.functions:
            name = self._stage.function(handler)
            found = self._lambda.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
            wanted = self._stage.reserved.get(handler)
            if wanted is not None and found != wanted:
                yield Difference(
                    f"reserve {wanted} concurrent executions for {name}",
                    partial(
                        self._lambda.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=wanted
                    ),
                )

    def _asynchronous(self) -> Iterator[Difference]:
        for handler, declared in ASYNCHRONOUS.items():
            name = self._stage.function(handler)
            wanted = {"MaximumRetryAttempts": declared.retries, "MaximumEventAgeInSeconds": declared.maximum_age}
            found: dict[str, Any] = {}
            with absent("ResourceNotFoundException"):
                found = self._lambda.get_function_event_invoke_config(FunctionName=name)
            if any(found.get(key) != value for key, value in wanted.items()):
                yield Difference(
                    f"let scheduled calls of {name} age {declared.maximum_age} s, with {declared.retries} retries",
                    partial(self._lambda.put_function_event_invoke_config, FunctionName=name, **wanted),
                )

    def _event_sources(self) -> Iterator[Difference]:
        """Chalice changes an event source without enabling it."""
        for mapping in self._found.mappings:
            if self._state(mapping) in {"Disabled", "Disabling"}:
                queue = mapping["EventSourceArn"].rsplit(":", 1)[1]
                yield Difference(f"enable the event source {queue}", partial(self._enable, mapping))

    def _state(self, mapping: dict[str, Any]) -> str:
        return str(self._lambda.get_event_source_mapping(UUID=mapping["UUID"])["State"])

    def _enable(self, mapping: dict[str, Any]) -> None:
        # AWS refuses changes of an event source that is being disabled.
        for _ in range(_TRIES):
            if self._state(mapping) != "Disabling":
                break
            self._aws.wait()
        self._lambda.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    def _access_log(self) -> Iterator[Difference]:
        logs, group = self._aws.client("logs"), f"/aws/apigateway/{self._stage.application}"
        days = int(self._stage.parameters("data_stack").get("LogRetentionDays", "30"))
        groups = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        found = next((each for each in groups if each["logGroupName"] == group), None)
        if found is None:
            yield Difference(f"create log group {group}", lambda: logs.create_log_group(logGroupName=group))
        if found is None or found.get("retentionInDays") != days:
            yield Difference(
                f"keep the log group {group} for {days} days",
                lambda: logs.put_retention_policy(logGroupName=group, retentionInDays=days),
            )
        arn = f"arn:{self._partition}:logs:{self._stage.region}:{self._aws.number}:log-group:{group}"
        if found is None or not _has(logs.list_tags_for_resource(resourceArn=arn)["tags"], self._stage.tags):
            yield Difference(
                f"tag log group {group}", lambda: logs.tag_resource(resourceArn=arn, tags=self._stage.tags)
            )
        if not self._gateway.get_account().get("cloudwatchRoleArn"):
            yield Difference("let API Gateway write logs in this account and region", self._let_gateway_write)
        wanted = {"destinationArn": arn, "format": ACCESS_LOG_FORMAT}
        if (self._deployed_stage().get("accessLogSettings") or {}) != wanted:
            operations = [
                {"op": "replace", "path": f"/accessLogSettings/{key}", "value": value} for key, value in wanted.items()
            ]
            yield Difference(
                f"log accesses of the API in {group}",
                lambda: self._gateway.update_stage(
                    restApiId=self._found.api, stageName=self._stage.gateway_stage, patchOperations=operations
                ),
            )

    def _let_gateway_write(self) -> None:
        iam = self._aws.client("iam")
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "apigateway.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        }
        with absent("EntityAlreadyExists"):
            iam.create_role(RoleName=_WRITER, AssumeRolePolicyDocument=json.dumps(trust))
        statement = {"Effect": "Allow", "Action": list(_WRITERS_ACTIONS), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=_WRITER, PolicyName=_WRITER, PolicyDocument=policy)
        role = f"arn:{self._partition}:iam::{self._aws.number}:role/{_WRITER}"
        for attempt in range(_TRIES):
            try:
                operation = {"op": "replace", "path": "/cloudwatchRoleArn", "value": role}
                self._gateway.update_account(patchOperations=[operation])
            except ClientError as error:
                # A new role is not known everywhere at once.
                if code(error) not in {"BadRequestException", "TooManyRequestsException"} or attempt == _TRIES - 1:
                    raise
                self._aws.wait()
            else:
                return

    def _tags(self) -> Iterator[Difference]:
        stage = self._stage
        api = f"arn:{self._partition}:apigateway:{stage.region}::/restapis/{self._found.api}"
        api_tags = self._gateway.get_rest_api(restApiId=self._found.api).get("tags") or {}
        for arn, found in (
            (api, api_tags),
            (f"{api}/stages/{stage.gateway_stage}", self._deployed_stage().get("tags")),
        ):
            if not _has(found or {}, stage.tags):
                yield Difference(f"tag {arn}", partial(self._gateway.tag_resource, resourceArn=arn, tags=stage.tags))
        pairs = [{"Key": key, "Value": value} for key, value in stage.tags.items()]
        events, iam = self._aws.client("events"), self._aws.client("iam")
        for rule in self._found.rules:
            arn = f"arn:{self._partition}:events:{stage.region}:{self._aws.number}:rule/{rule}"
            if not _has(_of_pairs(events.list_tags_for_resource(ResourceARN=arn)["Tags"]), stage.tags):
                yield Difference(f"tag schedule {rule}", partial(events.tag_resource, ResourceARN=arn, Tags=pairs))
        for role in self._found.roles:
            if not _has(_of_pairs(iam.list_role_tags(RoleName=role)["Tags"]), stage.tags):
                yield Difference(f"tag role {role}", partial(iam.tag_role, RoleName=role, Tags=pairs))

    def _other_policies(self) -> Iterator[Difference]:
        """Compare the roles' policies with Chalice's one each, which has the role's name."""
        iam = self._aws.client("iam")
        for role in self._found.roles:
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                if name != role:
                    remove = partial(iam.delete_role_policy, RoleName=role, PolicyName=name)
                    yield Difference(f"remove the policy {name} of role {role}", remove)
            for each in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
                detach = partial(iam.detach_role_policy, RoleName=role, PolicyArn=each["PolicyArn"])
                yield Difference(f"detach the policy {each['PolicyArn']} from role {role}", detach)

    def _deployed_stage(self) -> dict[str, Any]:
        stage: dict[str, Any] = self._gateway.get_stage(restApiId=self._found.api, stageName=self._stage.gateway_stage)
        return stage

    @property
    def _partition(self) -> str:
        return str(self._aws.caller.split(":")[1]) if self._aws.caller.startswith("arn:") else "aws"

    def apply(self, differences: list[Difference]) -> None:
        """Mend the differences. Raises Refused when one remains."""
        for difference in differences:
            difference.mend()
        if left := [each.text for each in self.differences()]:
            raise Refused(f"AWS did not keep what was set: {'; '.join(left)}. Run the command again.")


def _has(found: dict[str, str], wanted: dict[str, str]) -> bool:
    return wanted.items() <= found.items()


def _of_pairs(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}
