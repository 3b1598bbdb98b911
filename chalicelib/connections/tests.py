"""Connection tests: check a connection at its broker, step by step."""

import time
from typing import Any

from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_test import CheckResult
from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID
from chalicelib.domain.validation.connections import parse_connection, split_secrets
from chalicelib.errors import InvalidRequest, Violation
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ConnectionReader
from chalicelib.ports.coordination import RateLimits
from chalicelib.ports.secrets import SecretStore
from chalicelib.ports.testing import ConnectionTester
from chalicelib.vocabulary import ConnectionState

SECONDS = 21.0
"""Seconds that a test may take. The whole call has 25 seconds, and closing takes up to two."""
_KIND = "connection-test"


class ConnectionTests:
    """Tests connections step by step, before or after they are saved. The number of tests per minute is limited."""

    def __init__(
        self,
        connections: ConnectionReader,
        secrets: SecretStore,
        tester: ConnectionTester,
        rates: RateLimits,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._connections = connections
        self._secrets = secrets
        self._tester = tester
        self._rates = rates
        self._clock = clock
        self._per_minute = settings.connection_tests_per_minute
        self._allowed = settings.allowed_private_networks

    def test_unsaved(self, tenant: str, document: Any) -> CheckResult:
        """Test a connection before it is saved. ``document``: the connection as for a create; only its
        ``configuration`` is required.

        Raises InvalidRequest, TooManyRequests.
        """
        if not isinstance(document, dict):
            raise InvalidRequest([Violation("", 'The body must be an object with the member "configuration".')])
        now = self._clock()
        whole = {"connectorId": CONNECTOR_ID, "name": "-"} | document
        request = parse_connection(whole, stored=None, now=now, allowed=self._allowed)
        configuration, secrets = split_secrets(request.configuration)
        connection = Connection(
            tenant=tenant,
            id=new_id(now),
            name=request.name,
            active=True,
            configuration=configuration,
            created_at=iso_time(now),
            updated_at=iso_time(now),
            state=ConnectionState.OPENING,
        )
        return self._run(connection, secrets)

    def test_saved(self, tenant: str, connection_id: str) -> CheckResult:
        """Test a stored connection, even an inactive one. Raises NotFound, TooManyRequests."""
        connection = self._connections.get(tenant, connection_id)
        return self._run(connection, self._secrets.of(connection))

    def _run(self, connection: Connection, secrets: ConnectionSecrets) -> CheckResult:
        deadline = time.monotonic() + SECONDS
        self._rates.acquire(connection.tenant, _KIND, self._per_minute)
        steps = self._tester.test(connection, secrets, deadline)
        return CheckResult(ok=all(step.ok for step in steps), steps=steps)
