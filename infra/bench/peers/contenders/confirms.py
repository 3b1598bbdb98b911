"""Confirms of a channel: which delivery tags are settled, from acks of single messages and of many at once."""

import struct
from collections.abc import Iterator

_HEADER = struct.Struct(">BHI")
_METHOD = struct.Struct(">HH")
_TAG = struct.Struct(">QB")
_OVERHEAD = 8
_METHOD_FRAME = 1
Name = tuple[int, int]
ACK, NACK, RETURN, CONSUMING = (60, 80), (60, 120), (60, 50), (60, 21)


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

    def split(self, data: bytes) -> Iterator[bytes]:
        """Yield each complete frame."""
        buffer, offset = self._buffer + data, 0
        while len(buffer) - offset >= _OVERHEAD:
            _, _, size = _HEADER.unpack_from(buffer, offset)
            end = offset + size + _OVERHEAD
            if end > len(buffer):
                break
            yield buffer[offset:end]
            offset = end
        self._buffer = buffer[offset:]

    def methods(self, data: bytes) -> Iterator[tuple[Name, bytes]]:
        """Yield class and method numbers of each complete method frame, and its arguments."""
        for frame in self.split(data):
            name = method_of(frame)
            if name is not None:
                yield name, arguments_of(frame)


def method_of(frame: bytes) -> Name | None:
    """Return class and method numbers of a method frame, None for other frames."""
    return _METHOD.unpack_from(frame, _HEADER.size) if frame[0] == _METHOD_FRAME else None


def arguments_of(frame: bytes) -> bytes:
    """Return the encoded arguments of a method frame."""
    return frame[_HEADER.size + _METHOD.size : -1]


def acknowledged(arguments: bytes) -> tuple[int, int]:
    """Return the delivery tag of an ack or a nack, and whether it settles all earlier ones."""
    tag, multiple = _TAG.unpack_from(arguments)
    return tag, multiple & 1
