"""Connections that are broken in four ways, created over the API."""

from functools import partial
from typing import Any

from tests.e2e.client import Stack, eventually

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "Login refused": ("AUTHENTICATION_FAILED", {"password": "wrong"}),
    "Connection refused": ("UNREACHABLE", {"hostName": "localhost:9"}),
    "Host not found": ("UNREACHABLE", {"hostName": "broker.invalid"}),
    "Virtual host refused": ("CLOSED", {"virtualHost": "missing"}),
}
"""Four ways to break a connection: the name on the page, the state, and the settings."""


def break_some(stack: Stack, of_each: int) -> list[str]:
    """Create connections that break in each way, wait for their states and return their ids."""
    made = [
        (stack.connect(f"Broken {name} {number}", stack.configuration(downlinkEnabled=False, **changes))["id"], state)
        for name, (state, changes) in WAYS.items()
        for number in range(of_each)
    ]
    for connection_id, state in made:
        eventually(partial(_has, stack, connection_id, state), f"a connection is {state}")
    return [connection_id for connection_id, _ in made]


def _has(stack: Stack, connection_id: str, state: str) -> bool:
    return stack.state(connection_id) == state
