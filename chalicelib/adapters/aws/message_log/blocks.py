"""Blocks of the message log: the entries of one write, compressed.

A block is a version byte and deflated JSON: ``[base, entries, texts]``. An entry is a list of the device, the
reference, the step, and the milliseconds of acceptance and step relative to ``base``, followed by attempts, frame
counter, the indexes of routing key, reason, detail and type in ``texts``, the failed message's id and the direction;
empty values at its end are missing. In a routing key, the device is one character. A single uplink takes about 45
bytes, one of ten 30.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from chalicelib.domain.failed_message import Direction
from chalicelib.domain.messages.entries import MAX_DETAIL, LogEntry, Step

MAX_ENTRIES = 200
"""Entries of a block: at most 300 KB if no two share a routing key or a detail, because an item has 400 KB at most."""
_VERSION = b"\x01"
_DEVICE = "\ue000"
"""Stands for the device in a routing key. A routing key with this character is stored as it is, in a list."""
_DICTIONARY = (
    b'["DevEUI_uplink","DevEUI_notification","DevEUI_location","DevEUI_downlink_Sent","DevEUI_downlink_Rejected","BS_alarm"]'
    b'["CONNECTION_REFUSED","CONNECTION_LOST","CONNECTION_TIMEOUT","DNS_FAILURE","TLS_FAILURE","LOGIN_REFUSED",'
    b'"CONFIRM_TIMEOUT","BROKER_BLOCKED","EXCHANGE_MISSING","PERMISSION_REFUSED","NACKED","EXPIRED","UNROUTABLE",'
    b'"PATTERN_UNRESOLVED"]Cannot connect to : connection refused. Check the port and that the broker is running.'
    b"No queue is bound to the exchange for this routing key (). Bind a queue, then replay."
    b'[1764000000000,[["70B3D5E75E012345","89abcdef0123","delivered",-200,0,1,1000,0]],["amqp.things.'
    + _DEVICE.encode()
    + b'.uplink"]]'
)
"""Initial dictionary of the compression. A change of it needs a new version byte."""


def encode(entries: Sequence[LogEntry]) -> bytes:
    """Return the block of at most ``MAX_ENTRIES`` entries."""
    base = round(max(entry.time for entry in entries) * 1000)
    texts: dict[Any, int] = {}

    def index(text: str | None, device: str | None = None) -> int | None:
        if text is None:
            return None
        if _DEVICE in text:
            return texts.setdefault((text,), len(texts))
        return texts.setdefault(text.replace(device, _DEVICE) if device else text, len(texts))

    rows = [_trimmed(_row(entry, base, index)) for entry in entries]
    document = [base, rows, [list(text) if isinstance(text, tuple) else text for text in texts]]
    raw = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    return _VERSION + compressor.compress(raw) + compressor.flush()


def _row(entry: LogEntry, base: int, index: Any) -> list[Any]:
    return [
        entry.dev_eui,
        entry.reference,
        entry.step.value,
        round(entry.accepted_at * 1000) - base,
        round(entry.time * 1000) - base,
        entry.attempts,
        entry.frame_counter,
        index(entry.routing_key, entry.dev_eui),
        index(entry.reason),
        index(entry.detail and entry.detail[:MAX_DETAIL]),
        index(entry.type),
        entry.failed_id,
        None if entry.direction is Direction.UPLINK else entry.direction.value,
    ]


def _trimmed(row: list[Any]) -> list[Any]:
    while row[-1] is None:
        row.pop()
    return row


def decode(block: bytes, device: str | None = None) -> Iterator[LogEntry]:
    """Yield the entries of a block, those of one device if ``device`` is given.

    Entries with a step that only another release knows are left out. Raises ValueError for a block that this release
    cannot read.
    """
    if block[:1] != _VERSION:
        raise ValueError(f"unknown version {block[:1]!r} of a block")
    try:
        raw = zlib.decompressobj(-15, _DICTIONARY).decompress(block[1:])
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if device is not None and device.encode() not in raw:
        return
    base, rows, texts = json.loads(raw)
    for row in rows:
        if (device is None or row[0] == device) and row[2] in set(Step):
            yield _entry(base, row + [None] * (13 - len(row)), texts)


def _entry(base: int, row: list[Any], texts: list[Any]) -> LogEntry:
    def text(index: int | None, device: str | None = None) -> str | None:
        if index is None:
            return None
        stored = texts[index]
        if isinstance(stored, list):
            return str(stored[0])
        return str(stored).replace(_DEVICE, device) if device else str(stored)

    return LogEntry(
        dev_eui=row[0],
        reference=row[1],
        step=Step(row[2]),
        accepted_at=(base + row[3]) / 1000,
        time=(base + row[4]) / 1000,
        attempts=row[5] or 0,
        frame_counter=row[6],
        routing_key=text(row[7], row[0]),
        reason=text(row[8]),
        detail=text(row[9]),
        type=text(row[10]),
        failed_id=row[11],
        direction=Direction(row[12] or Direction.UPLINK),
    )
