"""The downlink sender when an unforeseen error occurs."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from chalicelib.domain.work_items import DownlinkJob
from chalicelib.downlinks.sender import MAX_ATTEMPTS, DownlinkSender, SenderContext
from chalicelib.errors import DownlinkRejected, Unavailable
from chalicelib.ports.queues import QueueRecord
from infra.local.in_memory import (
    MemoryApplicationServerStore,
    MemoryDownlinkLedger,
    MemoryDownlinkQueue,
    MemoryParkedReceipts,
)
from tests.unit.flow import TENANT, Flow


class Server:
    """A network server whose call raises an unforeseen error for device 1 and a rejection for device 9."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def send_downlink(self, parameters: Sequence[tuple[str, str]], _as_key: str) -> None:
        device = dict(parameters)["DevEUI"]
        if device == f"{9:016X}":
            raise DownlinkRejected("the network server answered 350: Downlink counter value already used")
        if device == f"{1:016X}":
            raise ZeroDivisionError
        self.taken.append(device)


class Scene:
    def __init__(self, flow: Flow) -> None:
        servers = MemoryApplicationServerStore()
        servers.put(TENANT, "as", "key")
        self.flow, self.server, self.queue = flow, Server(), MemoryDownlinkQueue(60, flow.clock)
        self.sender = DownlinkSender(
            SenderContext(
                connections=flow.connections,
                secrets=flow.secrets,
                application_servers=servers,
                queue=self.queue,
                ledger=MemoryDownlinkLedger(),
                parked=MemoryParkedReceipts(),
                failed=flow.failed,
                network_server=self.server,
                ingress=flow.ingress,
                monitoring=flow.monitoring,
                executor=flow.executor,
                clock=flow.clock,
                timing=flow.settings.timing,
            )
        )

    def record(self, device: int, attempts: int = 1) -> QueueRecord:
        fields = {"DevEUI": f"{device:016X}", "FPort": 1, "payload_hex": "00"}
        job = DownlinkJob(tenant=TENANT, connection_id="c1", downlink=fields, received_at=self.flow.now)
        return QueueRecord(f"r{device}", f"m{device}", job.model_dump_json(by_alias=True), str(device), attempts)

    def handle(self, *records: QueueRecord) -> None:
        self.sender.handle(records, time.monotonic() + 30)


@pytest.fixture
def scene() -> Iterator[Scene]:
    flow = Flow()
    flow.connect()
    yield Scene(flow)
    flow.executor.shutdown()


def test_unforeseen_error_does_not_delay_other_devices(scene: Scene) -> None:
    with pytest.raises(Unavailable):
        scene.handle(scene.record(1), scene.record(2))
    assert scene.server.taken == [f"{2:016X}"]


def test_downlink_is_rejected_after_last_failed_attempt(scene: Scene) -> None:
    scene.handle(scene.record(1, MAX_ATTEMPTS))
    (failed,) = scene.flow.failed.messages[TENANT, "c1"]
    assert failed.reason == "NOT_HANDLED"
    (report,) = scene.flow.queues.receive("c1", 10)
    assert "DevEUI_downlink_Rejected" in json.loads(report.body)


