"""Many connections of a tenant, written to the local stack's DynamoDB in their final state.

Creating 10,000 connections over the API takes many minutes, because each one also gets queues and is tried.
"""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3

from chalicelib.adapters.aws.connection_items import GENERATION, record_of
from chalicelib.adapters.aws.dynamodb import to_item
from chalicelib.domain.connection import Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.kernel.batches import batched
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import ConnectionState
from infra.local.stack_config import REGION

TABLE = "iot-flow-local-connections"
_BATCH = 25
_AT_ONCE = 4
_HOUR = 3600.0
_DAY = 86400.0


def healthy(tenant: str, numbers: Iterable[int], *, active: bool = True) -> Iterator[Connection]:
    """Yield connections ``Site 00000`` and so on that are open, or deactivated.

    They consume no downlinks, so that no poll connects for them.
    """
    now = time.time()
    for number in numbers:
        configuration = AmqpConfiguration.model_validate(
            {
                "hostName": f"amqp{number % 7}.example.com",
                "protocol": "SSL" if number % 3 else "TCP",
                "uplinkTopicPattern": "sites.{DevEUI}.up",
                "downlinkEnabled": False,
            }
        )
        yield Connection(
            tenant=tenant,
            id=new_id(now - _DAY + number * 0.01),
            name=f"Site {number:05}",
            active=active,
            configuration=configuration,
            created_at=iso_time(now - _DAY),
            updated_at=iso_time(now - _HOUR),
            state=ConnectionState.OPENED if active else ConnectionState.DEACTIVATED,
            startup_time=iso_time(now - _HOUR) if active else None,
        )


def write(stack: dict[str, Any], tenant: str, connections: Iterable[Connection]) -> int:
    """Write records, add their number to the tenant's item and return it. ``stack`` is the content of stack.json."""
    client = boto3.client(
        "dynamodb", endpoint_url=stack["awsEndpointUrl"], region_name=REGION,
        aws_access_key_id="test", aws_secret_access_key="test",  # noqa: S106  # the emulation accepts any
    )  # fmt: skip
    changed_at = time.time() - _HOUR

    def put(part: list[Connection]) -> int:
        items = [to_item(record_of(each) | {"changedAt": changed_at}) for each in part]
        client.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": item}} for item in items]})
        return len(items)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        number = sum(pool.map(put, list(batched(connections, _BATCH))))
    client.update_item(
        TableName=TABLE,
        Key=to_item({"tenant": tenant, "id": GENERATION}),
        UpdateExpression="ADD generation :one, connections :number",
        ExpressionAttributeValues=to_item({":one": 1, ":number": number}),
    )
    return number
