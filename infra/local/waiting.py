"""Waiting for a condition, with a deadline."""

import socket
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], seconds: float, step: float = 0.05) -> bool:
    """Checks a condition every ``step`` seconds. False when it did not hold within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


def accepts(port: int) -> bool:
    """True if a port of 127.0.0.1 accepts connections."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
