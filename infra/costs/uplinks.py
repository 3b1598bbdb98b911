"""The path of reports through the real handlers, on an emulation of AWS, with its AWS calls counted."""

import io
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from app import app
from chalicelib.config import Settings
from chalicelib.domain.breaker import recovered
from chalicelib.domain.connection import Connection
from chalicelib.entry import services as wiring
from chalicelib.entry.services import Services
from chalicelib.monitoring import configure_logging
from chalicelib.ports.publishing import PublisherFactory
from chalicelib.uplinks.publisher_pool import PublisherPool
from chalicelib.uplinks.socket_slots import SocketSlots
from infra.costs.meter import Meter
from infra.costs.prices import Unit
from infra.local.aws import data_stack
from infra.local.network_server.lrc import Lrc

TENANT = "demo"
AS_ID, AS_KEY = "costs", "key of the application server"
PLATFORM_LINES = (
    "START RequestId: 00000000-0000-4000-8000-000000000000 Version: $LATEST\n"
    "END RequestId: 00000000-0000-4000-8000-000000000000\n"
    "REPORT RequestId: 00000000-0000-4000-8000-000000000000\tDuration: 51.23 ms\tBilled Duration: 52 ms\t"
    "Memory Size: 1024 MB\tMax Memory Used: 128 MB\t\n"
)
"""The lines that Lambda writes about each invocation."""
LINE_OVERHEAD = 26
"""Bytes that CloudWatch Logs bills for each line beside its text."""


@dataclass(frozen=True)
class Usage:
    """AWS calls, billed units and CPU seconds of some invocations."""

    calls: Counter[str]
    units: dict[Unit, float]
    cpu: float


class Context:
    """The context argument that Lambda passes to a handler."""

    aws_request_id = "00000000-0000-4000-8000-000000000000"
    function_name = "costs"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 30_000


class UplinkPath:
    """A stage with one connection, whose reports pass through the handlers of the API and of the fast lane.

    Each function has its clients and stays warm. ``publishers`` opens the connections to the broker.
    """

    def __init__(self, settings: Settings, configuration: dict[str, Any], publishers: PublisherFactory) -> None:
        self._settings = settings
        self._plain = Services(settings)
        data_stack.create(self._plain.dynamodb, self._plain.sqs, settings.resource_prefix, settings.timing)
        self._meter = Meter(self._plain.dynamodb, settings.resource_prefix)
        self._later = 0.0
        self._api, self._forwarder = Services(settings, self._now), Services(settings)
        # The price of a million reports is that of a busy process.
        self._forwarder.statistics.tenant_totals.spend_credit()
        self._forwarder.publisher_pool = PublisherPool(
            publishers, self._forwarder.secret_store, SocketSlots(self._forwarder.slots, settings.timing.slot)
        )
        for function in (self._api, self._forwarder):
            self._meter.listen(function.dynamodb, function.sqs, function.secretsmanager)
        self._lrc = Lrc("", AS_ID, AS_KEY)
        self._plain.application_server_store.put(TENANT, AS_ID, AS_KEY)
        self.connection = self._connect(configuration)
        self._receive()  # the probe of the new connection
        self._number = 0
        for _ in range(2):
            self.accept(1)
            self.drain(1)
        self._meter.take()

    def _connect(self, configuration: dict[str, Any]) -> Connection:
        """Create a connection as it is after its first drains: open, and proved to be fast."""
        document = {"connectorId": "actility-amqp-0.9.1-iot", "name": "costs", "configuration": configuration}
        made = self._plain.connections.create(TENANT, document)
        store, now = self._plain.connection_store, time.time()
        opened = recovered(made, now, "token", now).model_copy(update={"wake_at": None, "wake_token": None})
        if not store.update_breaker(opened, made.epoch):
            raise RuntimeError("The state of the connection was not written.")
        store.mark_fast(store.get(TENANT, made.id), now)
        return store.get(TENANT, made.id)

    def _now(self) -> float:
        return time.time() + self._later

    def accept(self, reports: int) -> Usage:
        """Post reports of distinct devices, signed by the network server, a minute after the ones before."""
        self._later += 60
        events = [self._request() for _ in range(reports)]

        def post() -> None:
            for event in events:
                answer = app(event, Context())
                if answer["statusCode"] != HTTPStatus.OK:
                    raise RuntimeError(f"A report was answered with {answer['statusCode']}: {answer['body']}")

        return self._measured(self._api, post, reports)

    def drain(self, reports: int) -> Usage:
        """Drain the queue with one batch of wakes, one for each report."""
        if not self._plain.connection_store.get(TENANT, self.connection.id).is_fast:
            # A confirm took a second, because the machine was busy. This path is about the fast lane.
            self._plain.connection_store.mark_fast(self.connection, time.time())
        records = self._receive()
        if len(records) != reports:
            raise RuntimeError(f"{len(records)} wakes came for {reports} reports.")
        usage = self._measured(self._forwarder, lambda: app.handler_map["forward"]({"Records": records}, Context()), 1)
        if self._plain.uplink_queues.depth(self.connection.id) != (0, 0):
            raise RuntimeError("Not all reports were settled.")
        # The event source mapping receives and deletes each batch at the account's expense.
        usage.calls.update({"sqs.ReceiveMessage": 1, "sqs.DeleteMessageBatch": 1})
        usage.units[Unit.SQS_STANDARD] += 2
        return usage

    def _measured(self, function: Services, run: Callable[[], object], invocations: int) -> Usage:
        wiring.use(function)
        lines = io.StringIO()
        with redirect_stdout(lines):
            configure_logging(self._settings.log_level)
            began = time.process_time()
            run()
            cpu = time.process_time() - began
        configure_logging(self._settings.log_level)
        text = lines.getvalue() + PLATFORM_LINES * invocations
        calls, units = self._meter.take()
        units[Unit.LOG_BYTE] += len(text.encode()) + LINE_OVERHEAD * text.count("\n")
        units[Unit.INVOCATION] += invocations
        return Usage(calls, units, cpu)

    def _request(self) -> dict[str, Any]:
        """Return API Gateway's event of a new report."""
        self._number += 1
        now = datetime.fromtimestamp(self._now(), UTC)
        report = report_of(self._number, now)
        query = {name: [value] for name, value in self._lrc.parameters(report, now)}
        return {
            "resource": "/uplinks",
            "path": "/uplinks",
            "httpMethod": "POST",
            "headers": {"content-type": "application/json"},
            "multiValueHeaders": {"content-type": ["application/json"]},
            "multiValueQueryStringParameters": query,
            "pathParameters": None,
            "stageVariables": None,
            "requestContext": {"resourcePath": "/uplinks", "httpMethod": "POST", "stage": "api", "identity": {}},
            "body": json.dumps(report),
            "isBase64Encoded": False,
        }

    def _receive(self) -> Sequence[dict[str, Any]]:
        """Receive and delete the messages in the queue of wakes, as the event source mapping does."""
        sqs, url = self._plain.sqs, self._plain.wake_queue.url
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"])
        messages = found.get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            for message in messages
        ]


