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
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found
