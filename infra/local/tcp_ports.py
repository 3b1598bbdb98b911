"""Ports that nobody listens on."""

import random
import socket

PORTS = range(20000, 32000)
"""Below those that systems give to outgoing connections, which could take a port before its server is up."""


def free_ports(count: int) -> list[int]:
    """Distinct free ports of 127.0.0.1. Chosen at random, so that processes that ask at the same time get others."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        if _is_free(port):
            found.append(port)
    return found


def free_range(length: int) -> int:
    """The first of so many free ports in a row, for a stack: random, too."""
    starts = range(PORTS.start, PORTS.stop - length, length)
    for start in random.sample(starts, len(starts)):
        if all(_is_free(port) for port in range(start, start + length)):
            return start
    raise OSError(f"no {length} free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
