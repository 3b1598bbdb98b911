"""Active devices of one minute, in the item of the minute's counters.

A drain writes its devices with the update of its counters, which then costs nothing more. The set bounds the item to
one write unit; further devices of the minute go to the hour's sketch, which is written at most once a minute.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from threading import Lock
from typing import Any

from chalicelib.kernel.theta_sketch import HASH_BYTES, Sketch, device_hash

ATTRIBUTE = "devices"
MOST = 64
"""Devices of a minute's set, 5 bytes each. Functions that write at the same time may exceed it."""
_MOST_CONNECTIONS = 256


class MinuteDevices:
    """The devices that this process knows to be in the sets of the current minute. Thread-safe."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, set[bytes]]] = OrderedDict()
        self._lock = Lock()

    def choose(self, partition: str, minute: int, devices: Collection[str]) -> tuple[set[bytes], list[str]]:
        """Return the hashes to add to the minute's set, and the devices that belong into the sketch.

        Devices that the set is known to have are in neither.
        """
        known = self._of(partition, minute)
        new = {hash_: device for device in devices if (hash_ := hash_of(device)) not in known}
        if len(known) + len(new) > MOST:
            return set(), list(new.values())
        return set(new), []

    def note(self, partition: str, minute: int, stored: Iterable[bytes]) -> None:
        """Remember that the minute's set has these hashes."""
        known = self._of(partition, minute)
        with self._lock:
            known.update(stored)

    def _of(self, partition: str, minute: int) -> set[bytes]:
        with self._lock:
            found = self._known.get(partition)
            if found is None or found[0] != minute:
                found = self._known[partition] = (minute, set())
            self._known.move_to_end(partition)
            if len(self._known) > _MOST_CONNECTIONS:
                self._known.popitem(last=False)
            return found[1]


def sketch_of(item: Mapping[str, Any]) -> Sketch:
    """Return the devices of a minute's item as a sketch. Raises TypeError if the attribute is no set of bytes."""
    hashes = item[ATTRIBUTE]
    if not isinstance(hashes, frozenset):
        raise TypeError(f"the attribute {ATTRIBUTE} is no set")
    return Sketch(dict.fromkeys(map(int.from_bytes, hashes), 0))


def hash_of(device: str) -> bytes:
    """Return the device's hash as it is in a set."""
    return device_hash(device).to_bytes(HASH_BYTES)
