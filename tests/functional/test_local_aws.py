"""The emulation of AWS decides a conditional write once, as DynamoDB does."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.local.aws import server

WRITERS = 8
ROUNDS = 20


@pytest.fixture
def endpoint() -> Iterator[str]:
    running = server(0)
    thread = threading.Thread(target=running.serve_forever)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads meet where they can
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    sys.setswitchinterval(interval)
    thread.join()
    running.server_close()


def test_of_several_who_write_on_the_same_condition_one_wins(endpoint: str) -> None:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1")
    client = session.client("dynamodb", endpoint_url=endpoint)
    client.create_table(
        TableName="leases",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )

    def take(name: str) -> bool:
        try:
            client.put_item(
                TableName="leases", Item={"id": {"S": name}}, ConditionExpression="attribute_not_exists(id)"
            )
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as threads:
        for number in range(ROUNDS):
            assert sum(threads.map(take, [str(number)] * WRITERS)) == 1
