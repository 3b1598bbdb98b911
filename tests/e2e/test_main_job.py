"""A connection delivers uplinks to a real broker, and downlinks from it to the network server."""

import json
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.e2e.client import Stack, eventually
from tests.e2e.reports import odd_bytes, uplink


@pytest.fixture
def connected(stack: Stack, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """An OPENED connection of the test's protocol, deleted at the end."""
    protocol = getattr(request, "param", "TCP")
    name = f"{request.node.name}"[:100]
    tag = re.sub(r"\W", "", name)
    patterns = {"uplinkTopicPattern": f"{tag}.up.{{DevEUI}}", "downlinkTopicPattern": f"{tag}.down.{{DevEUI}}"}
    stack.bind(tag, f"{tag}.up.#")
    created = stack.connect(name, stack.configuration(protocol, **patterns))
    stack.wait_open(created["id"])
    yield {**created, "tag": tag}
    assert stack.api("DELETE", f"/connections/{created['id']}").status == 204


both = pytest.mark.parametrize("connected", ["TCP", "SSL"], indirect=True)


@both
def test_uplinks_arrive_in_order_and_unchanged(stack: Stack, connected: dict[str, Any]) -> None:
    sent = [odd_bytes(device, counter) for counter in range(10) for device in (1, 2, 3)]
    assert [stack.post_raw(body).status for body in sent] == [200] * len(sent)
    received = [body for _, _, body in stack.collect(connected["tag"], len(sent))]
    for device in (1, 2, 3):
        eui = f"70B3D5E75E{device:06X}".encode()
        assert [b for b in received if eui in b] == [b for b in sent if eui in b]


def test_chunked_uplink_arrives(stack: Stack, connected: dict[str, Any]) -> None:
    body = odd_bytes(1, 1)
    chunks = (body[start : start + 50] for start in range(0, len(body), 50))
    assert stack.post_raw(body, chunks).status == 200
    assert [received for _, _, received in stack.collect(connected["tag"], 1)] == [body]


@both
def test_message_has_the_documented_properties(stack: Stack, connected: dict[str, Any]) -> None:
    report = uplink(9, 77, Time="2026-01-31T12:00:00.500+01:00")
    assert stack.lrc.post(report) == 200
    ((method, properties, body),) = stack.collect(connected["tag"], 1)
    assert (method.exchange, method.routing_key) == ("amq.topic", f"{connected['tag']}.up.70B3D5E75E000009")
    assert json.loads(body) == report
    assert properties.content_type == "application/json"
    assert properties.content_encoding == "utf-8"
    assert properties.delivery_mode == 2
    assert properties.type == "DevEUI_uplink"
    assert properties.app_id == "iot-flow"
    assert properties.timestamp == 1769857200
    assert re.fullmatch(r"[0-9a-f]{64}", properties.message_id)
    assert properties.headers == {
        "devEUI": "70B3D5E75E000009",
        "fPort": 2,
        "fCntUp": 77,
        "customerId": "100000507",
        "connectionId": connected["id"],
    }


@both
def test_management_page_shows_tenant_and_connection(stack: Stack, connected: dict[str, Any]) -> None:
    assert stack.lrc.post(uplink(1, 1)) == 200

    def found() -> Any:
        prefix = f"demo/ConnectionId.{connected['id']}#"
        names = [c for c in stack.management("/api/connections")
                 if c.get("client_properties", {}).get("connection_name", "").startswith(prefix)]  # fmt: skip
        return names if any("publish" in c["client_properties"]["connection_name"] for c in names) else None

    for shown in eventually(found, "the connection in the management API"):
        assert shown["ssl"] == ("SSL" in connected["name"])
        assert shown["client_properties"]["product"]
        assert shown["client_properties"]["version"]


@both
def test_downlink_reaches_the_network_server_once(stack: Stack, connected: dict[str, Any]) -> None:
    queue = f"iot-flow.{connected['id']}.downlink"
    eventually(
        lambda: any(b["source"] == "amq.topic" for b in stack.management(f"/api/queues/%2F/{queue}/bindings")),
        "the downlink queue is bound",
    )
    payload = f"{hash(connected['id']) & 0xFFFFFFFF:08x}"
    body = {"DevEUI_downlink": {"DevEUI": "70B3D5E75E000001", "FPort": 3, "payload_hex": payload}}
    with stack.channel() as channel:
        channel.confirm_delivery()
        channel.basic_publish(
            "amq.topic", f"{connected['tag']}.down.70B3D5E75E000001", json.dumps(body), mandatory=True
        )
    eventually(lambda: [d for d in stack.downlinks() if d["Payload"] == payload], "the downlink")
    eventually(lambda: stack.management(f"/api/queues/%2F/{queue}").get("messages") == 0, "the queue is empty")
    (downlink,) = [d for d in stack.downlinks() if d["Payload"] == payload]
    assert (downlink["DevEUI"], downlink["FPort"]) == ("70B3D5E75E000001", "3")


def test_report_posted_right_after_creation_arrives(stack: Stack) -> None:
    stack.bind("at-once", "at-once.#")
    created = stack.connect("At once", stack.configuration(uplinkTopicPattern="at-once.{DevEUI}"))
    assert stack.lrc.post(uplink(5, 1)) == 200
    assert len(stack.collect("at-once", 1)) == 1
    stack.api("DELETE", f"/connections/{created['id']}")


def test_restarted_broker_gets_all_reports_in_order(stack: Stack, connected: dict[str, Any]) -> None:
    sent = [uplink(device, counter) for counter in range(20) for device in (1, 2)]
    stack.broker("stop")
    try:
        for report in sent:
            assert stack.lrc.post(report) == 200
        eventually(lambda: stack.state(connected["id"]) == "UNREACHABLE", "the connection is UNREACHABLE")
    finally:
        stack.broker("start")
    received = [json.loads(body) for _, _, body in stack.collect(connected["tag"], len(sent))]
    for device in ("70B3D5E75E000001", "70B3D5E75E000002"):
        own = [r for r in received if r["DevEUI_uplink"]["DevEUI"] == device]
        assert own == [r for r in sent if r["DevEUI_uplink"]["DevEUI"] == device]
    eventually(lambda: stack.state(connected["id"]) == "OPENED", "the connection is OPENED again")


def test_burst_of_concurrent_requests_is_answered(stack: Stack) -> None:
    together = Barrier(64)

    def call(_: int) -> int:
        together.wait()
        return stack.api("GET", "/health").status

    with ThreadPoolExecutor(64) as executor:
        assert list(executor.map(call, range(64))) == [200] * 64


def test_reports_of_every_kind_pass_and_others_are_refused(stack: Stack, connected: dict[str, Any]) -> None:
    common = {"DevEUI": "70B3D5E75E0000AA", "CustomerID": "1", "Time": "2026-01-31T12:00:00+00:00"}
    roots = ["DevEUI_uplink", "DevEUI_downlink_Sent", "DevEUI_downlink_Rejected", "DevEUI_location",
             "DevEUI_notification", "DevEUI_multicast_summary", "DevEUI_alarm"]  # fmt: skip
    for root in roots:
        assert stack.lrc.post({root: common}) == 200, root
    assert stack.lrc.post({"DevEUI_downlink": common}) == 422
    assert [p.type for _, p, _ in stack.collect(connected["tag"], len(roots))] == roots
    assert stack.lrc.post({"BS_alarm": {"ID": 102, "LrrID": "100001C2", "CustomerID": "1"}}) == 200
    path = f"/connections/{connected['id']}/messages?status=failed"
    (failed,) = eventually(lambda: stack.api("GET", path).json, "the failed message")
    assert (failed["reason"], failed["direction"]) == ("PATTERN_UNRESOLVED", "uplink")
    assert json.loads(failed["body"])["BS_alarm"]["ID"] == 102


def test_killed_worker_is_replaced_and_its_reports_arrive(stack: Stack, connected: dict[str, Any]) -> None:
    sent = [uplink(device, counter) for counter in range(20) for device in range(5)]
    for number, report in enumerate(sent):
        assert stack.lrc.post(report) == 200
        if number % 25 == 10:
            eventually(lambda: _kill_a_worker(stack), "a worker to kill")
    received = {p.message_id: b for _, p, b in stack.collect(connected["tag"], len(sent))}
    eventually(lambda: received.update({p.message_id: b for _, p, b in stack.messages(connected["tag"])})
               or len(received) == len(sent), "every report")  # fmt: skip


def _kill_a_worker(stack: Stack) -> bool:
    """Kills a worker. False when the worker in stack.json was replaced in the meantime."""
    try:
        os.kill(stack.info["workers"]["pids"][0], signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
