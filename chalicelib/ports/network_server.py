"""Calls to the network server."""

from collections.abc import Sequence
from typing import Protocol


class NetworkServer(Protocol):
    """Sends downlinks to the network server."""

    def send_downlink(self, parameters: Sequence[tuple[str, str]], as_key: str) -> None:
        """Make the LRC call. Raises DownlinkRejected (4xx) or DownlinkDelayed (5xx, time-out)."""
