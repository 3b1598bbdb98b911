"""AWS with many active connections and nothing to do: canned answers after a delay, in a separate process.

``python -m infra.scale.canned PORT CONNECTIONS SECONDS``. It serves what the reconciler and the list of
connections call: queries of DynamoDB, with pages of a megabyte, and the depths of empty queues.
"""

import json
import sys
import time
from collections import Counter
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from chalicelib.adapters.aws.connection_items import SHARDS, record_of
from chalicelib.adapters.aws.dynamodb import to_item
from chalicelib.domain.connection import Connection
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration, BrokerProtocol
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import ConnectionState

_PAGE_BYTES = 1 << 20
_BEGAN = 1_700_000_000.0
_EMPTY = {"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible"}


@cache
def pages(connections: int) -> dict[str, list[list[dict[str, Any]]]]:
    """Return the items of each index partition in pages, as DynamoDB divides them."""
    found: dict[str, list[list[dict[str, Any]]]] = {str(shard): [[]] for shard in range(SHARDS)}
    sizes: Counter[str] = Counter()
    for number in range(connections):
        item = to_item(record_of(_connection(number)))
        shard, length = item["shard"]["S"], len(json.dumps(item))
        if sizes[shard] + length > _PAGE_BYTES:
            found[shard].append([])
            sizes[shard] = 0
        found[shard][-1].append(item)
        sizes[shard] += length
    return found


@cache
def newest_first(connections: int) -> list[dict[str, Any]]:
    """Return the items of all connections as the list of one tenant reads them."""
    items = [item for shard in pages(connections).values() for page in shard for item in page]
    return sorted(items, key=lambda item: str(item["id"]["S"]), reverse=True)


def _connection(number: int) -> Connection:
    now = iso_time(_BEGAN)
    return Connection(
        tenant=f"tenant{number % 200}",
        id=new_id(_BEGAN + number),
        name=f"Connection {number}",
        active=True,
        configuration=AmqpConfiguration(
            host_name="broker.example.com",
            protocol=BrokerProtocol.SSL,
            uplink_topic_pattern="amqp.things.{DevEUI}.uplink",
            downlink_topic_pattern="amqp.things.{DevEUI}.downlink",
            username="user",
            password="*****",  # noqa: S106  # as a record has it
            description="A connection of usual size, with a description",
        ),
        secret_version="00000000-0000-4000-8000-000000000000",  # noqa: S106  # a version, not a secret
        created_at=now,
        updated_at=now,
        startup_time=now,
        state=ConnectionState.OPENED,
        downlink_state=ConnectionState.OPENED,
        fast_since=_BEGAN,
    )


class Handler(BaseHTTPRequestHandler):
    """Answers each call after ``delay`` seconds."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    """An answer leaves in one piece. In two, the second waits 40 ms for the client's acknowledgement of the first."""
    connections: ClassVar[int] = 0
    delay: ClassVar[float] = 0.0

    def do_POST(self) -> None:
        parameters = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(self._answer(self.headers["X-Amz-Target"].split(".")[1], parameters)).encode()
        time.sleep(self.delay)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _answer(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "Query":
                return self._page(parameters)
            case "GetQueueUrl":
                return {"QueueUrl": f"http://{self.headers['Host']}/123456789012/{parameters['QueueName']}"}
            case "GetQueueAttributes":
                return {"Attributes": dict.fromkeys(_EMPTY, "0")}
            case "SendMessageBatch":
                return {"Successful": [{"Id": entry["Id"]} for entry in parameters["Entries"]], "Failed": []}
        raise NotImplementedError(operation)

    def _page(self, parameters: dict[str, Any]) -> dict[str, Any]:
        values = parameters["ExpressionAttributeValues"]
        if ":tenant" in values and "Limit" in parameters:
            return self._listed(parameters)
        shard = values.get(":shard", {}).get("S", "")
        if parameters.get("IndexName") != "active" or not shard.isdigit():
            return {"Items": [], "Count": 0}
        found = pages(self.connections)[shard]
        number = int(parameters.get("ExclusiveStartKey", {}).get("page", {}).get("N", "0"))
        following = {"LastEvaluatedKey": {"page": {"N": str(number + 1)}}} if number + 1 < len(found) else {}
        return {"Items": found[number], "Count": len(found[number]), **following}

    def _listed(self, parameters: dict[str, Any]) -> dict[str, Any]:
        found, limit = newest_first(self.connections), parameters["Limit"]
        first = int(parameters.get("ExclusiveStartKey", {}).get("first", {}).get("N", "0"))
        following = {"LastEvaluatedKey": {"first": {"N": str(first + limit)}}} if first + limit < len(found) else {}
        return {"Items": found[first : first + limit], "Count": limit, **following}

    def log_message(self, *_arguments: object) -> None:
        """Write no line for a request."""


def main() -> None:
    port, Handler.connections, Handler.delay = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    newest_first(Handler.connections)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
