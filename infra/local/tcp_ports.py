"""Free TCP ports of 127.0.0.1."""

import random
import socket

PORTS = range(20000, 32000)
"""Below the range of outgoing connections, which could otherwise take a port before its server starts."""


def free_ports(count: int) -> list[int]:
    """Distinct free ports, chosen at random so that concurrent processes rarely get the same ones."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        if _is_free(port):
            found.append(port)
    return found


def free_range(length: int) -> int:
    """The first of ``length`` consecutive free ports, chosen at random."""
    starts = range(PORTS.start, PORTS.stop - length, length)
    for start in random.sample(starts, len(starts)):
        if all(_is_free(port) for port in range(start, start + length)):
            return start
    raise OSError(f"No {length} consecutive free ports in {PORTS.start}-{PORTS.stop - 1}.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
