"""Connection tests: check a connection at its broker, step by step."""

import time
from dataclasses import dataclass
from typing import Any

from chalicelib.config import Settings
from chalicelib.domain.connection import Connection, ConnectionSecrets
from chalicelib.domain.connection_test import CheckResult
from chalicelib.domain.connectors.amqp091 import CONNECTOR_ID
from chalicelib.domain.validation.connections import parse_connection, split_secrets
from chalicelib.errors import InvalidRequest, TooManyRequests, Unavailable, Violation
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.monitoring import log
from chalicelib.ports.clock import Clock
from chalicelib.ports.connections import ConnectionReader
from chalicelib.ports.coordination import RateLimits, Slots
from chalicelib.ports.secrets import SecretStore
from chalicelib.ports.testing import ConnectionTester
from chalicelib.vocabulary import ConnectionState

SECONDS = 21.0
"""Seconds that a test may take. The whole call has 25 seconds, and closing takes up to two."""
_KIND = "connection-test"
_HOLD = 30.0
"""The time-out of the API's function in seconds: a killed function's test counts no longer."""
_RETRY = 10
"""Seconds after which a refused caller may try again: most tests take less."""


@dataclass(frozen=True)
class TestsContext:
    """Everything that connection tests use."""

    __test__ = False  # pytest collects classes by their names

    connections: ConnectionReader
    secrets: SecretStore
    tester: ConnectionTester
    rates: RateLimits
    slots: Slots
    clock: Clock
    settings: Settings


class ConnectionTests:
    """Tests connections step by step, before or after they are saved.

    A tenant's tests per minute are limited, and the tests of all tenants at a time.
    """

    def __init__(self, context: TestsContext) -> None:
        self._connections = context.connections
        self._secrets = context.secrets
        self._tester = context.tester
        self._rates = context.rates
        self._slots = context.slots
        self._clock = context.clock
        self._per_minute = context.settings.connection_tests_per_minute
        self._at_once = context.settings.connection_tests_at_once
        self._allowed = context.settings.allowed_private_networks

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
        test = new_id(self._clock())
        if self._slots.take(_KIND, test, self._at_once, _HOLD) is None:
            raise TooManyRequests(
                f"Too many connections are being tested at this moment. Try again in {_RETRY} seconds.", _RETRY
            )
        try:
            steps = self._tester.test(connection, secrets, deadline)
        finally:
            self._end(test)
        return CheckResult(ok=all(step.ok for step in steps), steps=steps)

    def _end(self, test: str) -> None:
        try:
            self._slots.give_back(_KIND, test)
        except Unavailable as error:
            log.warning("slot not given back", extra={"key": _KIND, "reason": str(error)})
