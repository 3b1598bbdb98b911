"""Connection tests."""

from typing import Protocol

from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_test import CheckStep


class ConnectionTester(Protocol):
    """Tests whether a connection could be used, step by step."""

    def test(self, connection: Connection, secrets: ConnectionSecrets, deadline: float) -> list[CheckStep]:
        """Return the steps up to the first that fails; ends at ``deadline`` (time.monotonic()).

        Publishes nothing, leaves nothing at the broker, and never raises for a broker's fault.
        """
