"""Effects of a changed connection at the broker."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from tests.e2e.client import Stack, eventually
from tests.e2e.reports import uplink


def bindings(stack: Stack, connection_id: str) -> list[str]:
    found: Any = stack.management(f"/api/queues/%2F/iot-flow.{connection_id}.downlink/bindings")
    return [binding["routing_key"] for binding in found if isinstance(binding, dict) and binding["source"]]


def patch(stack: Stack, connection_id: str, document: dict[str, Any]) -> None:
    answer = stack.api("PATCH", f"/connections/{connection_id}", document)
    assert answer.status == 200, answer.body


def test_changed_downlink_pattern_moves_the_binding(stack: Stack) -> None:
    created = stack.connect("Moves", stack.configuration(downlinkTopicPattern="before.{DevEUI}"))
    eventually(lambda: bindings(stack, created["id"]) == ["before.*"], "the first binding")
    patch(stack, created["id"], {"configuration": {"downlinkTopicPattern": "after.{DevEUI}"}})
    eventually(lambda: bindings(stack, created["id"]) == ["after.*"], "the second binding alone")
    assert stack.api("DELETE", f"/connections/{created['id']}").status == 204


def test_pattern_changed_while_inactive_removes_the_old_binding(stack: Stack) -> None:
    created = stack.connect("Later", stack.configuration(downlinkTopicPattern="old.{DevEUI}"))
    eventually(lambda: bindings(stack, created["id"]) == ["old.*"], "the first binding")
    patch(stack, created["id"], {"active": False})
    name = f"/ConnectionId.{created['id']}#consumer"
    eventually(lambda: name not in str(stack.management("/api/connections")), "the end of the consumer")
    patch(stack, created["id"], {"active": True, "configuration": {"downlinkTopicPattern": "new.{DevEUI}"}})
    eventually(lambda: bindings(stack, created["id"]) == ["new.*"], "the new binding alone")
    assert stack.api("DELETE", f"/connections/{created['id']}").status == 204


def test_deleted_connection_deletes_its_downlink_queue(stack: Stack) -> None:
    created = stack.connect("Goes", stack.configuration(downlinkTopicPattern="gone.{DevEUI}"))
    eventually(lambda: bindings(stack, created["id"]) == ["gone.*"], "the binding")
    assert stack.api("DELETE", f"/connections/{created['id']}").status == 204
    queue = f"iot-flow.{created['id']}.downlink"
    eventually(lambda: queue not in str(stack.management("/api/queues")), "the queue is gone")
    assert stack.api("GET", f"/connections/{created['id']}").status == 404


def test_deleted_connection_without_consumer_deletes_its_downlink_queue(stack: Stack) -> None:
    created = stack.connect("Quiet", stack.configuration(downlinkTopicPattern="quiet.{DevEUI}"))
    eventually(lambda: bindings(stack, created["id"]) == ["quiet.*"], "the binding")
    patch(stack, created["id"], {"active": False})
    name = f"/ConnectionId.{created['id']}#consumer"
    eventually(lambda: name not in str(stack.management("/api/connections")), "the end of the consumer")
    assert stack.api("DELETE", f"/connections/{created['id']}").status == 204
    assert f"iot-flow.{created['id']}.downlink" not in str(stack.management("/api/queues"))


def test_deactivated_connection_keeps_messages_until_it_is_activated(stack: Stack) -> None:
    stack.bind("paused", "paused.#")
    created = stack.connect("Paused", stack.configuration(uplinkTopicPattern="paused.{DevEUI}"))
    stack.wait_open(created["id"])
    stack.broker("stop")
    try:
        assert stack.lrc.post(uplink(1, 1)) == 200
        patch(stack, created["id"], {"active": False})
    finally:
        stack.broker("start")
    assert stack.lrc.post(uplink(1, 2)) == 200
    assert stack.state(created["id"]) == "DEACTIVATED"
    assert stack.messages("paused") == []
    patch(stack, created["id"], {"active": True})
    ((_, properties, _),) = stack.collect("paused", 1)
    assert properties.headers["fCntUp"] == 1
    assert stack.api("DELETE", f"/connections/{created['id']}").status == 204


def test_concurrent_changes_are_all_applied(stack: Stack) -> None:
    created = stack.connect("Popular", stack.configuration(hostName="localhost:1"))
    path = f"/connections/{created['id']}"
    together = Barrier(8)

    def change(number: int) -> int:
        together.wait()
        return stack.api("PATCH", path, {"name": f"Popular {number}"}).status

    with ThreadPoolExecutor(8) as executor:
        assert list(executor.map(change, range(8))) == [200] * 8
    assert stack.api("GET", path).json["version"] == 9
    assert stack.api("DELETE", path).status == 204
