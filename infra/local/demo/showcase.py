"""Fills a local stack with data for its web page: connections in every state, flows, uplinks, downlinks,
failed messages, events and alarms.

It uses the public API and the broker, except for the counters of the previous day: the API cannot set them, so the
connector's adapter writes them to DynamoDB.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pika
import urllib3
from pika.adapters.blocking_connection import BlockingChannel

from chalicelib.adapters.aws.statistics import DynamoDbStatistics
from infra.local.demo.api_client import ApiClient
from infra.local.demo.run import uplink
from infra.local.errors import StackFailed
from infra.local.network_server.lrc import Lrc
from infra.local.stack_config import REGION
from infra.local.waiting import wait_until

CONNECTOR = "actility-amqp-0.9.1-iot"
MAIN = "Paris · water meters"
"""The connection with data of every kind."""
METERS = "Water meters"
"""A flow with devices, a validity and a driver."""
DRIVER = "mycompany:level-sensor:1"
_CODE = """\
// Level and temperature in the byte order of the network, then the battery in percent.
function decodeUplink(input) {
  if (input.bytes.length < 4) return { errors: ["The payload is too short."] };
  const buffer = Buffer.from(input.bytes);
  const battery = buffer[3];
  return {
    data: { level: buffer.readUInt16BE(0), temperature: buffer.readInt8(2), battery },
    warnings: battery < 20 ? ["The battery is low."] : [],
  };
}

function encodeDownlink(input) {
  return { bytes: [1, input.data.interval], fPort: 10 };
}
"""
_DEVICES = [f"70B3D5E75E00{number:04X}" for number in range(1, 13)]
DEVICE = _DEVICES[0]
"""A device whose uplinks reach several connections."""
_UNBOUND = _DEVICES[-1]
"""No queue is bound for this device's uplinks, so the broker returns them and they fail."""
_UPLINKS_PER_DEVICE = 4
_PATIENCE = 60.0
_TENANT = "demo"
_STATISTICS = "iot-flow-local-statistics"
_ALARM = {
    "startTime": "07:00",
    "endTime": "19:00",
    "timezone": "Europe/Paris",
    "recurrence": [{"frequency": "weekly", "byDays": ["monday", "tuesday", "wednesday", "thursday", "friday"]}],
    "uplinkRateMinPerHour": 40,
    "message": "Fewer meters report than usual",
}


def fill(stack: dict[str, Any]) -> dict[str, str]:
    """Fills the stack that stack.json describes and returns the connections' ids by name. Raises StackFailed."""
    return _Showcase(stack).fill()


