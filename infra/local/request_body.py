"""Bodies of HTTP/1.1 requests, sent with a length or in chunks, up to the limit of API Gateway."""

import re
from collections.abc import Mapping
from typing import BinaryIO

MAX_BYTES = 10 * 1024 * 1024
"""Source: "Quotas for REST APIs in API Gateway", payload size."""
_MAX_LINE = 4096
_MAX_TRAILERS = 100
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")


class BodyRefused(Exception):
    """The body cannot be read. The rest of the connection's data has no known meaning, so it must be closed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read_body(headers: Mapping[str, str], source: BinaryIO) -> bytes:
    """Reads the whole body of a request. Raises BodyRefused."""
    coding = headers.get("Transfer-Encoding")
    if coding is not None:
        if coding.strip().lower() != "chunked":
            raise BodyRefused(501, f"Transfer-Encoding {coding!r} is not supported. Use chunked.")
        return _read_chunks(source)
    length = headers.get("Content-Length", "0").strip()
    if not length.isascii() or not length.isdigit():
        raise BodyRefused(400, f"Content-Length {length!r} is not a number.")
    return _read(source, _bounded(int(length)))


def _read_chunks(source: BinaryIO) -> bytes:
    body = bytearray()
    while True:
        size = _CHUNK_SIZE.fullmatch(_line(source).partition(b";")[0].strip())
        if size is None:
            raise BodyRefused(400, "A chunk does not begin with its size.")
        length = int(size[0], 16)
        if length == 0:
            break
        _bounded(len(body) + length)
        body += _read(source, length)
        if _line(source):
            raise BodyRefused(400, "A chunk is longer than its size.")
    for _ in range(_MAX_TRAILERS):
        if not _line(source):
            return bytes(body)
    raise BodyRefused(400, f"The body has more than {_MAX_TRAILERS} trailers.")


def _bounded(length: int) -> int:
    if length > MAX_BYTES:
        raise BodyRefused(413, "Request Too Long")
    return length


def _line(source: BinaryIO) -> bytes:
    line = source.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise BodyRefused(400, "The body ends within a line, or the line is too long.")
    return line.rstrip(b"\r\n")


def _read(source: BinaryIO, length: int) -> bytes:
    data = source.read(length)
    if len(data) < length:
        raise BodyRefused(400, f"The body ends after {len(data)} of {length} bytes.")
    return data
