"""Bodies and attributes of the shared queues' messages."""

import pytest

from chalicelib.domain.work_items import Wake, WakeReport, read_wake, replayed_downlink, replayed_name

REPORT = WakeReport(device="0018B20000000001", frame_counter=7, type="DevEUI_uplink", accepted_at=1700000000.0)
WAKE = Wake(tenant="t", connection_id="c", message_id="m", report=REPORT)


def test_report_of_a_wake_is_read_from_the_attribute() -> None:
    body = WAKE.model_dump_json(by_alias=True)
    assert "0018B20000000001" not in body
    assert read_wake(body, REPORT.model_dump_json(by_alias=True)) == WAKE


@pytest.mark.parametrize("attribute", ["", "{}", "not JSON", '{"acceptedAt": "yesterday"}'])
def test_wake_with_an_unreadable_report_is_kept_without_it(attribute: str) -> None:
    wake = read_wake(WAKE.model_dump_json(by_alias=True), attribute)
    assert wake == WAKE.model_copy(update={"report": None})


@pytest.mark.parametrize("name", ["0f3a", "n" * 80])
def test_replayed_downlink_keeps_its_name(name: str) -> None:
    deduplication_id = replayed_downlink(name, "a" * 64)
    assert len(deduplication_id) <= 128
    assert replayed_name(deduplication_id) == name


def test_downlink_that_is_no_replay_has_no_such_name() -> None:
    assert replayed_name("b" * 64) == ""
