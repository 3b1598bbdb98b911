"""Permissions that IAM requires for each SDK call, and a check whether a policy grants them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

_HERE = "eu-west-1:123456789012"
_SUFFIX = "-AbCdEf"
"""Secrets Manager appends six random characters to every secret's ARN."""
_TRANSACTION = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


@dataclass(frozen=True, order=True)
class Permission:
    action: str
    resource: str


def asked_for(service: str, operation: str, parameters: Mapping[str, Any]) -> Iterator[Permission]:
    """The permissions that an SDK call needs."""
    if service == "dynamodb":
        yield from _dynamodb(operation, parameters)
    elif service == "sqs":
        name = parameters.get("QueueName") or parameters["QueueUrl"].rsplit("/", 1)[1]
        # A batch call needs the permission of the single call.
        resource = f"arn:aws:sqs:{_HERE}:{name}"
        yield Permission(f"sqs:{operation.removesuffix('Batch')}", resource)
        if parameters.get("tags"):
            yield Permission("sqs:TagQueue", resource)
    elif service == "lambda":
        yield Permission(f"lambda:{operation}Function", f"arn:aws:lambda:{_HERE}:function:{parameters['FunctionName']}")
    elif service == "sns":
        yield Permission(f"sns:{operation}", parameters["TopicArn"])
    elif service == "secretsmanager":
        name = parameters.get("SecretId") or parameters.get("Name")
        resource = f"arn:aws:secretsmanager:{_HERE}:secret:{name}{_SUFFIX}" if name else "*"
        yield Permission(f"secretsmanager:{operation}", resource)
        if parameters.get("Tags"):
            yield Permission("secretsmanager:TagResource", resource)
    else:
        raise AssertionError(f"{service} is new. Add the permissions that IAM requires for it.")


def _dynamodb(operation: str, parameters: Mapping[str, Any]) -> Iterator[Permission]:
    def on(table: str, action: str) -> Permission:
        return Permission(f"dynamodb:{action}", f"arn:aws:dynamodb:{_HERE}:table/{table}")

    if operation == "TransactWriteItems":
        for item in parameters["TransactItems"]:
            [(kind, details)] = item.items()
            yield on(details["TableName"], _TRANSACTION[kind])
    elif operation.startswith("Batch"):
        for table in parameters["RequestItems"]:
            yield on(table, operation)
    elif "IndexName" in parameters:
        yield on(f"{parameters['TableName']}/index/{parameters['IndexName']}", operation)
    else:
        yield on(parameters["TableName"], operation)


class Recorder:
    """Records the permissions that the calls of some clients needed."""

    def __init__(self) -> None:
        self.permissions: set[Permission] = set()
        self.operations: set[str] = set()

    def listen(self, client: Any) -> None:
        client.meta.events.register("before-parameter-build.*.*", self._record)

    def _record(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        self.operations.add(model.name)
        self.permissions.update(asked_for(model.service_model.service_name, model.name, params))


@dataclass(frozen=True)
class Statement:
    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    def grants(self, permission: Permission) -> bool:
        resource = any(fnmatchcase(permission.resource, pattern) for pattern in self.resources)
        return permission.action in self.actions and resource


def statements(path: Path) -> list[Statement]:
    """The statements of a policy file. They may only allow, without conditions or wildcards in actions."""
    document = json.loads(path.read_text(encoding="utf-8"))
    found: list[Statement] = []
    for statement in document["Statement"]:
        assert set(statement) == {"Sid", "Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
        found.append(Statement(statement["Sid"], tuple(statement["Action"]), tuple(statement["Resource"])))
    assert not [action for statement in found for action in statement.actions if "*" in action]
    return found
