"""Runs of the operator's commands, and what they find."""

import json
from typing import Any

import pytest

from chalicelib.domain import breaker
from chalicelib.domain.connection import Connection
from chalicelib.entry.services import Services
from chalicelib.errors import BrokerUnreachable
from chalicelib.vocabulary import EventType
from infra.deploy.operate.command_line import run
from tests.functional.connection_cases import TCP
from tests.functional.doubles import CodecFunction

STAGE = "test"
DEVICE = "70B3D5E75E000001"


class Operator:
    """Runs commands on the stage ``test`` and keeps what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str, code: int = 0) -> "Operator":
        """Run a command, which must end with ``code``."""
        self._capsys.readouterr()
        ended = run([STAGE, *arguments])
        self.out, self.err = self._capsys.readouterr()
        assert ended == code, self.out + self.err
        return self

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with ``--json`` and return what it printed."""
        return json.loads(self(*arguments, "--json", code=code).out)


class StageCodec:
    """A client of Lambda with the stage's function for drivers. Records the names that are called."""

    def __init__(self, functions: CodecFunction) -> None:
        self._functions = functions
        self.names: list[str] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803  # boto3's names
        self.names.append(FunctionName)
        return self._functions.invoke(FunctionName="codec", Payload=Payload)


def connect(services: Services, tenant: str = "demo", **fields: Any) -> Connection:
    configuration = TCP["configuration"] | fields.pop("configuration", {})
    return services.connections.create(tenant, TCP | fields | {"configuration": configuration})


def store_report(services: Services, connection: Connection, number: int = 1, device: str = DEVICE) -> str:
    """Queue a report for a connection, without a wake, and return its body."""
    body = json.dumps({"DevEUI_uplink": {"DevEUI": device, "FPort": 1, "FCntUp": number, "payload_hex": "00"}})
    services.uplink_queues.send(
        connection.id, body=body, group=device, message_id=f"m-{device}-{number}", deduplication_id=f"{device}-{number}"
    )
    return body


def break_down(services: Services, connection: Connection, reason: str = "connection refused") -> None:
    """Open a connection's breaker."""
    stored = services.connection_store.get(connection.tenant, connection.id)
    fault = BrokerUnreachable(EventType.CONNECTION_REFUSED, reason)
    assert services.connection_store.update_breaker(breaker.failed(stored, fault, services.clock(), 0, 1), stored.epoch)


def messages(services: Services, queue: str) -> list[Any]:
    """Receive, delete and return the messages of a shared queue."""
    url = services.sqs.get_queue_url(QueueName=services.settings.queue(queue))["QueueUrl"]
    found: list[Any] = []
    while received := services.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in received:
            found.append(json.loads(message["Body"]))
            services.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found
