"""The flows of a run with ``--flows``: one by tags, one by keys and prefixes, and one with a driver."""

import random
from typing import Any

from infra.chaos.expectation import FlowOf
from infra.chaos.plan import Size
from infra.chaos.poster import device_of
from infra.chaos.stage import Stage
from infra.local.errors import StackFailed

DRIVER = """\
function decodeUplink(input) {
  const bytes = Buffer.from(input.bytes);
  if (bytes.length < 7) throw new Error("The payload has " + bytes.length + " bytes.");
  return { data: {
    counter: bytes.readUInt16BE(0),
    device: bytes.readUInt16BE(2),
    battery: bytes[4],
    temperature: bytes.readInt16BE(5) / 10,
  } };
}
"""
"""``expectation.decoded`` says the same in Python."""
_DRIVER_ID = "chaos:level:1"
_BLOCK = 16
"""Devices with the same DevEUI but for the last digit."""


def flows_of(size: Size) -> list[FlowOf]:
    """Return the flows of a run in the order of their creation; the seed chooses the keys.

    The devices of a flow overlap with those of the others. Some devices match no flow.
    """
    if not size.flows:
        return []
    chance = random.Random(size.seed)  # noqa: S311  # must be repeatable
    blocks = range(max(1, size.devices // _BLOCK))
    prefixes = [device_of(_BLOCK * block)[:-1] for block in chance.sample(blocks, max(1, len(blocks) // 4))]
    devices = [device_of(number) for number in chance.sample(range(size.devices), max(1, size.devices // 10))]
    keys = [f"lora:{prefix.lower()}*" for prefix in prefixes] + [f"lora:{device}" for device in devices[1:]]
    return [
        FlowOf("Tags", [_thing("temperatureservice", "site=Paris"), _thing("Leak")], [0]),
        FlowOf("Keys", [{"type": "key", "key": f"LORA:{devices[0]}"}, {"type": "key", "keys": keys}], [1]),
        FlowOf("Driver", [_thing("LevelSensor")], [0, 1], _DRIVER_ID),
    ]


def create_flows(stage: Stage, flows: list[FlowOf]) -> None:
    """Create the driver and the flows. Raises StackFailed if a connection does not read as routed by them."""
    if any(flow.driver for flow in flows):
        stage.api.call("POST", "/drivers", {"id": _DRIVER_ID, "signature": "lora-alliance", "code": DRIVER})
    for flow in flows:
        connectors = [{"connectionId": stage.places[number].id} for number in flow.connections]
        document: dict[str, Any] = {"name": flow.name, "matchers": flow.matchers, "connectors": connectors}
        if flow.driver is not None:
            document["driver"] = {"id": flow.driver}
        stage.api.call("POST", "/flows", document)
    for number in {number for flow in flows for number in flow.connections}:
        routing = stage.api.call("GET", f"/connections/{stage.places[number].id}")["routing"]
        if routing != "flows":
            raise StackFailed(f"connection {number} is in flows, and its routing is {routing}")


def _thing(*tags: str) -> dict[str, object]:
    return {"type": "thing", "tags": list(tags)}
