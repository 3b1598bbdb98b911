"""Frames of a broker, read so that no broker and no message can exhaust the memory or end a connection by a header.

pika buffers a frame of any announced size, keeps a body of any size and decodes all headers of a message, where one
value that Python cannot represent ends the connection. The frames of a publish are encoded here, too, because pika
needs four times as long for them.
"""

import struct
from contextlib import suppress
from functools import lru_cache
from typing import Any, cast

from pika import SelectConnection, spec
from pika.channel import ContentFrameAssembler
from pika.data import encode_value
from pika.exceptions import BodyTooLongError, InvalidFrameError, ShortStringTooLong, UnexpectedFrameError
from pika.frame import Body, Header, decode_frame

from chalicelib.domain.amqp_limits import MAX_SHORT_STRING
from chalicelib.ports.publishing import FIXED_PROPERTIES, OutgoingMessage

_HEADER = struct.Struct(">BHI")
_CONTENT = struct.Struct(">HHQ")
_BASIC = 60
_OVERHEAD = spec.FRAME_HEADER_SIZE + spec.FRAME_END_SIZE
_FIXED = {"delivery_mode": 1, "priority": 1, "timestamp": 8}
_ORDER = (
    "content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to",
    "expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id",
)  # fmt: skip
"""The properties in the order of their flags, the highest bit first, and of their values."""
_PUBLISH = struct.pack(">HHH", _BASIC, 40, 0)
_END = bytes([spec.FRAME_END])
_MANDATORY_END = b"\x01" + _END
_CONTENT_FRAME = struct.Struct(">BHIHHQH")
"""Header of a content header's frame, and its fields before the properties: class, weight, size of the body, flags."""
_SIZE = struct.Struct(">I")
_TIMESTAMP = struct.Struct(">Q")
_TEXT = struct.Struct(">cI")
_INT = struct.Struct(">ci")
_INT_LIMIT = 2**31


class BoundedConnection(SelectConnection):
    """A connection that refuses frames above the negotiated size and reads content headers tolerantly."""

    def _on_data_available(self, data_in: bytes) -> None:
        """Process the complete frames of the buffer. Raises InvalidFrameError, which ends the connection."""
        own = cast("Any", self)  # the stubs have no private attributes
        buffer: bytes = own._frame_buffer + data_in  # noqa: SLF001
        offset = 0
        while (read := _read_frame(buffer, offset, own.params.frame_max)) is not None:
            end, frame = read
            own.bytes_received += end - offset
            offset = end
            own._process_frame(frame)  # noqa: SLF001
        # Once for all frames: pika copies the rest of the buffer after each of them.
        own._frame_buffer = buffer[offset:]  # noqa: SLF001


class BoundedAssembler(ContentFrameAssembler):
    """Assembles messages and keeps no body above ``kept`` bytes; such a message gets a substitute of one byte more.

    ``largest``: the largest body in bytes that an honest broker announces. A larger one ends the connection.
    """

    def __init__(self, kept: int, largest: int) -> None:
        super().__init__()
        self._kept = kept
        self._largest = largest
        # Shared by all messages, so that a burst of large ones takes no memory.
        self._substitute = bytes(kept + 1)

    def process(self, frame_value: Any) -> Any:
        if isinstance(frame_value, Header) and frame_value.body_size > self._largest:
            raise BodyTooLongError(frame_value.body_size, self._largest)
        return super().process(frame_value)

    def _handle_body_frame(self, body_frame: Body) -> Any:
        own = cast("Any", self)
        if own._header_frame is None:  # noqa: SLF001
            raise UnexpectedFrameError(body_frame)
        size = own._header_frame.body_size  # noqa: SLF001
        if size <= self._kept:
            return cast("Any", super())._handle_body_frame(body_frame)  # noqa: SLF001
        own._seen_so_far += len(body_frame.fragment)  # noqa: SLF001
        if own._seen_so_far > size:  # noqa: SLF001
            raise BodyTooLongError(own._seen_so_far, size)  # noqa: SLF001
        if own._seen_so_far < size:  # noqa: SLF001
            return None
        own._body_fragments = [self._substitute]  # noqa: SLF001
        return own._finish()  # noqa: SLF001


def _read_frame(buffer: bytes, offset: int, largest: int) -> tuple[int, Any] | None:
    """Return the end of the frame at ``offset`` and the frame, or None while it is incomplete."""
    if buffer.startswith(b"AMQP", offset):
        size, frame = decode_frame(buffer[offset : offset + 8])
        return (offset + size, frame) if frame is not None else None
    if len(buffer) - offset < _HEADER.size:
        return None
    kind, channel, size = _HEADER.unpack_from(buffer, offset)
    if size + _OVERHEAD > largest:
        raise InvalidFrameError(f"a frame of {size} bytes, but {largest} were agreed")
    end = offset + size + _OVERHEAD
    if end > len(buffer):
        return None
    if kind != spec.FRAME_HEADER or buffer[end - 1] != spec.FRAME_END:
        return end, decode_frame(buffer[offset:end])[1]
    return end, _content_header(channel, buffer[offset + spec.FRAME_HEADER_SIZE : end - 1])


