"""The only wiring: builds clients, adapters and services, each when it is first needed.

Adapters are imported where they are built: boto3 and cryptography cost a cold start a third of a second, and no
function needs all of them.
"""
# ruff: noqa: PLC0415  # see above

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chalicelib.config import Settings, settings
from chalicelib.ports import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient

    from chalicelib.application_servers_store import DynamoDbApplicationServers
    from chalicelib.connections import Connections
    from chalicelib.connections_store import DynamoDbConnections
    from chalicelib.events_store import DynamoDbEventLog
    from chalicelib.failed_messages_store import DynamoDbFailedMessages
    from chalicelib.http_api.application_servers_api import ApplicationServersApi
    from chalicelib.http_api.auth import TokenVerifier
    from chalicelib.http_api.connections_api import ConnectionsApi
    from chalicelib.http_api.connectors_api import ConnectorsApi
    from chalicelib.http_api.history_api import HistoryApi
    from chalicelib.http_api.issuer import Issuer
    from chalicelib.leases_store import DynamoDbLeases
    from chalicelib.queues import SqsPollQueue, SqsUplinkQueues, SqsWakeQueue
    from chalicelib.secrets_store import SecretsManagerSecrets
    from chalicelib.statistics_store import DynamoDbStatistics


class Services:
    """Everything of one process. A test sets an attribute to use a double of its own: what is set is not built."""

    def __init__(self, given: Settings | None = None, clock: Clock = time.time) -> None:
        self._given = given
        self.clock = clock

    @cached_property
    def settings(self) -> Settings:
        return self._given or settings()

    # Clients

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        client: DynamoDBClient = _client("dynamodb")
        return client

    @cached_property
    def sqs(self) -> "SQSClient":
        client: SQSClient = _client("sqs")
        return client

    @cached_property
    def secretsmanager(self) -> "SecretsManagerClient":
        client: SecretsManagerClient = _client("secretsmanager")
        return client

    # Adapters

    @cached_property
    def connection_store(self) -> "DynamoDbConnections":
        from chalicelib.connections_store import DynamoDbConnections

        return DynamoDbConnections(self.dynamodb, self.settings.table("connections"), self.clock)

    @cached_property
    def secret_store(self) -> "SecretsManagerSecrets":
        from chalicelib.secrets_store import SecretsManagerSecrets

        return SecretsManagerSecrets(self.secretsmanager, self.settings.secret_prefix)

    @cached_property
    def application_server_store(self) -> "DynamoDbApplicationServers":
        from chalicelib.application_servers_store import DynamoDbApplicationServers

        table = self.settings.table("application-servers")
        prefix = self.settings.secret_prefix
        return DynamoDbApplicationServers(self.dynamodb, table, self.secretsmanager, prefix, self.clock)

    @cached_property
    def failed_messages(self) -> "DynamoDbFailedMessages":
        from chalicelib.failed_messages_store import DynamoDbFailedMessages

        return DynamoDbFailedMessages(self.dynamodb, self.settings.table("failed-messages"), self.clock)

    @cached_property
    def event_log(self) -> "DynamoDbEventLog":
        from chalicelib.events_store import DynamoDbEventLog

        return DynamoDbEventLog(self.dynamodb, self.settings.table("events"), self.clock)

    @cached_property
    def statistics(self) -> "DynamoDbStatistics":
        from chalicelib.statistics_store import DynamoDbStatistics

        return DynamoDbStatistics(self.dynamodb, self.settings.table("statistics"), self.clock)

    @cached_property
    def leases(self) -> "DynamoDbLeases":
        from chalicelib.leases_store import DynamoDbLeases

        table = self.settings.table("leases")
        return DynamoDbLeases(self.dynamodb, table, self.clock, self.settings.timing.lease)

    @cached_property
    def wake_queue(self) -> "SqsWakeQueue":
        from chalicelib.queues import SqsWakeQueue

        return SqsWakeQueue(self.sqs, self.settings)

    @cached_property
    def poll_queue(self) -> "SqsPollQueue":
        from chalicelib.queues import SqsPollQueue

        return SqsPollQueue(self.sqs, self.settings)

    @cached_property
    def uplink_queues(self) -> "SqsUplinkQueues":
        from chalicelib.queues import SqsUplinkQueues

        return SqsUplinkQueues(self.sqs, self.settings, lambda: self.wake_queue.url)

    # Services

    @cached_property
    def connections(self) -> "Connections":
        from chalicelib.connections import Connections

        return Connections(
            self.connection_store,
            self.secret_store,
            self.uplink_queues,
            self.wake_queue,
            self.poll_queue,
            self.failed_messages,
            self.clock,
            self.settings,
        )

    # The HTTP API

    @cached_property
    def issuer(self) -> "Issuer":
        from chalicelib.http_api.issuer import Issuer

        return Issuer(self.settings.oidc_issuer)

    @cached_property
    def auth(self) -> "TokenVerifier":
        from chalicelib.http_api.auth import TokenVerifier

        return TokenVerifier(self.issuer, self.settings.oidc_audience, self.settings.tenant_claim)

    @cached_property
    def connections_api(self) -> "ConnectionsApi":
        from chalicelib.http_api.connections_api import ConnectionsApi

        return ConnectionsApi(self.auth, self.connections)

    @cached_property
    def connectors_api(self) -> "ConnectorsApi":
        from chalicelib.http_api.connectors_api import ConnectorsApi

        return ConnectorsApi(self.auth)

    @cached_property
    def history_api(self) -> "HistoryApi":
        from chalicelib.http_api.history_api import HistoryApi

        return HistoryApi(self.auth, self.connections, self.event_log, self.failed_messages)

    @cached_property
    def application_servers_api(self) -> "ApplicationServersApi":
        from chalicelib.http_api.application_servers_api import ApplicationServersApi

        return ApplicationServersApi(self.auth, self.application_server_store)


def _client(service: str) -> Any:
    import boto3

    from chalicelib.aws import client_configuration

    # boto3's type hints name each service in an overload of its own.
    return boto3.client(service, config=client_configuration())  # type: ignore[call-overload]


_services = Services()


def services() -> Services:
    """Those of this process."""
    return _services


def use(replacement: Services) -> None:
    """Makes ``services`` answer with others; for tests."""
    global _services  # noqa: PLW0603  # one place, which the handlers share
    _services = replacement
