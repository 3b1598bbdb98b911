"""Bodies and attributes of the shared queues' messages."""

import pytest

from chalicelib.domain.work_items import (
    Wake,
    WakeReport,
    read_wake,
    replayed_downlink,
    replayed_name,
    report_of_wake,
)

REPORT = WakeReport(device="0018B20000000001", frame_counter=7, type="DevEUI_uplink", accepted_at=1700000000.0)
WAKE = Wake(tenant="t", connection_id="c", message_id="m", report=REPORT.model_dump_json(by_alias=True))


def test_report_of_a_wake_is_read_from_the_attribute() -> None:
    body = WAKE.model_dump_json(by_alias=True)
    assert "0018B20000000001" not in body
    wake = read_wake(body, WAKE.report or "")
    assert wake == WAKE
    assert report_of_wake(WAKE) == REPORT


@pytest.mark.parametrize("attribute", ["", "{}", "not JSON", '{"acceptedAt": "yesterday"}'])
def test_wake_with_an_unreadable_report_is_kept_without_it(attribute: str) -> None:
    wake = read_wake(WAKE.model_dump_json(by_alias=True), attribute)
    assert wake is not None
    assert wake.model_copy(update={"report": WAKE.report}) == WAKE
    assert report_of_wake(wake) is None


@pytest.mark.parametrize("body", ["", "nonsense", "[]", "7", '"text"', "{}", '{"tenant": "t", "connectionId": 7}'])
def test_wake_without_a_readable_connection_is_none(body: str) -> None:
    assert read_wake(body) is None


def test_wake_of_a_later_release_is_kept_for_its_connection() -> None:
    body = '{"tenant": "t", "connectionId": "c", "messageId": {"name": "m"}, "later": 1}'
    assert read_wake(body, WAKE.report or "") == Wake(tenant="t", connection_id="c")


@pytest.mark.parametrize("name", ["0f3a", "n" * 80])
def test_replayed_downlink_keeps_its_name(name: str) -> None:
    deduplication_id = replayed_downlink(name, "a" * 64)
    assert len(deduplication_id) <= 128
    assert replayed_name(deduplication_id) == name


def test_downlink_that_is_no_replay_has_no_such_name() -> None:
    assert replayed_name("b" * 64) == ""
