"""A mergeable sketch that counts the distinct devices of one hour.

The sketch keeps the K smallest of the devices' 40-bit hashes, each with the last minute in which the device was seen (k
minimum values; a "theta sketch" in Apache DataSketches). Up to K devices it is the set itself, so the count is exact
except for hash collisions (one chance in 20,000 with K devices). Beyond, the share of the hash range that K hashes fill
gives the count, with a standard error of 1/sqrt(K): one percent. The kept hashes are an unbiased sample of devices, so
the devices of a part of the hour can be counted, too.
"""

import hashlib
from collections.abc import Iterable, Mapping

K = 10_000
"""Number of hashes that a sketch keeps."""
HASH_BYTES = 5
"""Bytes of a device's hash."""
_RANGE = 1 << 8 * HASH_BYTES
_BOUND_BYTES = HASH_BYTES + 1
"""Bytes of the bound; the end of the range needs one bit more than a hash."""
_ENTRY_BYTES = HASH_BYTES + 1


def device_hash(dev_eui: str) -> int:
    """Return the 40-bit hash of a device; hashes are distributed uniformly."""
    return int.from_bytes(hashlib.blake2b(dev_eui.encode(), digest_size=HASH_BYTES).digest())


class Sketch:
    """The distinct devices of one hour. It keeps all added hashes below its bound, about ``size`` at most.

    Each entry maps a hash to the last minute, 0 to 59, in which the device was seen.
    """

    def __init__(self, entries: Mapping[int, int] | None = None, bound: int = _RANGE, size: int = K) -> None:
        self._entries = dict(entries or {})
        self._bound = bound
        self._size = size

    def __len__(self) -> int:
        """Return the number of kept hashes."""
        return len(self._entries)

    def covers(self, hash_: int) -> bool:
        """Return whether the sketch has every added device with such a hash; else it keeps none."""
        return hash_ < self._bound

    def minute_of(self, hash_: int) -> int | None:
        """Return the last minute, 0 to 59, in which a device was seen; None if the sketch does not have it."""
        return self._entries.get(hash_)

    def would_add(self, hash_: int, minute: int) -> bool:
        """Return whether adding a device would change the sketch."""
        return hash_ < self._bound and self._entries.get(hash_, -1) < minute

    def add(self, hash_: int, minute: int) -> bool:
        """Add a device; return whether the sketch changed."""
        if not self.would_add(hash_, minute):
            return False
        self._entries[hash_] = minute
        # Sorting is expensive, so the sketch is trimmed only when it is an eighth too large.
        if len(self._entries) > self._size + self._size // 8:
            self._trim()
        return True

    def merge(self, other: "Sketch") -> bool:
        """Merge another sketch; return whether this one changed."""
        lower = other._bound < self._bound  # noqa: SLF001  # of the same class
        self._bound = min(self._bound, other._bound)  # noqa: SLF001
        added = [self.add(hash_, minute) for hash_, minute in other._entries.items()]  # noqa: SLF001
        self._trim()
        return lower or any(added)

    def _trim(self) -> None:
        kept = sorted(hash_ for hash_ in self._entries if hash_ < self._bound)
        if len(kept) > self._size:
            # The estimate needs all hashes below the bound and none from the bound on.
            self._bound = kept[self._size]
            kept = kept[: self._size]
        if len(kept) < len(self._entries):
            self._entries = {hash_: self._entries[hash_] for hash_ in kept}

    def to_bytes(self) -> bytes:
        """Return the bound (6 bytes) and the entries, each a hash (5 bytes) and a minute (1 byte), big endian."""
        self._trim()
        entries = [(hash_ << 8 | minute).to_bytes(_ENTRY_BYTES) for hash_, minute in self._entries.items()]
        return self._bound.to_bytes(_BOUND_BYTES) + b"".join(entries)

    @classmethod
    def from_bytes(cls, data: bytes, size: int = K) -> "Sketch":
        """Return the sketch that ``to_bytes`` wrote."""
        entries = {}
        for start in range(_BOUND_BYTES, len(data), _ENTRY_BYTES):
            entry = int.from_bytes(data[start : start + _ENTRY_BYTES])
            entries[entry >> 8] = entry & 0xFF
        return cls(entries, int.from_bytes(data[:_BOUND_BYTES]), size)

    @staticmethod
    def count(sketches: Iterable[tuple["Sketch", int]]) -> int:
        """Return the number of distinct devices of several hours; each sketch has the first minute that counts."""
        seen: set[int] = set()
        bound = _RANGE
        for sketch, first_minute in sketches:
            bound = min(bound, sketch._bound)  # noqa: SLF001
            seen.update(hash_ for hash_, minute in sketch._entries.items() if minute >= first_minute)  # noqa: SLF001
        return round(sum(hash_ < bound for hash_ in seen) * _RANGE / bound)
