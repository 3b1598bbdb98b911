"""Limit of a publisher's unconfirmed bytes."""

import pytest

from chalicelib.adapters.amqp.batch import WIDE_WINDOW_BYTES, WINDOW_BYTES, Batch, SendWindow
from chalicelib.ports.publishing import OutgoingMessage

CONFIRM_SECONDS = 1.0
QUICK, SLOW = 0.12, 0.51


def window(quick_confirms: int) -> SendWindow:
    made = SendWindow(CONFIRM_SECONDS)
    for _ in range(quick_confirms):
        made.confirmed(made.bytes, QUICK)
    return made


def test_full_windows_that_are_confirmed_quickly_grow_the_limit_up_to_its_maximum() -> None:
    assert [window(number).bytes for number in range(4)] == [
        WINDOW_BYTES,
        2 * WINDOW_BYTES,
        WIDE_WINDOW_BYTES,
        WIDE_WINDOW_BYTES,
    ]
    assert [window(number).is_wide for number in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("share", "seconds"),
    [(0.4, QUICK), (1.0, 0.13), (1.0, 0.5)],
    ids=["little in flight", "not quick", "half of the time"],
)
def test_other_confirms_keep_the_limit(share: float, seconds: float) -> None:
    kept = window(1)
    kept.confirmed(int(share * kept.bytes), seconds)
    assert kept.bytes == 2 * WINDOW_BYTES


def test_confirm_that_needs_more_than_half_of_its_time_resets_the_limit() -> None:
    wide = window(2)
    wide.confirmed(1, SLOW)
    assert wide.bytes == WINDOW_BYTES
    assert not wide.is_wide


def test_batch_sends_no_more_than_the_window_and_reports_the_confirms_to_it() -> None:
    """The confirms of this test come at once, so the window of the next batch is wider until one is negative."""
    grown = SendWindow(CONFIRM_SECONDS)
    for limit, ack in ((WINDOW_BYTES, True), (2 * WINDOW_BYTES, False), (WINDOW_BYTES, False), (WINDOW_BYTES, True)):
        batch = Batch(grown)
        batch.add([_message(number) for number in range(60)])
        tags = 0
        while batch.can_send:
            for message in batch.next_turn():
                tags += 1
                batch.sent(tags, message)
        assert limit <= tags * _SIZE < limit + _SIZE
        batch.confirmed(tags, multiple=True, ack=ack)


_SIZE = 100_000


def _message(number: int) -> OutgoingMessage:
    return OutgoingMessage(str(number), str(number), "key", b"x" * _SIZE, str(number), "DevEUI_uplink")
