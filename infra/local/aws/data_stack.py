"""Creates the tables and shared queues of ``infra/deploy/templates/data-stack.yaml`` on an emulation of AWS.

It does not use CloudFormation, so that SQS and DynamoDB may be different emulations. All parameters except the prefix
have their defaults, which make all conditions of the template false. The stack does not need its other resources (key,
log groups, alarms).
"""

from functools import cache
from typing import Any

import yaml  # type: ignore[import-untyped]  # it comes with moto, its types do not
from botocore.exceptions import ClientError

from chalicelib.config import Timing
from infra.local.processes import ROOT

TEMPLATE = ROOT / "infra" / "deploy" / "templates" / "data-stack.yaml"
_TABLE = "AWS::DynamoDB::Table"
_QUEUE = "AWS::SQS::Queue"
_KINDS = {_TABLE, _QUEUE}
_DYNAMODB_CALLS = {"PointInTimeRecoverySpecification", "TimeToLiveSpecification"}


def resources(prefix: str) -> dict[str, dict[str, Any]]:
    """The template's tables and queues by logical name, with the prefix in their names."""
    return {
        name: _resolved(resource, prefix)
        for name, resource in _template()["Resources"].items()
        if resource["Type"] in _KINDS
    }


@cache
def _template() -> dict[str, Any]:
    # A hundred tests create the tables; reading the template would take a third of that time.
    document: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    return document


def _resolved(value: Any, prefix: str) -> Any:
    match value:
        case list():
            return [_resolved(item, prefix) for item in value]
        case {"Fn::Sub": str(text)}:
            return text.replace("${Prefix}", prefix)
        case {"Fn::If": [_, _, otherwise]}:
            return _resolved(otherwise, prefix)
        case dict():
            return {key: _resolved(item, prefix) for key, item in value.items() if not _is_no_value(item)}
        case _:
            return value


def _is_no_value(value: Any) -> bool:
    if isinstance(value, dict) and "Fn::If" in value:
        return _is_no_value(value["Fn::If"][2])
    return bool(value == {"Ref": "AWS::NoValue"})


def create(dynamodb: Any, sqs: Any, prefix: str, timing: Timing) -> None:
    """Creates missing tables and queues. ``dynamodb`` and ``sqs`` are boto3 clients, ``timing`` has the time-outs."""
    visibility = {
        f"{prefix}-wakes": timing.wake_visibility,
        f"{prefix}-wakes-slow": timing.wake_visibility,
        f"{prefix}-polls": timing.poll_visibility,
        f"{prefix}-downlinks.fifo": timing.wake_visibility,
    }
    for resource in resources(prefix).values():
        properties = resource["Properties"]
        if resource["Type"] == _TABLE:
            _create_table(dynamodb, properties)
        else:
            _create_queue(sqs, properties, visibility[properties["QueueName"]])


def _create_table(dynamodb: Any, properties: dict[str, Any]) -> None:
    try:
        created = dynamodb.create_table(**{k: v for k, v in properties.items() if k not in _DYNAMODB_CALLS})
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise
        return
    if created["TableDescription"]["TableStatus"] != "ACTIVE":
        dynamodb.get_waiter("table_exists").wait(TableName=properties["TableName"])
    if "TimeToLiveSpecification" in properties:
        dynamodb.update_time_to_live(
            TableName=properties["TableName"], TimeToLiveSpecification=properties["TimeToLiveSpecification"]
        )


def _create_queue(sqs: Any, properties: dict[str, Any], visibility: int) -> None:
    attributes = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in properties.items()}
    name = attributes.pop("QueueName")
    attributes["VisibilityTimeout"] = str(visibility)
    sqs.create_queue(QueueName=name, Attributes=attributes)
