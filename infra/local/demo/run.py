"""The demo of ``make run``: uplinks of several devices over a TCP and an SSL connection, a downlink for each, and a
flow that takes two of the devices and decodes them."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pika
import urllib3
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, UnroutableError

from infra.local.demo.api_client import ApiClient
from infra.local.demo.examples import connection_request
from infra.local.demo.flow import DemoFlow
from infra.local.errors import StackFailed
from infra.local.network_server.lrc import Lrc, timestamp

_DEVICES = ["20635F0161000022", "0018B20000000B20", "A81758FFFE04F27E", "402C765000000074", "70B3D5E75E003D2B"]
_IN_FLOW = 2
"""The number of devices, the first ones, that the flow takes."""
_UPLINKS_PER_DEVICE = 5
_PATIENCE = 60.0
_LOOK = 0.2
_KEPT = 1000
_CUSTOMER = "100000042"


@dataclass
class _Line:
    """One connection and its counters."""

    name: str
    exchange: str
    topic: str
    connection_id: str = ""
    queue: str = ""
    received: set[str] = field(default_factory=set)
    reports: int = 0
    confirmed: int = 0
    downlinks: int = 0


def run_demo(stack: dict[str, Any]) -> None:
    """Runs the demo on the stack that stack.json describes. Raises StackFailed that names the missing messages."""
    try:
        _Demo(stack).run()
    except (AMQPError, urllib3.exceptions.HTTPError) as error:
        raise StackFailed(f"The demo failed: {type(error).__name__}: {error}") from error


class _Demo:
    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack
        self._api = ApiClient(stack["apiUrl"], stack["token"])
        self._lines = [
            _Line("Demo over TCP", "amq.topic", "demo.tcp.things"),
            _Line("Demo over SSL", "IotFlowExchange", "demo.ssl.things"),
        ]
        self._flow = DemoFlow(stack, self._api, _DEVICES[:_IN_FLOW])

    def run(self) -> None:
        amqp = self._stack["amqp"]
        credentials = pika.PlainCredentials(amqp["username"], amqp["password"])
        parameters = pika.ConnectionParameters(amqp["host"], amqp["port"], amqp["virtualHost"], credentials)
        with pika.BlockingConnection(parameters) as broker:
            channel = broker.channel()
            channel.confirm_delivery()
            channel.exchange_declare("IotFlowExchange", "topic", durable=True)
            for line in self._lines:
                self._listen(channel, line)
                self._create(line)
            self._flow.create(channel)
            ids = [*(line.connection_id for line in self._lines), self._flow.connection_id]
            self._wait(channel, "the connections to be opened", lambda: all(map(self._is_open, ids)))
            sent = self._send_uplinks()
            everything = len(_DEVICES) * _UPLINKS_PER_DEVICE
            self._wait(channel, "the uplinks", lambda: all(len(line.received) >= sent for line in self._lines))
            taken = _IN_FLOW * _UPLINKS_PER_DEVICE
            self._wait(channel, "the decoded uplinks", lambda: len(self._flow.payloads) >= taken)
            self._wait(channel, "the statistics", lambda: all(self._confirmed(line) >= sent for line in self._lines))
            self._send_downlinks(channel)
            self._wait(channel, "the downlinks", self._all_downlinks)
            # Each connection gets the reports of both downlinks.
            expected = len(self._lines)
            self._wait(channel, "the reports of sent downlinks", lambda: self._reports() >= expected)
        self._show(everything)
        self._flow.show(everything)
        self._judge(everything)
        self._flow.judge()

    def _listen(self, channel: BlockingChannel, line: _Line) -> None:
        """Starts a consumer like the customer's. Its queue stays, visible on RabbitMQ's management page."""
        line.queue = f"{line.topic}.uplinks"
        channel.queue_declare(line.queue, durable=True, arguments={"x-max-length": _KEPT})
        channel.queue_bind(line.queue, line.exchange, f"{line.topic}.*.uplink")

        def on_message(_channel: Any, _method: Any, properties: pika.BasicProperties, _body: bytes) -> None:
            if properties.type == "DevEUI_uplink":
                line.received.add(str(properties.message_id))
            else:
                line.reports += 1

        channel.basic_consume(line.queue, on_message, auto_ack=True)

    def _create(self, line: _Line) -> None:
        document = connection_request(
            self._stack, name=line.name, exchange=line.exchange, topic=line.topic, ssl=line.name.endswith("SSL")
        )
        line.connection_id = self._api.call("POST", "/connections", document)["id"]
        _say(f"Created connection {line.connection_id}, {line.name}, exchange {line.exchange}")

    def _is_open(self, connection_id: str) -> bool:
        return bool(self._api.call("GET", f"/connections/{connection_id}")["state"] == "OPENED")

    def _confirmed(self, line: _Line) -> int:
        statistics = self._api.call("GET", f"/connections/{line.connection_id}/statistics?period=1h")
        line.confirmed = int(statistics["uplinks"]["delivered"])
        return line.confirmed

    def _send_uplinks(self) -> int:
        """Posts the uplinks of all devices in turn and returns their number."""
        server = self._stack["applicationServer"]
        lrc = Lrc(self._stack["apiUrl"], server["asId"], server["asKey"])
        sent = 0
        for number in range(_UPLINKS_PER_DEVICE):
            for index, device in enumerate(_DEVICES):
                status = lrc.post(uplink(device, number + 1, index))
                if status != 200:  # noqa: PLR2004  # the contract's answer
                    raise StackFailed(f"The API answered {status} to uplink {number + 1} of {device}.")
                sent += 1
        _say(f"Posted {sent} uplinks of {len(_DEVICES)} devices")
        return sent

    def _send_downlinks(self, channel: BlockingChannel) -> None:
        for line, device in zip(self._lines, _DEVICES, strict=False):
            downlink = {"DevEUI_downlink": {"DevEUI": device, "FPort": 2, "payload_hex": "0102ff"}}
            self._publish(channel, line, f"{line.topic}.{device}.downlink", json.dumps(downlink).encode())
            _say(f"Published a downlink for {device} to {line.exchange}")

    def _publish(self, channel: BlockingChannel, line: _Line, key: str, body: bytes) -> None:
        """Publishes a downlink. Retries while the broker returns it, which means that the queue is not bound yet."""
        deadline = time.monotonic() + _PATIENCE
        properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
        while True:
            try:
                channel.basic_publish(line.exchange, key, body, properties, mandatory=True)
            except UnroutableError:
                if time.monotonic() > deadline:
                    raise StackFailed(f"{line.name}: no downlink queue is bound to {line.exchange}.") from None
                channel.connection.process_data_events(_LOOK)
            else:
                return

    def _reports(self) -> int:
        return min(line.reports for line in self._lines)

    def _all_downlinks(self) -> bool:
        answer = urllib3.request("GET", self._stack["networkServer"]["downlinksUrl"], timeout=10, retries=False)
        found = [item["DevEUI"] for item in answer.json()]
        for line, device in zip(self._lines, _DEVICES, strict=False):
            line.downlinks = found.count(device)
        return all(line.downlinks for line in self._lines)

    def _wait(self, channel: BlockingChannel, what: str, reached: Callable[[], bool]) -> None:
        """Serves the consumers until the condition holds. Raises StackFailed after a minute."""
        deadline = time.monotonic() + _PATIENCE
        while not reached():
            if time.monotonic() > deadline:
                self._show(len(_DEVICES) * _UPLINKS_PER_DEVICE)
                states = [self._api.call("GET", f"/connections/{line.connection_id}") for line in self._lines]
                reasons = "; ".join(f"{each['name']} is {each['state']}: {each.get('stateReason')}" for each in states)
                raise StackFailed(f"The demo waited {_PATIENCE:.0f} s in vain for {what}. {reasons}")
            channel.connection.process_data_events(_LOOK)

    def _show(self, sent: int) -> None:
        _say(f"\n{'':<16}{'sent':>8}{'confirmed':>12}{'received':>10}{'downlinks':>11}{'reports':>9}")
        for line in self._lines:
            numbers = f"{sent:>8}{line.confirmed:>12}{len(line.received):>10}{line.downlinks:>11}{line.reports:>9}"
            _say(f"{line.name:<16}{numbers}")

    def _judge(self, sent: int) -> None:
        for line in self._lines:
            if not sent == line.confirmed == len(line.received):
                raise StackFailed(
                    f"{line.name}: {sent} uplinks were posted, the connector counted {line.confirmed} confirms, "
                    f"and {len(line.received)} arrived."
                )
            if line.downlinks != 1:
                raise StackFailed(f"{line.name}: the network server got its downlink {line.downlinks} times.")


def uplink(dev_eui: str, counter: int, index: int) -> dict[str, Any]:
    """A report as ThingPark sends it. ``index`` makes the devices different."""
    moment = datetime.now(UTC) - timedelta(milliseconds=300)
    strength = -70.0 - 3 * index - counter % 4
    return {
        "DevEUI_uplink": {
            "Time": timestamp(moment),
            "DevEUI": dev_eui,
            "FPort": 2 + index,
            "FCntUp": counter,
            "ADRbit": 1,
            "MType": 2,
            "FCntDn": counter // 2,
            "payload_hex": f"0{index}67{200 + counter:04x}0268{40 + index:02x}",
            "mic_hex": f"{counter * 7919 + index:08x}",
            "Lrcid": "00000201",
            "LrrRSSI": strength,
            "LrrSNR": 9.25 - index,
            "LrrESP": strength - 0.5,
            "SpFact": 7 + index,
            "SubBand": "G0",
            "Channel": f"LC{1 + index % 3}",
            "DevLrrCnt": 1,
            "Lrrid": "10000B5E",
            "Late": 0,
            "LrrLAT": 48.874931,
            "LrrLON": 2.333673,
            "Lrrs": {"Lrr": [{"Lrrid": "10000B5E", "Chain": 0, "LrrRSSI": strength, "LrrSNR": 9.25 - index}]},
            "CustomerID": _CUSTOMER,
            "CustomerData": {
                "alr": {"pro": "LORA/Generic", "ver": "1"},
                "name": f"Sensor {index + 1}",
                "tags": [f"site=Paris-{index + 1}"],
            },
            "ModelCfg": "0",
            "DevAddr": f"05CB0A{index:02X}",
            "TxPower": 14.0,
            "NbTrans": 1,
            "Frequency": 868.1 + 0.2 * (index % 3),
            "DynamicClass": "A",
        }
    }


def _say(text: str) -> None:
    print(text, flush=True)
