"""ULIDs: the ids of connections, events and failed messages, which sort by time."""

import hashlib
import re

from ulid import ULID

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_LATEST = 2**48 - 1


def new_id(now: float) -> str:
    """Return a new ULID for the time ``now``, in Unix seconds."""
    return str(ULID.from_timestamp(float(now)))


def id_of(moment: float, *names: str) -> str:
    """Return the ULID of ``names`` at ``moment`` (Unix seconds): the same in every process."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return str(ULID.from_bytes(_milliseconds(moment).to_bytes(6, "big") + digest[:10]))


def is_id(text: str) -> bool:
    """Return whether ``text`` is a ULID in upper case."""
    return _ULID.fullmatch(text) is not None


def first_id(moment: float) -> str:
    """Return the smallest ULID of ``moment`` (Unix seconds) or later."""
    return str(ULID.from_bytes(_milliseconds(moment).to_bytes(6, "big") + bytes(10)))


def last_id(moment: float) -> str:
    """Return the greatest ULID of ``moment`` (Unix seconds) or earlier."""
    return str(ULID.from_bytes(_milliseconds(moment).to_bytes(6, "big") + b"\xff" * 10))


def _milliseconds(moment: float) -> int:
    return min(max(int(moment * 1000), 0), _LATEST)
