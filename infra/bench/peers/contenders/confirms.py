"""Confirms of a channel: which delivery tags are settled, from acks of single messages and of many at once."""

import struct
from collections.abc import Iterator

_HEADER = struct.Struct(">BHI")
_METHOD = struct.Struct(">HH")
_TAG = struct.Struct(">QB")
_OVERHEAD = 8
_METHOD_FRAME = 1
ACK, NACK, RETURN, DELIVER, CONSUMING = (60, 80), (60, 120), (60, 50), (60, 60), (60, 21)


class Confirms:
    """The delivery tags of a channel. All tags up to ``settled`` are settled."""

    def __init__(self) -> None:
        self.settled = 0
        self._above: set[int] = set()

    def add(self, tag: int, multiple: object) -> None:
        if multiple:
            self.settled = max(self.settled, tag)
        else:
            self._above.add(tag)
        while self.settled + 1 in self._above:
            self.settled += 1
            self._above.discard(self.settled)


class Frames:
    """The frames of one direction of a connection, from pieces of any size."""

    def __init__(self) -> None:
        self._buffer = b""

    def methods(self, data: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
        """Yield class and method numbers of each complete method frame, and its payload."""
        buffer, offset = self._buffer + data, 0
        while len(buffer) - offset >= _OVERHEAD:
            kind, _, size = _HEADER.unpack_from(buffer, offset)
            end = offset + size + _OVERHEAD
            if end > len(buffer):
                break
            if kind == _METHOD_FRAME:
                payload = buffer[offset + _HEADER.size : end - 1]
                yield _METHOD.unpack_from(payload), payload[_METHOD.size :]
            offset = end
        self._buffer = buffer[offset:]


def acknowledged(arguments: bytes) -> tuple[int, int]:
    """Return the delivery tag of an ack or a nack, and whether it settles all earlier ones."""
    tag, multiple = _TAG.unpack_from(arguments)
    return tag, multiple & 1
