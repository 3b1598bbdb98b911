"""Bodies that are compressed with gzip (RFC 1952), decoded up to a limit."""

import gzip
import io
import zlib

from chalicelib.errors import Malformed, TooLarge

_MAGIC = b"\x1f\x8b"


def is_gzip(body: bytes) -> bool:
    """Return whether ``body`` begins like a gzip stream; no JSON text does."""
    return body.startswith(_MAGIC)


def decoded(body: bytes, limit: int) -> bytes:
    """Return the decoded content of a gzip stream. No more than ``limit`` bytes are decoded, however small the stream.

    Raises TooLarge, or Malformed if the stream is broken.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            content = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error):
        raise Malformed("the body is not a complete gzip stream; compress it again or send it uncompressed") from None
    if len(content) > limit:
        raise TooLarge(f"the body has more than {limit} bytes after decoding; send less at once")
    return content