class _Showcase:
    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack
        self._api = ApiClient(stack["apiUrl"], stack["token"])
        self._ids: dict[str, str] = {}

    def fill(self) -> dict[str, str]:
        with self._broker() as channel:
            channel.queue_declare("showcase", durable=True, arguments={"x-max-length": 1000})
            for device in _DEVICES:
                if device != _UNBOUND:
                    channel.queue_bind("showcase", "amq.topic", f"paris.{device}.uplink")
            channel.queue_bind("showcase", "amq.topic", "lyon.#")
            self._create_connections()
            self._past(MAIN, busy=1.0)
            self._past("Lyon · cold chain", busy=0.4)
            self._send_uplinks()
            self._send_downlinks(channel)
            self._wait("failed messages", lambda: len(self._get(MAIN, "/messages?status=failed")) > _UPLINKS_PER_DEVICE)
        self._create_driver()
        self._create_flows()
        return self._ids

    def _create_connections(self) -> None:
        amqp, server = self._stack["amqp"], self._stack["applicationServer"]
        host = f"localhost:{amqp['port']}"
        self._create(
            MAIN, "paris", "OPENED", protocol="SSL", hostName=f"localhost:{amqp['tlsPort']}",
            description="Meters of the fifth and the sixth arrondissement.\nOn call: +33 1 99 00 27 27",
            certificate=Path(amqp["clientCertificateFile"]).read_text(encoding="ascii"),
            privateKey=Path(amqp["clientKeyFile"]).read_text(encoding="ascii"),
            trustedCaCertificate=Path(amqp["caFile"]).read_text(encoding="ascii"),
            downlinkAsId=server["asId"], downlinkAsKey=server["asKey"],
        )  # fmt: skip
        self._api.call("PATCH", f"/connections/{self._ids[MAIN]}", {"alarms": [_ALARM]})
        self._create("Lyon · cold chain", "lyon", "OPENED", hostName=host)
        self._create("Bordeaux · parking", "bordeaux", "AUTHENTICATION_FAILED", hostName=host, password="wrong")  # noqa: S106
        self._create("Lille · street lights", "lille", "UNREACHABLE", hostName="localhost:9")
        self._create("Nantes · test bench", "nantes", "DEACTIVATED", hostName="amqp.nantes.example.com", active=False)
        self._create(
            "District heating, substations 1 to 400 (north-east), being commissioned until the end of spring", "heat",
            "UNREACHABLE", hostName="broker-with-a-rather-long-name.eu-west-3.heating.example.com:5672",
        )  # fmt: skip

    def _create(self, name: str, topic: str, state: str, *, active: bool = True, **changes: str) -> None:
        amqp = self._stack["amqp"]
        configuration = {
            "protocol": "TCP",
            "username": amqp["username"],
            "password": amqp["password"],
            "exchangeName": "amq.topic",
            "uplinkTopicPattern": f"{topic}.{{DevEUI}}.uplink",
            "downlinkTopicPattern": f"{topic}.{{DevEUI}}.downlink",
            **changes,
        }
        document = {"connectorId": CONNECTOR, "name": name, "active": active, "configuration": configuration}
        self._ids[name] = self._api.call("POST", "/connections", document)["id"]
        self._wait(f"{name}, {state}", lambda: self._get(name)["state"] == state)

    def _create_driver(self) -> None:
        model = dict(zip(("producerId", "moduleId", "version"), DRIVER.split(":"), strict=True))
        self._api.call("POST", "/drivers", {"id": DRIVER, "name": "Level sensor", "code": _CODE, "models": [model]})

    def _create_flows(self) -> None:
        """Creates flows after the uplinks, so that these have reached every connection."""
        keys = [*(f"lora:{device.lower()}" for device in _DEVICES[:4]), "lora:70b3d5e75e01*"]
        self._create_flow(
            METERS, [{"type": "key", "keys": keys}], {MAIN: "72h"}, driver={"id": "actility:auto:1"},
            description="Fifth and sixth arrondissement",
        )  # fmt: skip
        temperature = [
            {"type": "thing", "tags": ["TemperatureService", "Paris:Office"]},
            {"type": "key", "key": "lora:0018b20000000b20"},
        ]
        targets: dict[str, str | None] = {MAIN: None, "Lyon · cold chain": "1d"}
        self._create_flow("Temperature of Paris and Lyon", temperature, targets, driver={"id": "actility:auto:1"})
        lights = [{"type": "thing", "tags": ["StreetLight"]}]
        self._create_flow("Street lights, being tested", lights, {"Lille · street lights": None}, active=False)

    def _create_flow(self, name: str, matchers: list[Any], connections: dict[str, str | None], **fields: Any) -> None:
        connectors: list[dict[str, str]] = []
        for connection, validity in connections.items():
            limits = {} if validity is None else {"uplinkTimeValidity": validity}
            connectors.append({"connectionId": self._ids[connection], **limits})
        self._api.call("POST", "/flows", {"name": name, "matchers": matchers, "connectors": connectors, **fields})

    def _past(self, name: str, busy: float) -> None:
        """Writes the counters of a day and its last hour, higher by day than by night."""
        client = boto3.client(
            "dynamodb", endpoint_url=self._stack["awsEndpointUrl"], region_name=REGION,
            aws_access_key_id="test", aws_secret_access_key="test",  # noqa: S106
        )  # fmt: skip
        moment = 0.0
        statistics = DynamoDbStatistics(client, _STATISTICS, lambda: moment)
        now = time.time()
        ages = [*range(60), *range(60, 24 * 60, 15)]
        for age in reversed(ages):
            moment = now - 60 * age
            wave = 1.5 - math.cos((age - 200) / 230) + 0.3 * math.sin(age / 8) + 0.1 * math.sin(age * 12.9)
            delivered = max(0, round(busy * 30 * wave)) * (1 if age < 60 else 15)  # noqa: PLR2004  # older points cover 15 minutes
            counts = {
                "uplinksDelivered": delivered,
                "downlinksDelivered": round(delivered / 6),
                "uplinksFailed": 2 if age % 31 == 0 else 0,
                "uplinksLost": 1 if age % 45 == 0 else 0,
                "downlinksFailed": 1 if age % 40 == 0 else 0,
            }
            statistics.add(_TENANT, self._ids[name], counts, _DEVICES if age % 30 == 0 else ())

    def _send_uplinks(self) -> None:
        server = self._stack["applicationServer"]
        lrc = Lrc(self._stack["apiUrl"], server["asId"], server["asKey"])
        reports = [
            uplink(device, number, index % 5)
            for number in range(1, _UPLINKS_PER_DEVICE + 1)
            for index, device in enumerate(_DEVICES)
        ]
        # It has no DevEUI, so that no pattern with {DevEUI} resolves.
        reports += [{"BS_alarm": {"ID": 102, "LrrID": "100001C2", "CustomerID": "100000042", "Severity": "major"}}]
        for report in reports:
            status = lrc.post(report)
            if status != 200:  # noqa: PLR2004  # the contract's answer
                raise StackFailed(f"The API answered {status} to an uplink.")

    def _send_downlinks(self, channel: BlockingChannel) -> None:
        """Publishes one valid downlink and one that the connector must reject with an event."""
        for payload in ({"payload_hex": "0102ff"}, {"payload": {"valve": "open"}}):
            body = {"DevEUI_downlink": {"DevEUI": _DEVICES[0], "FPort": 2, **payload}}
            channel.basic_publish("amq.topic", f"paris.{_DEVICES[0]}.downlink", json.dumps(body).encode())
        self._wait("the downlink", self._downlink_arrived)

    def _downlink_arrived(self) -> bool:
        url = self._stack["networkServer"]["downlinksUrl"]
        return bool(urllib3.request("GET", url, timeout=10, retries=False).json())

    def _get(self, name: str, path: str = "") -> Any:
        return self._api.call("GET", f"/connections/{self._ids[name]}{path}")

    def _wait(self, what: str, reached: Callable[[], bool]) -> None:
        if not wait_until(reached, _PATIENCE, step=0.2):
            raise StackFailed(f"The showcase waited {_PATIENCE:.0f} s in vain for {what}.")

    @contextmanager
    def _broker(self) -> Iterator[BlockingChannel]:
        amqp = self._stack["amqp"]
        credentials = pika.PlainCredentials(amqp["username"], amqp["password"])
        parameters = pika.ConnectionParameters(amqp["host"], amqp["port"], amqp["virtualHost"], credentials)
        with pika.BlockingConnection(parameters) as connection:
            yield connection.channel()
