"""Reads of whole tables, which the functions of the product never do."""

from collections.abc import Iterator, Mapping
from typing import Any

from chalicelib.adapters.aws.clients import error_code, translated
from chalicelib.adapters.aws.connection_items import connection_of
from chalicelib.adapters.aws.dynamodb import from_item
from chalicelib.domain.connection import Connection
from chalicelib.kernel.ids import is_id
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.stage import Stage

PENDING = "#pending#"


def scan(stage: Stage, kind: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield the items of a table as the SDK writes them. Raises OperateFailed when the table is missing."""
    client = stage.services.dynamodb
    parameters: dict[str, Any] = {"TableName": stage.settings.table(kind), "ConsistentRead": True, **arguments}
    while True:
        with translated("DynamoDB"):
            try:
                answer = client.scan(**parameters)
            except client.exceptions.ResourceNotFoundException as error:
                raise OperateFailed(
                    f"The table {parameters['TableName']} does not exist in {client.meta.region_name}. "
                    "Check the region, or deploy the data stack."
                ) from error
        yield from answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def connections(stage: Stage, tenant: str | None = None) -> Iterator[Connection]:
    """Yield the connections of all tenants or of one, also inactive ones and those with a fault."""
    if tenant is not None:
        yield from stage.services.connection_store.newest_first(tenant)
        return
    yield from (connection_of(from_item(item)) for item in scan(stage, "connections") if is_connection(item))


def is_connection(item: Mapping[str, Any]) -> bool:
    """Return whether an item of the table of connections is a connection."""
    return is_id(item["id"]["S"])


def owners(stage: Stage, table: str) -> set[tuple[str, str]]:
    """Return (tenant, connection id) of every connection in a table, also of unfinished creates and deletes."""
    client = stage.services.dynamodb
    found: set[tuple[str, str]] = set()
    parameters: dict[str, Any] = {
        "TableName": table,
        "ConsistentRead": True,
        "ProjectionExpression": "#tenant, id",
        "ExpressionAttributeNames": {"#tenant": "tenant"},
    }
    while True:
        with translated("DynamoDB"):
            answer = client.scan(**parameters)
        for item in answer["Items"]:
            name = item["id"]["S"].removeprefix(PENDING)
            if is_id(name):
                found.add((item["tenant"]["S"], name))
        if "LastEvaluatedKey" not in answer:
            return found
        parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def table_exists(stage: Stage, table: str) -> bool:
    """Return whether a table exists."""
    client = stage.services.dynamodb
    with translated("DynamoDB"):
        try:
            client.describe_table(TableName=table)
        except client.exceptions.ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return False
            raise
    return True
