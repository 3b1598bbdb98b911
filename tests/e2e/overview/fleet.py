"""Fleets of connections: most are written to DynamoDB in their final state, broken ones are created over the API."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
from tests.e2e.client import Stack, eventually

TABLE = "iot-flow-local-connections"
_BATCH = 25
_AT_ONCE = 4
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "Login refused": ("AUTHENTICATION_FAILED", {"password": "wrong"}),
    "Connection refused": ("UNREACHABLE", {"hostName": "localhost:9"}),
    "Host not found": ("UNREACHABLE", {"hostName": "broker.invalid"}),
    "Virtual host refused": ("CLOSED", {"virtualHost": "missing"}),
}
"""Four ways to break a connection: the name on the page, the state, and the settings."""


def healthy(tenant: str, number: int, *, active: bool = True) -> Iterator[Connection]:
    """Yield connections that are open, or deactivated. They consume no downlinks, so that no poll connects for them."""
    now = time.time()
    for index in range(number):
        configuration = AmqpConfiguration.model_validate(
            {
                "hostName": f"amqp{index % 7}.example.com",
                "protocol": "SSL" if index % 3 else "TCP",
                "uplinkTopicPattern": "sites.{DevEUI}.up",
                "downlinkEnabled": False,
            }
        )
        yield Connection(
            tenant=tenant,
            id=new_id(now - 86400 + index * 0.01),
            name=f"Site {index:05}",
            active=active,
            configuration=configuration,
            created_at=iso_time(now - 86400),
            updated_at=iso_time(now - 3600),
            state=ConnectionState.OPENED if active else ConnectionState.DEACTIVATED,
            startup_time=iso_time(now - 3600),
        )


def write(stack: Stack, tenant: str, connections: Iterator[Connection]) -> int:
    """Write records and add their number to the tenant's item."""
    client = boto3.client(
        "dynamodb", endpoint_url=stack.info["awsEndpointUrl"], region_name=REGION,
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    changed_at = time.time()

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


def break_some(stack: Stack, of_each: int) -> list[str]:
    """Create connections that break in each way, wait for their states and return their ids."""
    made = [
        (stack.connect(f"Broken {name} {number}", stack.configuration(downlinkEnabled=False, **changes))["id"], state)
        for name, (state, changes) in WAYS.items()
        for number in range(of_each)
    ]
    for connection_id, state in made:
        eventually(partial(_has, stack, connection_id, state), f"a connection is {state}")
    return [connection_id for connection_id, _ in made]


def _has(stack: Stack, connection_id: str, state: str) -> bool:
    return stack.state(connection_id) == state
