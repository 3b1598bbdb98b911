"""Ports that nobody listens on."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """Distinct free ports of 127.0.0.1, outside of those that Erlang's command-line tools take (35672-35682)."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            if not 35672 <= port <= 35682:  # noqa: PLR2004  # see above
                found.append(port)
        return found
