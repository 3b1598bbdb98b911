"""Receiving, publishing and deleting side by side in one drain."""

import threading
from dataclasses import replace

from chalicelib.domain.delivery import DELIVERED
from chalicelib.ports.queues import BATCH, ReceivedReport
from chalicelib.uplinks.drain import DEVICES_A_PART
from chalicelib.uplinks.drain_context import DrainState, by_devices
from chalicelib.uplinks.forwarder import Forwarder
from chalicelib.uplinks.streaming.receiving import HELD_REPORTS, ReportReceiver
from chalicelib.uplinks.streaming.report_settler import ReportSettler
from infra.local.in_memory import MemoryUplinkQueues
from tests.unit.flow import Flow
from tests.unit.uplinks.test_drains import backlog

PATIENCE = 30.0


class LargeAnswers(MemoryUplinkQueues):
    """Queues that return as many reports at once as several calls of SQS beside each other do."""

    def receive(self, connection_id: str, limit: int, wait: int = 0) -> list[ReceivedReport]:
        answers: list[ReceivedReport] = []
        while answer := super().receive(connection_id, limit, wait):
            answers += answer
        return answers


def reports(groups: str) -> list[ReceivedReport]:
    """Return a report for each letter, which is its group."""
    return [
        ReceivedReport(f"{group}{number}", f"{group}{number}", group, "{}", 0.0, 1)
        for number, group in enumerate(groups)
    ]


def test_parts_keep_the_reports_of_a_device_together_and_in_order() -> None:
    parts = by_devices(reports("abacbdcae"), 2)
    names = [[report.receipt for report in part] for part in parts]
    assert names == [["a0", "b1", "a2", "b4", "a7"], ["c3", "d5", "c6"], ["e8"]]
    assert by_devices([], 2) == []


def test_reports_are_sent_before_those_of_further_devices_are_prepared(flow: Flow) -> None:
    queues = LargeAnswers(60, flow.clock)
    queues.create("c1")
    flow.use_queues(queues)
    flow.parts = replace(flow.parts, queues=queues)
    flow.forwarder = Forwarder(flow.parts, flow.executor)
    sent: list[int] = []
    flow.broker.on_publish = sent.append
    backlog(flow, 2 * DEVICES_A_PART + 3)

    flow.wake()
    flow.forward()

    assert sent == [DEVICES_A_PART, DEVICES_A_PART, 3]


def test_deletes_make_room_and_are_noticed_when_they_end(flow: Flow) -> None:
    # Given: a drain that holds all it may hold
    state, deleted = DrainState(), threading.Event()
    receiver = ReportReceiver(flow.parts, "c1", [], state, lambda: None)
    settler = ReportSettler(flow.parts, "c1", state, lambda: None, deleted.set)
    held = reports("a" * HELD_REPORTS)
    state.hold(held)
    assert receiver.lacks_room

    # When: the broker has confirmed some of them
    settler.settle(flow.state(), {report.receipt: (DELIVERED, None) for report in held[: 4 * BATCH]})

    # Then
    assert deleted.wait(PATIENCE)
    settler.finish()
    assert not receiver.lacks_room