def _content_header(channel: int, payload: bytes) -> Header:
    if len(payload) < _CONTENT.size:
        raise InvalidFrameError(f"a content header of {len(payload)} bytes")
    class_id, _weight, body_size = _CONTENT.unpack_from(payload)
    if class_id != _BASIC:
        raise InvalidFrameError(f"a content header of class {class_id}")
    return Header(channel, body_size, readable_properties(payload[_CONTENT.size :]))


def readable_properties(encoded: bytes) -> spec.BasicProperties:
    """Return the texts among a message's properties. The table of headers is skipped, because nothing here reads it.

    Properties that cannot be read are absent: they are the fault of a message, whose body and key may be valid.
    """
    properties = spec.BasicProperties()
    with suppress(struct.error, IndexError, ValueError):
        (flags,) = struct.unpack_from(">H", encoded)
        offset = 2
        more = flags & 1
        while more:  # reserved for further properties
            (word,) = struct.unpack_from(">H", encoded, offset)
            offset, more = offset + 2, word & 1
        for bit, name in enumerate(_ORDER):
            if not flags & 0x8000 >> bit:
                continue
            if name == "headers":
                offset += 4 + struct.unpack_from(">I", encoded, offset)[0]
            elif name in _FIXED:
                offset += _FIXED[name]
            else:
                end = offset + 1 + encoded[offset]
                if end > len(encoded):
                    raise ValueError(name)
                setattr(properties, name, encoded[offset + 1 : end].decode("utf-8", "replace"))
                offset = end
    return properties


class PublishEncoder:
    """Encodes the frames of mandatory ``basic.publish`` messages to one exchange, byte for byte as pika does.

    ``frame_max``: the negotiated size of a frame in bytes. What all messages share is encoded once.
    """

    def __init__(self, channel: int, exchange: str, frame_max: int) -> None:
        self._channel = channel
        self._largest = frame_max - _OVERHEAD
        self._method = _PUBLISH + _short(exchange)

    def encode(self, message: OutgoingMessage) -> bytes:
        """Return the method, header and body frames of a message.

        Raises UnicodeError, struct.error, ShortStringTooLong, UnsupportedAMQPFieldException."""
        channel, body, timestamp = self._channel, message.body, message.timestamp
        key, name, kind = _short(message.routing_key), _short(message.message_id), _short(message.type)
        table = b"".join([_name(header) + _value(value) for header, value in message.headers.items()])
        flags, moment = (_FLAGS, b"") if timestamp is None else (_FLAGS | _TIMESTAMP_FLAG, _TIMESTAMP.pack(timestamp))
        properties = len(table) + len(name) + len(moment) + len(kind) + _FIXED_SIZE
        frames = [
            _HEADER.pack(spec.FRAME_METHOD, channel, len(self._method) + len(key) + 1), self._method, key,
            _MANDATORY_END,
            _CONTENT_FRAME.pack(spec.FRAME_HEADER, channel, properties, _BASIC, 0, len(body), flags), _CONTENT_KIND,
            _SIZE.pack(len(table)), table, _DELIVERY_MODE, name, moment, kind, _APP_ID_END,
        ]  # fmt: skip
        for begin in range(0, len(body), self._largest):
            part = body[begin : begin + self._largest]
            frames += (_HEADER.pack(spec.FRAME_BODY, channel, len(part)), part, _END)
        return b"".join(frames)


def _short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > MAX_SHORT_STRING:
        raise ShortStringTooLong(encoded)
    return b"%c%b" % (len(encoded), encoded)


_name = lru_cache(maxsize=64)(_short)
"""Names of headers are few, and the same in all messages."""


def _value(value: str | int) -> bytes:
    if type(value) is str:
        encoded = value.encode()
        return _TEXT.pack(b"S", len(encoded)) + encoded
    if type(value) is int and -_INT_LIMIT <= value < _INT_LIMIT:
        return _INT.pack(b"I", value)
    pieces: list[bytes] = []
    encode_value(pieces, value)
    return b"".join(pieces)


def _flag(name: str) -> int:
    return 0x8000 >> _ORDER.index(name)


_CONTENT_KIND = _short(FIXED_PROPERTIES["content_type"]) + _short(FIXED_PROPERTIES["content_encoding"])
_DELIVERY_MODE = bytes([FIXED_PROPERTIES["delivery_mode"]])
_APP_ID_END = _short(FIXED_PROPERTIES["app_id"]) + _END
_FIXED_SIZE = _CONTENT.size + 2 + len(_CONTENT_KIND) + _SIZE.size + len(_DELIVERY_MODE) + len(_APP_ID_END) - len(_END)
"""Size of what all content headers contain: the fields before the properties, and the properties that are the same."""
_FLAGS = sum(_flag(name) for name in (*FIXED_PROPERTIES, "headers", "message_id", "type"))
_TIMESTAMP_FLAG = _flag("timestamp")
