"""Chalice's record of a stage's resources, rebuilt from AWS: nothing but names and AWS's own answers is believed.

Chalice writes ``.chalice/deployed/<stage>.json`` at the end of a deployment only. After one that was killed, or on
another machine, it would make a second REST API and fail at the first event source mapping that exists.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from infra.deploy.account import Account, absent
from infra.deploy.declared import QUEUES
from infra.deploy.stage import APP, Refused, Stage

_TRIES = 60


@dataclass(frozen=True)
class Found:
    """A stage's resources as AWS names them."""

    functions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Configurations by handler."""
    roles: dict[str, str] = field(default_factory=dict)
    """ARNs by name."""
    mappings: list[dict[str, Any]] = field(default_factory=list)
    """Event source mappings, with the member ``handler``."""
    rules: list[str] = field(default_factory=list)
    api: str = ""
    """The REST API's id, or an empty string."""

    @property
    def empty(self) -> bool:
        return not (self.functions or self.roles or self.mappings or self.rules or self.api)


def find(stage: Stage, aws: Account, recorded_api: str = "") -> Found:
    """Find the resources of a stage. ``recorded_api`` is the REST API's id in the stage's record."""
    functions = _functions(stage, aws)
    return Found(
        functions=functions,
        roles=_roles(stage, aws),
        mappings=_mappings(functions, aws),
        rules=_rules(stage, aws),
        api=_api(stage, aws, recorded_api),
    )


def _functions(stage: Stage, aws: Account) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for page in aws.client("lambda").get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            name = function["FunctionName"]
            if name == stage.application:
                found["api_handler"] = function
            elif name.startswith(f"{stage.application}-"):
                found[name.removeprefix(f"{stage.application}-")] = function
    return found


def _roles(stage: Stage, aws: Account) -> dict[str, str]:
    return {
        role["RoleName"]: role["Arn"]
        for page in aws.client("iam").get_paginator("list_roles").paginate()
        for role in page["Roles"]
        if role["RoleName"].startswith(f"{stage.application}-")
    }


def _mappings(functions: dict[str, dict[str, Any]], aws: Account) -> list[dict[str, Any]]:
    pages = aws.client("lambda").get_paginator("list_event_source_mappings")
    return [
        {**mapping, "handler": handler}
        for handler, function in functions.items()
        for page in pages.paginate(FunctionName=function["FunctionArn"])
        for mapping in page["EventSourceMappings"]
        # LocalStack also lists mappings of functions whose names contain this one. They would be removed as strange.
        if mapping["FunctionArn"] == function["FunctionArn"] and mapping["State"] != "Deleting"
    ]


def _rules(stage: Stage, aws: Account) -> list[str]:
    pages = aws.client("events").get_paginator("list_rules")
    return [rule["Name"] for page in pages.paginate(NamePrefix=f"{stage.application}-") for rule in page["Rules"]]


def _api(stage: Stage, aws: Account, recorded: str) -> str:
    apis = [api for page in aws.client("apigateway").get_paginator("get_rest_apis").paginate() for api in page["items"]]
    ids = [api["id"] for api in apis if api["name"] == stage.application]
    # Release 0.1.0 named the APIs of all stages alike.
    if recorded in ids or (not ids and recorded in {api["id"] for api in apis if api["name"] == APP}):
        return recorded
    if len(ids) > 1:
        raise Refused(
            f"There are {len(ids)} REST APIs named {stage.application} ({', '.join(sorted(ids))}): find out which one "
            "the network server calls, and delete the others with `aws apigateway delete-rest-api --rest-api-id ID`."
        )
    return ids[0] if ids else ""


def record(stage: Stage, found: Found) -> dict[str, Any]:
    """Return Chalice's record (``.chalice/deployed/<stage>.json``) of the resources that exist."""
    resources: list[dict[str, Any]] = []
    for handler, function in found.functions.items():
        role = f"{stage.application}-{handler}"
        if role in found.roles:
            names = {"name": f"{handler}_role", "resource_type": "iam_role"}
            resources.append({**names, "role_arn": found.roles[role], "role_name": role})
        resources.append({"name": handler, "resource_type": "lambda_function", "lambda_arn": function["FunctionArn"]})
    resources += [
        {
            "name": f"{mapping['handler']}-sqs-event-source",
            "resource_type": "sqs_event",
            "queue_arn": mapping["EventSourceArn"],
            "event_uuid": mapping["UUID"],
            "queue": mapping["EventSourceArn"].rsplit(":", 1)[1],
            "lambda_arn": found.functions[mapping["handler"]]["FunctionArn"],
        }
        for mapping in found.mappings
    ]
    for rule in found.rules:
        name = rule.removeprefix(f"{stage.application}-")
        resources.append({"name": name, "resource_type": "cloudwatch_event", "rule_name": rule})
    if found.api:
        url = f"https://{found.api}.execute-api.{stage.region}.amazonaws.com/{stage.gateway_stage}/"
        names = {"name": "rest_api", "resource_type": "rest_api"}
        resources.append({**names, "rest_api_id": found.api, "rest_api_url": url})
    return {"resources": resources, "schema_version": "2.0", "backend": "api"}


def strange_mappings(stage: Stage, found: Found) -> list[dict[str, Any]]:
    """Return the mappings of the stage's functions to queues that are not their own, and repeated ones."""
    strange: list[dict[str, Any]] = []
    seen: set[str] = set()
    for mapping in sorted(found.mappings, key=lambda each: each["UUID"]):
        handler = mapping["handler"]
        queue = f"{stage.prefix}-{QUEUES.get(handler, '')}"
        if mapping["EventSourceArn"].rsplit(":", 1)[1] != queue or handler in seen:
            strange.append(mapping)
        else:
            seen.add(handler)
    return strange


def remove_mappings(mappings: list[dict[str, Any]], aws: Account) -> None:
    """Delete event source mappings, and wait until they are gone."""
    functions = aws.client("lambda")
    for mapping in mappings:
        with absent("ResourceNotFoundException"):
            functions.delete_event_source_mapping(UUID=mapping["UUID"])
            for _ in range(_TRIES):
                functions.get_event_source_mapping(UUID=mapping["UUID"])
                aws.wait()


def settle(found: Found, aws: Account) -> None:
    """Wait until no function is being created or updated, as after a deployment that was killed."""
    functions = aws.client("lambda")
    for function in found.functions.values():
        until = time.monotonic() + _TRIES * aws.pause
        while True:
            state = functions.get_function_configuration(FunctionName=function["FunctionName"])
            if state.get("State") != "Pending" and state.get("LastUpdateStatus") != "InProgress":
                break
            if time.monotonic() > until:
                raise Refused(f"Function {function['FunctionName']} is still being changed. Run the command again.")
            aws.wait()