def report_of(number: int, now: datetime) -> dict[str, Any]:
    """Return a report of 1.5 KB, as an uplink that three base stations received."""
    stations = [
        {"Lrrid": f"{station:08X}", "Chain": 0, "LrrRSSI": -80.5 - station, "LrrSNR": 7.25, "LrrESP": -81.2 - station}
        for station in range(3)
    ]
    return {
        "DevEUI_uplink": {
            "Time": now.isoformat(timespec="milliseconds"),
            "DevEUI": f"70B3D5E75E{number:06X}",
            "FPort": 2,
            "FCntUp": number,
            "ADRbit": 1,
            "MType": 4,
            "FCntDn": number,
            "payload_hex": "0a1b2c3d" * 12,
            "mic_hex": "38e7a3b9",
            "Lrcid": "00000065",
            "LrrRSSI": -60.0,
            "LrrSNR": 9.75,
            "SpFact": 7,
            "SubBand": "G1",
            "Channel": "LC2",
            "Lrrid": "00000065",
            "Late": 0,
            "LrrLAT": 48.874931,
            "LrrLON": 2.333673,
            "Lrrs": {"Lrr": stations},
            "DevLrrCnt": 3,
            "CustomerID": "100000507",
            "CustomerData": {"alr": {"pro": "ACME/LEVEL", "ver": "1"}, "name": "level", "tags": ["site=Paris", "tank"]},
            "ModelCfg": "1:LevelSensor",
            "DriverCfg": {
                "mod": {"pId": "acme", "mId": "level", "ver": "1"},
                "app": {"pId": "acme", "mId": "level", "ver": "1"},
                "id": "acme:level:1",
            },
            "InstantPER": 0.0,
            "MeanPER": 0.004,
            "DevAddr": "0405F519",
            "TxPower": 14.0,
            "NbTrans": 1,
            "Frequency": 868.3,
            "DynamicClass": "A",
        }
    }
