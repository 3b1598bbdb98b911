"""The local stack's DynamoDB under many threads, over HTTP with boto3."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.local.aws.server import Server

WRITES = 60
FILLING = 400
Item = dict[str, Any]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    running = Server(0)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.port}"
    running.shutdown()
    thread.join()


@pytest.fixture
def table(endpoint: str, request: pytest.FixtureRequest) -> Any:
    """A boto3 table with a hash and a range key that already holds items."""
    dynamodb = boto3.resource(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    made = dynamodb.create_table(
        TableName=request.node.name[:80],
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}, {"AttributeName": "b", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("a", "b")],
        BillingMode="PAY_PER_REQUEST",
    )
    with made.batch_writer() as batch:
        for number in range(FILLING):
            batch.put_item(Item={"a": "filling", "b": str(number)})
    return made


def put(table: Any, b: str, **changes: Any) -> Item:
    return {"Put": {"TableName": table.name, "Item": {"a": "x", "b": b}, **changes}}


def transact(table: Any, *items: Item) -> None:
    table.meta.client.transact_write_items(TransactItems=list(items))


def found(table: Any) -> set[str]:
    return {item["b"] for item in table.scan(ConsistentRead=True)["Items"] if item["a"] == "x"}


def test_failed_transaction_does_not_undo_concurrent_writes(table: Any) -> None:
    failing = put(table, "never", ConditionExpression="attribute_exists(b)")
    errors: list[str] = []
    done = threading.Event()

    def fail() -> None:
        while not done.is_set():
            try:
                transact(table, failing)
            except ClientError as error:
                errors.append(error.response["Error"]["Code"])

    thread = threading.Thread(target=fail)
    thread.start()
    for number in range(WRITES):
        table.put_item(Item={"a": "x", "b": f"kept {number}"})
    done.set()
    thread.join()
    assert found(table) == {f"kept {number}" for number in range(WRITES)}
    assert set(errors) == {"TransactionCanceledException"}


def test_transaction_writes_all_or_nothing_and_names_failed_conditions(table: Any) -> None:
    transact(table, put(table, "1"))
    exists = {"ConditionExpression": "attribute_not_exists(b)"}
    with pytest.raises(ClientError) as raised:
        transact(table, put(table, "2", **exists), put(table, "1", **exists), put(table, "3"))
    reasons = raised.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed", "None"]
    assert found(table) == {"1"}
    key = {"TableName": table.name, "Key": {"a": "x", "b": "1"}}
    transact(
        table,
        put(table, "2", **exists),
        {"Delete": {**key, "ConditionExpression": "attribute_exists(b)"}},
        {
            "Update": {
                "TableName": table.name,
                "Key": {"a": "x", "b": "4"},
                "UpdateExpression": "ADD #n :one",
                "ExpressionAttributeNames": {"#n": "number"},
                "ExpressionAttributeValues": {":one": 1},
            }
        },
        {"ConditionCheck": {**key, "Key": {"a": "x", "b": "5"}, "ConditionExpression": "attribute_not_exists(b)"}},
    )
    assert found(table) == {"2", "4"}
    assert table.get_item(Key={"a": "x", "b": "4"})["Item"]["number"] == 1


def test_transaction_with_a_duplicate_item_is_refused(table: Any) -> None:
    with pytest.raises(ClientError, match="multiple operations on one item"):
        transact(table, put(table, "1"), put(table, "1"))
    with suppress(ClientError):
        transact(table, put(table, "2"), put(table, "1", ConditionExpression="attribute_exists(b)"))
    assert found(table) == set()


def test_one_of_several_conditional_writers_wins(table: Any) -> None:
    def take(name: str) -> bool:
        try:
            table.put_item(Item={"a": "x", "b": name}, ConditionExpression="attribute_not_exists(b)")
        except ClientError:
            return False
        return True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # makes thread switches more frequent
    try:
        with ThreadPoolExecutor(8) as threads:
            for number in range(20):
                assert sum(threads.map(take, [str(number)] * 8)) == 1
    finally:
        sys.setswitchinterval(interval)


def test_queries_give_what_moto_gives(table: Any) -> None:
    """The mended query has the order, the limits and the pages of moto's own."""
    # Given
    client = table.meta.client
    client.update_table(
        TableName=table.name,
        AttributeDefinitions=[
            {"AttributeName": "a", "AttributeType": "S"},
            {"AttributeName": "n", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexUpdates=[
            {
                "Create": {
                    "IndexName": "numbers",
                    "KeySchema": [
                        {"AttributeName": "a", "KeyType": "HASH"},
                        {"AttributeName": "n", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["kept"]},
                }
            }
        ],
    )
    for number in range(30):
        item = {"a": "x", "b": f"{number:02}", "kept": f"k{number}", "gone": "g"}
        table.put_item(Item=item | ({"n": number % 10} if number % 3 else {}))

    def everything(**parameters: Any) -> list[str]:
        found: list[str] = []
        while True:
            answer = table.query(ExpressionAttributeValues={":a": "x"} | parameters.pop("values", {}), **parameters)
            found += [each["b"] for each in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return found
            parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            parameters["values"] = values

    # Then
    values: dict[str, Any] = {}
    assert everything(KeyConditionExpression="a = :a", Limit=7) == [f"{n:02}" for n in range(30)]
    assert everything(KeyConditionExpression="a = :a", Limit=4, ScanIndexForward=False)[:2] == ["29", "28"]
    values = {":low": "05", ":high": "07"}
    between = everything(KeyConditionExpression="a = :a AND b BETWEEN :low AND :high", values=values, Limit=2)
    assert between == ["05", "06", "07"]
    values = {":n": 9}
    ninth = [f"{n:02}" for n in range(30) if n % 3 and n % 10 == 9]
    condition = "a = :a AND n >= :n"
    assert everything(IndexName="numbers", KeyConditionExpression=condition, values=values, Limit=1) == ninth
    answer = table.query(
        IndexName="numbers", KeyConditionExpression=condition, ExpressionAttributeValues={":a": "x", ":n": 9}
    )
    assert set(answer["Items"][0]) == {"a", "b", "n", "kept"}
    part = table.query(
        KeyConditionExpression="a = :a", ExpressionAttributeValues={":a": "x"}, ProjectionExpression="gone"
    )
    assert part["Items"][0] == {"gone": "g"}
    odd = table.query(
        KeyConditionExpression="a = :a",
        FilterExpression="kept = :k",
        ExpressionAttributeValues={":a": "x", ":k": "k4"},
    )
    assert ([each["b"] for each in odd["Items"]], odd["ScannedCount"]) == (["04"], 30)


def test_query_returns_attributes_of_every_type(table: Any) -> None:
    item = {
        "a": "x",
        "b": "types",
        "number": 7,
        "yes": True,
        "none": None,
        "texts": {"p", "q"},
        "numbers": {1, 2},
        "bytes": b"\x00\xff",
        "map": {"inner": [1, {"deep": "text", "bytes": b"\x01"}]},
    }
    table.put_item(Item=item)
    [found] = table.query(KeyConditionExpression="a = :a", ExpressionAttributeValues={":a": "x"})["Items"]
    assert found == item


def test_pages_of_an_index_end_by_the_size_of_what_it_has(table: Any) -> None:
    table.meta.client.update_table(
        TableName=table.name,
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("a", "b")],
        GlobalSecondaryIndexUpdates=[
            {
                "Create": {
                    "IndexName": "keys",
                    "KeySchema": [
                        {"AttributeName": "a", "KeyType": "HASH"},
                        {"AttributeName": "b", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            }
        ],
    )
    for number in range(4):
        table.put_item(Item={"a": "x", "b": str(number), "large": "l" * 300_000})
    wanted: Any = {"KeyConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": "x"}}
    of_table, of_index = table.query(**wanted), table.query(IndexName="keys", **wanted)
    assert (of_table["Count"], "LastEvaluatedKey" in of_table) == (3, True)
    assert (of_index["Count"], "LastEvaluatedKey" in of_index) == (4, False)
