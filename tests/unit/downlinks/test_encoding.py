"""Downlinks with payload: encoded by the driver of the flow, or rejected."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.downlinks.encoding import DownlinkEncoder
from chalicelib.downlinks.intake import DownlinkIntake
from chalicelib.ports.consuming import ReceivedDownlink, Verdict
from chalicelib.uplinks.decoding.tenant_drivers import TenantDrivers
from chalicelib.uplinks.routing import RoutingCache
from infra.local.in_memory import MemoryDownlinkQueue
from tests.unit.domain.flows.cases import flow, key
from tests.unit.flow import TENANT, Flow

DRIVER = "acme:valve:1"
CODE = """function encodeDownlink(input) {
  if (input.data.open === undefined) throw new Error("open is missing");
  return { bytes: [input.data.open ? 1 : 0, input.fPort || 0], fPort: 12 };
}"""
DEVICE = f"{1:016X}"


class Scene(Flow):
    """A connection with downlinks, and the queue that they reach."""

    def __init__(self) -> None:
        super().__init__()
        self.connect()
        self.queue = MemoryDownlinkQueue(60, self.clock)
        self.intake = DownlinkIntake(self.queue, self.secrets, self.ingress, self.monitoring, self.executor, self.clock)
        routing = RoutingCache(self.connections, self.flows)
        self.intake.encode = DownlinkEncoder(self.codec, TenantDrivers(self.drivers, self.clock, 5), routing).encode
        self.drivers.put(TENANT, DRIVER, CODE)

    def publish(self, device: str = DEVICE, **fields: Any) -> Verdict:
        body = json.dumps({"DevEUI_downlink": fields}).encode()
        message = ReceivedDownlink("c1", 1, f"down.{device}", body, None, None, redelivered=False)
        return self.intake.accept(self.state(), [message])[0]

    def queued(self) -> list[Any]:
        return [json.loads(record.body)["downlink"] for record in self.queue.take(10)]

    def rejections(self) -> list[tuple[str, str]]:
        """The causes of the rejection reports, and the types of their events."""
        reports = [json.loads(each.body)["DevEUI_downlink_Rejected"] for each in self.queues.receive("c1", 10)]
        return [
            (report["DownlinkRejectionCause"], event) for report, event in zip(reports, self.event_types(), strict=True)
        ]


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.executor.shutdown()


def test_payload_is_encoded_by_the_driver_of_the_flow(scene: Scene) -> None:
    scene.flows.create(flow(driver=DRIVER), 200)
    assert scene.publish(payload={"open": True}, Confirmed=1) is Verdict.ACK
    assert scene.queued() == [{"DevEUI": DEVICE, "payload_hex": "0100", "FPort": 12, "Confirmed": "1"}]


def test_port_of_the_downlink_wins_over_that_of_the_driver(scene: Scene) -> None:
    scene.flows.create(flow(driver=DRIVER), 200)
    scene.publish(payload={"open": False}, FPort="5")
    assert scene.queued() == [{"DevEUI": DEVICE, "payload_hex": "0005", "FPort": 5}]


def test_flow_that_matches_the_device_gives_the_driver(scene: Scene) -> None:
    scene.drivers.put(TENANT, "acme:other:1", "function Encoder(o, p) { return [7]; }", signature="ttn")
    scene.flows.create(flow("a", matchers=[key("lora:00000000000000ff")], driver=DRIVER), 200)
    scene.flows.create(flow("b", matchers=[key(f"lora:{DEVICE}")], driver="acme:other:1"), 200)
    scene.publish(payload={}, FPort=1)
    assert [downlink["payload_hex"] for downlink in scene.queued()] == ["07"]


def test_only_flow_of_the_connection_gives_the_driver_to_other_devices(scene: Scene) -> None:
    scene.flows.create(flow(matchers=[key("lora:00000000000000ff")], driver=DRIVER), 200)
    assert scene.publish(payload={"open": True}) is Verdict.ACK


def test_downlinks_are_not_filtered_by_flows(scene: Scene) -> None:
    scene.flows.create(flow("f1", matchers=[key(f"lora:{2:016x}")], driver=DRIVER), 200)
    assert scene.publish(DevEUI=DEVICE, FPort=1, payload_hex="00") is Verdict.ACK
    [downlink] = scene.queued()
    assert (downlink["DevEUI"], downlink["payload_hex"]) == (DEVICE, "00")


def test_automatic_driver_is_chosen_by_the_configuration_of_the_downlink(scene: Scene) -> None:
    scene.flows.create(flow(driver="actility:auto:1"), 200)
    assert scene.publish(payload={"open": True}, DriverCfg={"id": DRIVER}) is Verdict.ACK
    assert scene.publish(payload={"open": True}) is Verdict.REJECT
    [(cause, event)] = scene.rejections()
    assert cause.startswith("PAYLOAD_NOT_ENCODABLE: payload requires an encoder")
    assert event == "PAYLOAD_NOT_ENCODABLE"


@pytest.mark.parametrize("with_flow", [True, False])
def test_payload_without_a_driver_is_rejected(scene: Scene, *, with_flow: bool) -> None:
    if with_flow:
        scene.flows.create(flow(), 200)
    assert scene.publish(payload={"open": True}, FPort=1) is Verdict.REJECT
    [(cause, event)] = scene.rejections()
    assert cause.startswith("PAYLOAD_NOT_ENCODABLE: payload requires an encoder")
    assert event == "PAYLOAD_NOT_ENCODABLE"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (CODE, "open is missing (line 2)"),
        ("function encodeDownlink() { return { bytes: [256], fPort: 1 }; }", "0 to 255"),
        ("function encodeDownlink() { return { errors: ['no such command'] }; }", "no such command"),
        ("function decodeUplink() {}", "no function encodeDownlink"),
        ("function encodeDownlink() { while (true) {} }", "100 ms"),
    ],
)
def test_failing_encoder_rejects_the_downlink(scene: Scene, code: str, cause: str) -> None:
    scene.drivers.put(TENANT, DRIVER, code)
    scene.flows.create(flow(driver=DRIVER), 200)
    assert scene.publish(payload={}, FPort=1, CorrelationID="C1") is Verdict.REJECT
    [(found, event)] = scene.rejections()
    assert found.startswith(f"DRIVER_FAILED: the driver {DRIVER} failed: ")
    assert cause in found
    assert event == "DRIVER_FAILED"


def test_failing_encoder_is_one_event_an_hour(scene: Scene) -> None:
    scene.flows.create(flow(driver=DRIVER), 200)
    scene.now = 3600.0 * 300
    for _ in range(3):
        scene.publish(payload={}, FPort=1)
        scene.now += 600
    assert [event.details["count"] for _, event in scene.events.events if event.type == "DRIVER_FAILED"] == [3]


def test_frame_without_any_port_is_rejected(scene: Scene) -> None:
    scene.drivers.put(TENANT, DRIVER, "function encodeDownlink() { return { bytes: [1] }; }")
    scene.flows.create(flow(driver=DRIVER), 200)
    assert scene.publish(payload={}) is Verdict.REJECT
    assert "FPort is missing" in scene.rejections()[0][0]


@pytest.mark.parametrize("payload", [5, "text", [1]])
def test_payload_must_be_an_object(scene: Scene, payload: Any) -> None:
    scene.flows.create(flow(driver=DRIVER), 200)
    assert scene.publish(payload=payload, FPort=1) is Verdict.REJECT
    assert "payload must be a JSON object" in scene.rejections()[0][0]
    assert scene.codec.calls == []


def test_downlink_stays_at_the_broker_while_the_codec_is_down(scene: Scene) -> None:
    scene.flows.create(flow(driver=DRIVER), 200)
    scene.codec.down = True
    assert scene.publish(payload={"open": True}) is Verdict.LATER
    assert scene.publish(payload_hex="00", FPort=1) is Verdict.ACK
    scene.codec.down = False
    assert scene.publish(payload={"open": True}) is Verdict.ACK
