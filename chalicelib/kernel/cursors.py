"""Opaque cursors of list pages. A cursor is valid only for the list that issued it."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from chalicelib.errors import InvalidRequest, Violation

_CHECK_BYTES = 9


def encode(scope: str, position: str) -> str:
    """Return the cursor of a page. ``scope``: the list, such as a tenant and a connection; ``position``: the last id
    on the page.
    """
    return urlsafe_b64encode(_check(scope, position) + position.encode()).rstrip(b"=").decode()


def decode(scope: str, cursor: str) -> str:
    """Return the position in ``cursor``. Raises InvalidRequest for a cursor of another scope."""
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        check, position = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:].decode()
    except (binascii.Error, UnicodeError):
        check, position = b"", ""
    # The check only detects cursors of other lists. Every query is bound to the caller's tenant, so no signature is
    # needed.
    if check != _check(scope, position) or encode(scope, position) != cursor:
        raise foreign()
    return position


def foreign() -> InvalidRequest:
    """Return the error for a cursor that the list did not issue."""
    return InvalidRequest(
        [Violation("/cursor", "This cursor does not belong to this list. Take it from the Link header, rel=next.")]
    )


def _check(scope: str, position: str) -> bytes:
    return sha256(f"{scope}\n{position}".encode()).digest()[:_CHECK_BYTES]
