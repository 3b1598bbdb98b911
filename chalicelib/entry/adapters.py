"""Wiring of the clients and adapters: builds each one when it is first used."""
# ruff: noqa: PLC0415  # imports are late, as ``chalicelib.entry.services`` explains

import time
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib.adapters.aws.clients import aws_client
from chalicelib.config import Settings, settings
from chalicelib.ports.clock import Clock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient

    from chalicelib.adapters.amqp.queue_remover import AmqpQueueRemover
    from chalicelib.adapters.amqp.tester import AmqpConnectionTester
    from chalicelib.adapters.aws.application_servers import DynamoDbApplicationServers
    from chalicelib.adapters.aws.connections import DynamoDbConnections
    from chalicelib.adapters.aws.coordination.downlink_ledger import DynamoDbDownlinkLedger
    from chalicelib.adapters.aws.coordination.leases import DynamoDbLeases
    from chalicelib.adapters.aws.coordination.rate_limits import DynamoDbRateLimits
    from chalicelib.adapters.aws.coordination.slots import DynamoDbSlots
    from chalicelib.adapters.aws.drivers.codec import InvokeClient, LambdaCodec
    from chalicelib.adapters.aws.drivers.store import DynamoDbDrivers
    from chalicelib.adapters.aws.events import DynamoDbEventLog
    from chalicelib.adapters.aws.failed_messages import DynamoDbFailedMessages
    from chalicelib.adapters.aws.flows import DynamoDbFlows
    from chalicelib.adapters.aws.listing.index import DynamoDbConnectionEntries
    from chalicelib.adapters.aws.message_log.reader import DynamoDbMessageLog
    from chalicelib.adapters.aws.replays import DynamoDbPendingReplays
    from chalicelib.adapters.aws.secrets import SecretsManagerSecrets
    from chalicelib.adapters.aws.sqs import SqsDownlinkQueue, SqsPollQueue, SqsUplinkQueues, SqsWakeQueue
    from chalicelib.adapters.aws.statistics import DynamoDbStatistics
    from chalicelib.adapters.aws.waiting_downlinks import DynamoDbWaitingDownlinks
    from chalicelib.adapters.thingpark.lrc_client import LrcNetworkServer
    from chalicelib.uplinks.publisher_pool import PublisherPool

CODEC_TIMEOUT = 8
"""Seconds without an answer of the codec: less than a drain has left when it begins its last call."""


