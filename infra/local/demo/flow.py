"""A flow of the demo: it sends two of the devices to a separate connection, and a driver decodes them."""

import json
from collections.abc import Sequence
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from infra.local.demo.api_client import ApiClient
from infra.local.demo.examples import connection_request
from infra.local.errors import StackFailed

_TOPIC, _EXCHANGE = "demo.decoded", "amq.topic"
_QUEUE = f"{_TOPIC}.uplinks"
_KEPT = 1000
DRIVER: dict[str, Any] = {
    "id": "demo:climate:1",
    "name": "Climate sensor of the demo",
    "signature": "lora-alliance",
    "code": """// Fields of a channel, a type and a value: 0x67 a temperature, 0x68 a humidity.
const TYPES = { 0x67: ["temperature", 2, 0.1], 0x68: ["humidity", 1, 0.5] };

function decodeUplink(input) {
  const buffer = Buffer.from(input.bytes), data = {};
  for (let at = 0; at < buffer.length; ) {
    const type = TYPES[buffer[at + 1]];
    if (!type) return { errors: [`unknown type ${buffer[at + 1]} at byte ${at + 1}`] };
    const [name, size, factor] = type;
    data[name] = Math.round(buffer.readIntBE(at + 2, size) * factor * 10) / 10;
    at += 2 + size;
  }
  return { data };
}
""",
}


class DemoFlow:
    """The flow, its connection and its driver, and the decoded reports that arrived."""

    def __init__(self, stack: dict[str, Any], api: ApiClient, devices: Sequence[str]) -> None:
        self._stack = stack
        self._api = api
        self._devices = devices
        self.connection_id = ""
        self.payloads: dict[str, tuple[str, Any]] = {}
        """DevEUI and payload by message id."""

    def create(self, channel: BlockingChannel) -> None:
        """Consume the connection's queue, and create the connection, the driver and the flow."""
        channel.queue_declare(_QUEUE, durable=True, arguments={"x-max-length": _KEPT})
        channel.queue_bind(_QUEUE, _EXCHANGE, f"{_TOPIC}.*.uplink")
        channel.basic_consume(_QUEUE, self._on_message, auto_ack=True)
        document = connection_request(
            self._stack, name="Demo of a flow", exchange=_EXCHANGE, topic=_TOPIC, ssl=False, downlinks=False
        )
        self.connection_id = self._api.call("POST", "/connections", document)["id"]
        self._api.call("POST", "/drivers", DRIVER)
        flow = {
            "name": "Two climate sensors",
            "matchers": [{"type": "key", "keys": [f"lora:{device.lower()}" for device in self._devices]}],
            "driver": {"id": DRIVER["id"]},
            "connectors": [{"connectionId": self.connection_id}],
        }
        flow_id = self._api.call("POST", "/flows", flow)["id"]
        print(f"Created flow {flow_id}: two devices, decoded by {DRIVER['id']}", flush=True)

    def _on_message(self, _channel: Any, _method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        if properties.type == "DevEUI_uplink":
            fields = json.loads(body)["DevEUI_uplink"]
            self.payloads[str(properties.message_id)] = fields["DevEUI"], fields.get("payload")

    def show(self, posted: int) -> None:
        """Print how many of the posted uplinks the flow took, and an example of a payload."""
        example = next((payload for _, payload in self.payloads.values()), None)
        devices = len({device for device, _ in self.payloads.values()})
        print(
            f"\nThe flow took {len(self.payloads)} of {posted} uplinks, those of {devices} devices, and decoded them: "
            f"{json.dumps(example)}",
            flush=True,
        )

    def judge(self) -> None:
        """Raise StackFailed unless all reports came from the flow's devices and were decoded."""
        others = {device for device, _ in self.payloads.values()} - set(self._devices)
        if others:
            raise StackFailed(f"The flow took uplinks of other devices: {sorted(others)}.")
        if not all(isinstance(payload, dict) and payload.keys() == _FIELDS for _, payload in self.payloads.values()):
            raise StackFailed("The driver of the demo did not decode every uplink of the flow.")


_FIELDS = {"temperature", "humidity"}
