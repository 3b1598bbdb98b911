"""The clients and adapters of one process, each built when it is first needed; a part of the wiring."""
# ruff: noqa: PLC0415  # late, as ``bootstrap`` says

import time
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.aws import aws_client
from chalicelib.config import Settings, settings
from chalicelib.ports import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient

    from chalicelib.amqp_remover import AmqpQueueRemover
    from chalicelib.amqp_tester import AmqpConnectionTester
    from chalicelib.application_servers_store import DynamoDbApplicationServers
    from chalicelib.connections_store import DynamoDbConnections
    from chalicelib.events_store import DynamoDbEventLog
    from chalicelib.failed_messages_store import DynamoDbFailedMessages
    from chalicelib.leases_store import DynamoDbLeases
    from chalicelib.ledger_store import DynamoDbDownlinkLedger
    from chalicelib.network_server import LrcNetworkServer
    from chalicelib.publishers import PublisherPool
    from chalicelib.queues import SqsDownlinkQueue, SqsPollQueue, SqsUplinkQueues, SqsWakeQueue
    from chalicelib.rates_store import DynamoDbRateLimits
    from chalicelib.secrets_store import SecretsManagerSecrets
    from chalicelib.statistics_store import DynamoDbStatistics


class Adapters:
    """What reaches the outside: DynamoDB, SQS, Secrets Manager, brokers, the network server."""

    def __init__(self, given: Settings | None = None, clock: Clock = time.time) -> None:
        self._given = given
        self.clock = clock

    @cached_property
    def settings(self) -> Settings:
        return self._given or settings()

    # Clients

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        client: DynamoDBClient = aws_client("dynamodb")
        return client

    @cached_property
    def sqs(self) -> "SQSClient":
        client: SQSClient = aws_client("sqs")
        return client

    @cached_property
    def secretsmanager(self) -> "SecretsManagerClient":
        client: SecretsManagerClient = aws_client("secretsmanager")
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

    @cached_property
    def downlink_queue(self) -> "SqsDownlinkQueue":
        from chalicelib.queues import SqsDownlinkQueue

        return SqsDownlinkQueue(self.sqs, self.settings)

    @cached_property
    def ledger(self) -> "DynamoDbDownlinkLedger":
        from chalicelib.ledger_store import DynamoDbDownlinkLedger

        return DynamoDbDownlinkLedger(self.dynamodb, self.settings.table("leases"), self.clock)

    @cached_property
    def rate_limits(self) -> "DynamoDbRateLimits":
        from chalicelib.rates_store import DynamoDbRateLimits

        return DynamoDbRateLimits(self.dynamodb, self.settings.table("leases"), self.clock)

    @cached_property
    def connection_tester(self) -> "AmqpConnectionTester":
        from chalicelib.amqp_tester import AmqpConnectionTester

        return AmqpConnectionTester(self.settings)

    @cached_property
    def network_server(self) -> "LrcNetworkServer":
        from chalicelib.network_server import LrcNetworkServer

        return LrcNetworkServer(self.settings.network_server_url, self.settings.timing.downlink_timeout)

    @cached_property
    def publisher_pool(self) -> "PublisherPool":
        from chalicelib.amqp_publisher import AmqpPublisherFactory
        from chalicelib.publishers import PublisherPool

        return PublisherPool(AmqpPublisherFactory(self.settings), self.secret_store)

    @cached_property
    def queue_remover(self) -> "AmqpQueueRemover":
        from chalicelib.amqp_remover import AmqpQueueRemover

        return AmqpQueueRemover(self.settings)