def test_downlink_that_can_be_neither_handled_nor_stored_stays_in_its_queue(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(scene.flow.failed, "add", fail)
    with pytest.raises(Unavailable):
        scene.handle(scene.record(1, MAX_ATTEMPTS), scene.record(2))
    assert scene.server.taken == [f"{2:016X}"]


def test_downlink_with_unknown_field_is_sent(scene: Scene) -> None:
    record = scene.record(2)
    scene.handle(replace(record, body=json.dumps({**json.loads(record.body), "priority": {"level": 1}})))
    assert scene.server.taken == [f"{2:016X}"]


def test_unreadable_downlink_goes_back_and_does_not_stop_others(scene: Scene) -> None:
    with pytest.raises(Unavailable):
        scene.handle(QueueRecord("r", "m", "{", "1"), scene.record(2))
    assert scene.server.taken == [f"{2:016X}"]
    assert scene.flow.failed.messages == {}


@pytest.mark.parametrize(
    ("body", "group", "kept", "device"),
    [
        pytest.param(
            '{"tenant": "demo", "connectionId": "c1", "downlink": {"DevEUI": "0A", "FPort": 1}, "receivedAt": "noon"}',
            "1",
            '{"DevEUI_downlink": {"DevEUI": "0A", "FPort": 1}}',
            "0A",
            id="the downlink is readable",
        ),
        pytest.param(
            '{"tenant": "demo", "connectionId": "c1", "downlink": {}, "receivedAt": 1}',
            "1",
            '{"tenant": "demo", "connectionId": "c1", "downlink": {}, "receivedAt": 1}',
            None,
            id="the connection is readable",
        ),
        pytest.param("{", "demo.c1.0A", "{", None, id="only the group names the connection"),
    ],
)
def test_unreadable_downlink_is_kept_as_failed_message_after_last_attempt(
    scene: Scene, body: str, group: str, kept: str, device: str | None
) -> None:
    scene.handle(QueueRecord("r", "m", body, group, MAX_ATTEMPTS))
    (failed,) = scene.flow.failed.messages[TENANT, "c1"]
    assert (failed.reason, failed.dev_eui, failed.body) == ("NOT_HANDLED", device, kept)
    assert scene.flow.event_types() == ["DOWNLINK_NOT_HANDLED"]


def test_unreadable_downlink_without_connection_is_kept_in_its_queue(scene: Scene) -> None:
    with pytest.raises(Unavailable):
        scene.handle(QueueRecord("r", "m", "{}", "1", MAX_ATTEMPTS), scene.record(2))
    assert scene.server.taken == [f"{2:016X}"]


def test_rejected_downlink_is_stored_and_reported_with_correlation_id(
    scene: Scene,
) -> None:
    # Given
    fields = {"DevEUI": f"{9:016X}", "FPort": 3, "payload_hex": "0a", "CorrelationID": "AB12"}
    job = DownlinkJob(tenant=TENANT, connection_id="c1", downlink=fields, received_at=scene.flow.now)

    # When: the downlink is sent for the third time
    scene.handle(QueueRecord("r9", "m9", job.model_dump_json(by_alias=True), "9", 3))

    # Then
    (failed,) = scene.flow.failed.messages[TENANT, "c1"]
    assert (failed.reason, failed.attempts, failed.dev_eui) == ("REJECTED", 3, f"{9:016X}")
    assert json.loads(failed.body) == {"DevEUI_downlink": fields}
    (report,) = scene.flow.queues.receive("c1", 10)
    rejected = json.loads(report.body)["DevEUI_downlink_Rejected"]
    assert (rejected["DevEUI"], rejected["FPort"], rejected["CorrelationID"]) == (f"{9:016X}", 3, "AB12")
    assert rejected["DownlinkRejectionCause"] == (
        "REJECTED: the network server answered 350: Downlink counter value already used"
    )
    assert scene.flow.event_types()[-1] == "DOWNLINK_REJECTED"


def handled(scene: Scene) -> bool:
    """Invoke the sender with what the queue delivers; return whether it delivered something."""
    records = scene.queue.take(10)
    if records:
        with suppress(Unavailable):
            scene.handle(*records)
            scene.queue.delete([record.receipt for record in records])
    return bool(records)


def test_downlink_of_a_deactivated_connection_is_checked_only_when_its_validity_ends(scene: Scene) -> None:
    # Given
    before = scene.flow.state()
    changed = before.model_copy(update={"active": False, "version": before.version + 1})
    scene.flow.connections.replace(changed, before.version, reset=True)
    fields = {"DevEUI": f"{2:016X}", "FPort": 1, "payload_hex": "00", "ValidityTime": "7200"}
    job = DownlinkJob(
        tenant=TENANT, connection_id="c1", downlink=fields, received_at=scene.flow.now, deduplication_id="d1"
    )
    scene.queue.send([(job, "d1")])

    # When two hours pass
    invocations = 0
    for _ in range(125):
        invocations += handled(scene)
        scene.flow.now += 60

    # Then
    assert invocations == 2
    assert scene.server.taken == []
    (failed,) = scene.flow.failed.messages[TENANT, "c1"]
    assert failed.reason == "VALIDITY_PASSED"
