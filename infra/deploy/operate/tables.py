"""Reads of whole tables, which the functions of the product never do."""

from collections.abc import Iterator, Mapping
from typing import Any

from chalicelib.adapters.aws.clients import translated
from chalicelib.adapters.aws.connection_items import connection_of
from chalicelib.adapters.aws.dynamodb import from_item
from chalicelib.domain.connection import Connection
from chalicelib.kernel.ids import is_id
from infra.deploy.operate.errors import OperateFailed
from infra.deploy.operate.stage import Stage

PENDING = "#pending#"


def scan(stage: Stage, kind: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield the items of one of the stage's tables as the SDK writes them. Raises OperateFailed when it is missing."""
    return scan_table(stage, stage.settings.table(kind), **arguments)


def scan_table(stage: Stage, table: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield the items of a table as the SDK writes them. Raises OperateFailed when it is missing."""
    client = stage.services.dynamodb
    parameters: dict[str, Any] = {"TableName": table, "ConsistentRead": True, **arguments}
    while True:
        with translated("DynamoDB"):
            try:
                answer = client.scan(**parameters)
            except client.exceptions.ResourceNotFoundException as error:
                raise OperateFailed(
                    f"The table {table} does not exist in {client.meta.region_name}. "
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
    items = scan_table(stage, table, ProjectionExpression="#tenant, id", ExpressionAttributeNames={"#tenant": "tenant"})
    names = ((item["tenant"]["S"], item["id"]["S"].removeprefix(PENDING)) for item in items)
    return {(tenant, name) for tenant, name in names if is_id(name)}
