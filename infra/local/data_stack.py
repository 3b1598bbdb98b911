"""Makes the tables and shared queues of ``infra/data-stack.yaml`` on an emulation of AWS.

Not through CloudFormation, so that SQS may be served by another emulation than DynamoDB. Only what the template
uses is understood; anything else is an error.
"""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it comes with moto, its types do not
from botocore.exceptions import ClientError

from chalicelib.config import Timing

TEMPLATE = Path(__file__).parents[1] / "data-stack.yaml"
_DYNAMODB_CALLS = {"PointInTimeRecoverySpecification", "TimeToLiveSpecification"}


def resources(prefix: str) -> dict[str, dict[str, Any]]:
    """The template's resources, by logical name, with ``Fn::Sub`` of the prefix carried out."""
    document = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    resolved: dict[str, dict[str, Any]] = _substitute(document["Resources"], prefix)
    return resolved


def _substitute(value: Any, prefix: str) -> Any:
    if isinstance(value, list):
        return [_substitute(item, prefix) for item in value]
    if isinstance(value, dict):
        if set(value) == {"Fn::Sub"}:
            return value["Fn::Sub"].replace("${Prefix}", prefix)
        return {key: _substitute(item, prefix) for key, item in value.items()}
    return value


def create(dynamodb: Any, sqs: Any, prefix: str, timing: Timing) -> None:
    """Makes what is missing. ``dynamodb``, ``sqs``: boto3 clients. Visibility time-outs are those of ``timing``."""
    visibility = {
        f"{prefix}-wakes": timing.wake_visibility,
        f"{prefix}-polls": timing.poll_visibility,
        f"{prefix}-downlinks.fifo": timing.wake_visibility,
    }
    for resource in resources(prefix).values():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::DynamoDB::Table":
            _create_table(dynamodb, properties)
        elif resource["Type"] == "AWS::SQS::Queue":
            _create_queue(sqs, properties, visibility[properties["QueueName"]])


def _create_table(dynamodb: Any, properties: dict[str, Any]) -> None:
    try:
        dynamodb.create_table(**{k: v for k, v in properties.items() if k not in _DYNAMODB_CALLS})
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise
        return
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
