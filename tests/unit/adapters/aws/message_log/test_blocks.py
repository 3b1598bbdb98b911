"""Blocks of the message log: read as they were written, small, and tolerant of other releases."""

import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.adapters.aws.message_log.blocks import _DEVICE, _DICTIONARY, _VERSION, MAX_ENTRIES, decode, encode
from chalicelib.domain.failed_message import Direction
from chalicelib.domain.messages.entries import MAX_DETAIL, LogEntry, Step

NOW = 1_764_000_000.25
DEVICE = "70B3D5E75E000001"
READABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error)
"""What a reader of stored items skips."""
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TIMES = st.integers(1_600_000_000_000, 1_900_000_000_000).map(lambda milliseconds: milliseconds / 1000)
DEVICES = st.sampled_from([None, DEVICE, "70B3D5E75E000002", "0000000000000000"])
KEYS = st.one_of(st.none(), TEXT, DEVICES.map(lambda device: f"up.{device}.x"), TEXT.map(lambda text: text + _DEVICE))
ENTRIES = st.builds(
    LogEntry,
    reference=st.from_regex("[0-9a-f]{12}", fullmatch=True),
    step=st.sampled_from(Step),
    time=TIMES,
    accepted_at=TIMES,
    direction=st.sampled_from(Direction),
    dev_eui=DEVICES,
    frame_counter=st.none() | st.integers(0, 1 << 32),
    attempts=st.integers(0, 1000),
    type=st.none() | TEXT,
    routing_key=KEYS,
    reason=st.none() | TEXT,
    detail=KEYS,
    failed_id=st.none() | TEXT,
)


def uplink(number: int) -> LogEntry:
    device = f"70B3D5E75E{number:06X}"
    return LogEntry(
        reference=f"{random.Random(number).randrange(1 << 48):012x}",  # noqa: S311  # no secret
        step=Step.DELIVERED,
        time=NOW,
        accepted_at=NOW - 0.2 - number / 100,
        dev_eui=device,
        frame_counter=1000 + 37 * number,
        attempts=1,
        type="DevEUI_uplink",
        routing_key=f"things.{device}.uplink",
    )


def block_of(document: Any, version: bytes = _VERSION) -> bytes:
    """Return a block with any content."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    return version + compressor.compress(json.dumps(document).encode()) + compressor.flush()


@given(st.lists(ENTRIES, min_size=1, max_size=20))
def test_entries_are_read_as_they_were_written(entries: list[LogEntry]) -> None:
    block = encode(entries)
    assert list(decode(block)) == entries
    for device in {entry.dev_eui for entry in entries} - {None}:
        assert list(decode(block, device)) == [entry for entry in entries if entry.dev_eui == device]
    assert list(decode(block, "FFFFFFFFFFFFFFFF")) == []


def test_texts_that_utf8_cannot_express_lose_only_these_characters() -> None:
    [read] = decode(encode([LogEntry("0" * 12, Step.FAILED, NOW, NOW, reason="a\ud800b")]))
    assert read.reason == "a?b"


def test_long_detail_is_shortened() -> None:
    [read] = decode(encode([LogEntry("0" * 12, Step.FAILED, NOW, NOW, detail="x" * (MAX_DETAIL + 1))]))
    assert read.detail == "x" * MAX_DETAIL


def test_uplink_takes_few_bytes() -> None:
    assert len(encode([uplink(1)])) <= 55
    assert len(encode([uplink(number) for number in range(10)])) / 10 <= 36


def test_largest_block_fits_into_an_item() -> None:
    # Given: the longest texts, which have nothing in common
    chance = random.Random(1)  # noqa: S311  # no secret

    def text(characters: int, most: int) -> str:
        return "".join(chr(chance.randrange(0x10000, most)) for _ in range(characters))

    entries = [
        LogEntry(
            reference=f"{chance.randrange(1 << 48):012x}",
            step=Step.FAILED,
            time=NOW,
            accepted_at=NOW - chance.random() * 86400,
            dev_eui=f"{chance.randrange(1 << 64):016X}",
            frame_counter=chance.randrange(1 << 32),
            attempts=chance.randrange(100),
            type="DevEUI_uplink",
            # 255 bytes of UTF-8
            routing_key=text(63, 0x10FFFF),
            reason="PATTERN_UNRESOLVED",
            detail=text(MAX_DETAIL, 0x10FFFF),
            failed_id=f"{chance.randrange(1 << 128):026X}"[:26],
        )
        for _ in range(MAX_ENTRIES)
    ]
    # Then: DynamoDB accepts 400 KB
    block = encode(entries)
    assert len(block) < 380_000
    assert len(list(decode(block))) == MAX_ENTRIES


def test_block_of_a_later_release_is_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        list(decode(b"\x02" + encode([uplink(1)])[1:]))
    with pytest.raises(ValueError, match="version"):
        list(decode(b""))


def test_later_fields_and_steps_are_ignored() -> None:
    row = [DEVICE, "0" * 12, "delivered", -5, 0, 1, 7, 0, None, None, None, None, None, "later", {"more": 1}]
    unknown = [DEVICE, "1" * 12, "decoded", -5, 0]
    read = list(decode(block_of([1_764_000_000_250, [row, unknown], ["up"]])))
    assert [(entry.step, entry.routing_key, entry.frame_counter) for entry in read] == [(Step.DELIVERED, "up", 7)]


def test_entries_without_later_fields_are_read() -> None:
    [read] = decode(block_of([1_764_000_000_250, [[None, "0" * 12, "waiting", -5, 0]], []]))
    assert read == LogEntry("0" * 12, Step.WAITING, NOW, NOW - 0.005)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for block in (content, _VERSION + content):
        try:
            list(decode(block))
        except READABLE:
            continue


@given(st.lists(ENTRIES, min_size=1, max_size=3), st.data())
def test_damaged_block_is_read_or_refused(entries: list[LogEntry], data: st.DataObject) -> None:
    block = encode(entries)
    cut = data.draw(st.integers(0, len(block) - 1))
    place, other = data.draw(st.integers(0, len(block) - 1)), data.draw(st.integers(0, 255))
    for damaged in (block[:cut], block[:place] + bytes([other]) + block[place + 1 :]):
        try:
            list(decode(damaged))
        except READABLE:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(JSON)
def test_any_document_is_read_or_refused(document: Any) -> None:
    try:
        list(decode(block_of(document)))
    except READABLE:
        return
