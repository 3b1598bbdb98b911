"""A flow's driver decodes uplinks and encodes downlinks, from the network server to a real broker and back."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import Stack, eventually
from tests.e2e.reports import uplink

DEVICE = "70B3D5E75E0000D1"
CODE = """
function decodeUplink(input) {
  return {data: {level: input.bytes[0] * 256 + input.bytes[1], port: input.fPort}};
}
function encodeDownlink(input) {
  return {bytes: [input.data.level >> 8, input.data.level & 255], fPort: 7};
}
"""


@pytest.fixture
def connected(stack: Stack, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """An OPENED connection with a flow for ``DEVICE`` and a driver, which are deleted at the end."""
    tag = re.sub(r"\W", "", request.node.name)
    stack.bind(tag, f"{tag}.up.#")
    patterns = {"uplinkTopicPattern": f"{tag}.up.{{payload.level}}", "downlinkTopicPattern": f"{tag}.down.{{DevEUI}}"}
    created = stack.connect(tag, stack.configuration("TCP", **patterns))
    stack.wait_open(created["id"])
    driver = {
        "id": f"tests:{tag.lower()[:40]}:1",
        "name": tag,
        "signature": "lora-alliance",
        "code": CODE,
        "models": [],
    }
    assert stack.api("POST", "/drivers", driver).status == 201
    flow = {
        "name": tag,
        "matchers": [{"type": "key", "key": f"lora:{DEVICE}"}],
        "driver": {"id": driver["id"]},
        "connectors": [{"id": "actility-amqp-0.9.1-iot", "connectionId": created["id"]}],
    }
    made = stack.api("POST", "/flows", flow)
    assert made.status == 201, made.body
    yield {**created, "tag": tag}
    assert stack.api("DELETE", f"/flows/{made.json['id']}").status == 204
    assert stack.api("DELETE", f"/drivers/{driver['id']}").status == 204
    assert stack.api("DELETE", f"/connections/{created['id']}").status == 204


def test_driver_decodes_uplinks_and_encodes_downlinks(stack: Stack, connected: dict[str, Any]) -> None:
    # When: an uplink of the device, and one of another device that the flow does not choose
    report = uplink(0xD1, 1, payload_hex="0102")
    assert stack.lrc.post(report) == 200
    assert stack.lrc.post(uplink(0xD2, 1, payload_hex="0102")) == 200

    # Then: the payload is at the end of the report, and the routing key has a part of it
    ((method, _, body),) = stack.collect(connected["tag"], 1)
    assert method.routing_key == f"{connected['tag']}.up.258"
    fields = json.loads(body)["DevEUI_uplink"]
    assert fields == {**report["DevEUI_uplink"], "payload": {"level": 258, "port": fields["FPort"]}}

    # When: a downlink without bytes
    queue = f"iot-flow.{connected['id']}.downlink"
    eventually(
        lambda: any(b["source"] == "amq.topic" for b in stack.management(f"/api/queues/%2F/{queue}/bindings")),
        "the downlink queue is bound",
    )
    downlink = {"DevEUI_downlink": {"DevEUI": DEVICE, "payload": {"level": 772}}}
    with stack.channel() as channel:
        channel.confirm_delivery()
        channel.basic_publish("amq.topic", f"{connected['tag']}.down.{DEVICE}", json.dumps(downlink), mandatory=True)

    # Then
    (sent,) = eventually(lambda: [d for d in stack.downlinks() if d["DevEUI"] == DEVICE], "the downlink")
    assert (sent["Payload"], sent["FPort"]) == ("0304", "7")