class Adapters:
    """Clients and adapters of one process: DynamoDB, SQS, Secrets Manager, brokers and the network server.

    Each is built at its first use. ``given`` replaces the settings of the environment.
    """

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
        client: SQSClient = aws_client("sqs", tags=self.settings.resource_tags)
        return client

    @cached_property
    def secretsmanager(self) -> "SecretsManagerClient":
        client: SecretsManagerClient = aws_client("secretsmanager", tags=self.settings.resource_tags)
        return client

    @cached_property
    def functions(self) -> "InvokeClient":
        client: InvokeClient = aws_client("lambda", read_timeout=CODEC_TIMEOUT)
        return client

    # Adapters

    @cached_property
    def connection_store(self) -> "DynamoDbConnections":
        from chalicelib.adapters.aws.connections import DynamoDbConnections

        return DynamoDbConnections(self.dynamodb, self.settings.table("connections"), self.clock)

    @cached_property
    def flow_store(self) -> "DynamoDbFlows":
        from chalicelib.adapters.aws.flows import DynamoDbFlows

        table = self.settings.table
        return DynamoDbFlows(self.dynamodb, table("flows"), table("connections"), table("drivers"))

    @cached_property
    def driver_store(self) -> "DynamoDbDrivers":
        from chalicelib.adapters.aws.drivers.store import DynamoDbDrivers

        return DynamoDbDrivers(self.dynamodb, self.settings.table("drivers"), self.settings.table("connections"))

    @cached_property
    def codec_client(self) -> "LambdaCodec":
        from chalicelib.adapters.aws.drivers.codec import LambdaCodec

        return LambdaCodec(self.functions, self.settings.codec_function)

    @cached_property
    def secret_store(self) -> "SecretsManagerSecrets":
        from chalicelib.adapters.aws.secrets import SecretsManagerSecrets

        return SecretsManagerSecrets(self.secretsmanager, self.settings.secret_prefix)

    @cached_property
    def application_server_store(self) -> "DynamoDbApplicationServers":
        from chalicelib.adapters.aws.application_servers import DynamoDbApplicationServers

        table = self.settings.table("application-servers")
        prefix = self.settings.secret_prefix
        return DynamoDbApplicationServers(self.dynamodb, table, self.secretsmanager, prefix, self.clock)

    @cached_property
    def failed_messages(self) -> "DynamoDbFailedMessages":
        from chalicelib.adapters.aws.failed_messages import DynamoDbFailedMessages

        return DynamoDbFailedMessages(self.dynamodb, self.settings.table("failed-messages"), self.clock)

    @cached_property
    def pending_replays(self) -> "DynamoDbPendingReplays":
        from chalicelib.adapters.aws.replays import DynamoDbPendingReplays

        return DynamoDbPendingReplays(self.dynamodb, self.settings.table("connections"), self.clock)

    @cached_property
    def event_log(self) -> "DynamoDbEventLog":
        from chalicelib.adapters.aws.events import DynamoDbEventLog

        return DynamoDbEventLog(self.dynamodb, self.settings.table("events"), self.clock)

    @cached_property
    def statistics(self) -> "DynamoDbStatistics":
        from chalicelib.adapters.aws.statistics import DynamoDbStatistics

        return DynamoDbStatistics(self.dynamodb, self.settings.table("statistics"), self.clock)

    @cached_property
    def message_log(self) -> "DynamoDbMessageLog":
        from chalicelib.adapters.aws.message_log.reader import DynamoDbMessageLog

        return DynamoDbMessageLog(self.dynamodb, self.settings.table("statistics"))

    @cached_property
    def connection_entries(self) -> "DynamoDbConnectionEntries":
        from chalicelib.adapters.aws.listing.index import DynamoDbConnectionEntries

        return DynamoDbConnectionEntries(self.dynamodb, self.settings.table("connections"), self.clock)

    @cached_property
    def parked_receipts(self) -> "DynamoDbWaitingDownlinks":
        from chalicelib.adapters.aws.waiting_downlinks import DynamoDbWaitingDownlinks

        return DynamoDbWaitingDownlinks(self.dynamodb, self.settings.table("statistics"), self.clock)

    @cached_property
    def leases(self) -> "DynamoDbLeases":
        from chalicelib.adapters.aws.coordination.leases import DynamoDbLeases

        table = self.settings.table("coordination")
        timing = self.settings.timing
        return DynamoDbLeases(self.dynamodb, table, self.clock, timing.lease, timing.poll_timeout)

    @cached_property
    def wake_queue(self) -> "SqsWakeQueue":
        from chalicelib.adapters.aws.sqs import SqsWakeQueue

        return SqsWakeQueue(self.sqs, self.settings, "wakes")

    @cached_property
    def slow_wake_queue(self) -> "SqsWakeQueue":
        from chalicelib.adapters.aws.sqs import SqsWakeQueue

        return SqsWakeQueue(self.sqs, self.settings, "wakes-slow")

    @cached_property
    def poll_queue(self) -> "SqsPollQueue":
        from chalicelib.adapters.aws.sqs import SqsPollQueue

        return SqsPollQueue(self.sqs, self.settings)

    @cached_property
    def uplink_queues(self) -> "SqsUplinkQueues":
        from chalicelib.adapters.aws.sqs import SqsUplinkQueues

        return SqsUplinkQueues(self.sqs, self.settings, lambda: self.wake_queue.url)

    @cached_property
    def downlink_queue(self) -> "SqsDownlinkQueue":
        from chalicelib.adapters.aws.sqs import SqsDownlinkQueue

        return SqsDownlinkQueue(self.sqs, self.settings)

    @cached_property
    def ledger(self) -> "DynamoDbDownlinkLedger":
        from chalicelib.adapters.aws.coordination.downlink_ledger import DynamoDbDownlinkLedger

        return DynamoDbDownlinkLedger(self.dynamodb, self.settings.table("coordination"), self.clock)

    @cached_property
    def slots(self) -> "DynamoDbSlots":
        from chalicelib.adapters.aws.coordination.slots import DynamoDbSlots

        return DynamoDbSlots(self.dynamodb, self.settings.table("coordination"), self.clock)

    @cached_property
    def rate_limits(self) -> "DynamoDbRateLimits":
        from chalicelib.adapters.aws.coordination.rate_limits import DynamoDbRateLimits

        return DynamoDbRateLimits(self.dynamodb, self.settings.table("coordination"), self.clock)

    @cached_property
    def connection_tester(self) -> "AmqpConnectionTester":
        from chalicelib.adapters.amqp.tester import AmqpConnectionTester

        return AmqpConnectionTester(self.settings)

    @cached_property
    def network_server(self) -> "LrcNetworkServer":
        from chalicelib.adapters.thingpark.lrc_client import LrcNetworkServer

        return LrcNetworkServer(self.settings.network_server_url, self.settings.timing.downlink_timeout)

    @cached_property
    def publisher_pool(self) -> "PublisherPool":
        from chalicelib.adapters.amqp.publisher import AmqpPublisherFactory
        from chalicelib.uplinks.publisher_pool import PublisherPool
        from chalicelib.uplinks.socket_slots import SocketSlots

        sockets = SocketSlots(self.slots, self.settings.timing.slot)
        return PublisherPool(AmqpPublisherFactory(self.settings), self.secret_store, sockets)

    @cached_property
    def queue_remover(self) -> "AmqpQueueRemover":
        from chalicelib.adapters.amqp.queue_remover import AmqpQueueRemover

        return AmqpQueueRemover(self.settings)
