"""Wiring of notifications: builds their adapters and services when they are first used."""
# ruff: noqa: PLC0415  # imports are late, as ``chalicelib.entry.services`` explains

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.aws.clients import aws_client
from chalicelib.entry.adapters import Adapters

if TYPE_CHECKING:
    from chalicelib.adapters.aws.notifications.function import LambdaNotifyFunction
    from chalicelib.adapters.aws.notifications.secrets import SecretsManagerWebhookSecrets
    from chalicelib.adapters.aws.notifications.store import DynamoDbNotifications
    from chalicelib.adapters.aws.notifications.topics import SnsTopics
    from chalicelib.adapters.webhooks.client import HttpWebhooks
    from chalicelib.connections.notifications.dispatch import Dispatcher
    from chalicelib.connections.notifications.outbox import NotificationOutbox, Subscriptions
    from chalicelib.connections.notifications.sender import NotificationSender
    from chalicelib.connections.notifications.service import NotificationContext, NotificationService
    from chalicelib.upkeep.state_notices import StateNotices

NOTIFY_TIMEOUT = 25
"""Seconds for a test: a lookup, the call of the webhook, and a cold start; API Gateway waits for 29."""


class NotificationParts(Adapters):
    """The adapters and services of notifications."""

    @cached_property
    def notify_client(self) -> Any:
        return aws_client("lambda", read_timeout=NOTIFY_TIMEOUT)

    @cached_property
    def sns(self) -> Any:
        return aws_client("sns")

    @cached_property
    def notification_store(self) -> "DynamoDbNotifications":
        from chalicelib.adapters.aws.notifications.store import DynamoDbNotifications

        return DynamoDbNotifications(self.dynamodb, self.settings.table("notifications"), self.clock)

    @cached_property
    def webhook_secrets(self) -> "SecretsManagerWebhookSecrets":
        from chalicelib.adapters.aws.notifications.secrets import SecretsManagerWebhookSecrets

        return SecretsManagerWebhookSecrets(self.secretsmanager, self.settings.secret_prefix, self.clock)

    @cached_property
    def notify_function(self) -> "LambdaNotifyFunction":
        from chalicelib.adapters.aws.notifications.function import LambdaNotifyFunction

        return LambdaNotifyFunction(self.notify_client, self.settings.notify_function)

    @cached_property
    def topics(self) -> "SnsTopics":
        from chalicelib.adapters.aws.notifications.topics import SnsTopics

        return SnsTopics(self.sns, self.settings.notification_topics)

    @cached_property
    def webhooks(self) -> "HttpWebhooks":
        from chalicelib.adapters.webhooks.client import HttpWebhooks

        lookups = ThreadPoolExecutor(16, thread_name_prefix="lookup")
        return HttpWebhooks(self.settings.allowed_private_networks, lookups)

    @cached_property
    def subscriptions(self) -> "Subscriptions":
        from chalicelib.connections.notifications.outbox import Subscriptions

        # A run of the reconciler reads them once, the next one anew.
        return Subscriptions(self.notification_store, self.clock, self.settings.timing.schedule / 2)

    @cached_property
    def outbox(self) -> "NotificationOutbox":
        from chalicelib.connections.notifications.outbox import NotificationOutbox

        return NotificationOutbox(self.subscriptions, self.notification_store, self.clock)

    @cached_property
    def dispatcher(self) -> "Dispatcher":
        from chalicelib.connections.notifications.dispatch import Dispatcher

        return Dispatcher(self.subscriptions, self.notification_store, self.notify_function, self.clock)

    @cached_property
    def state_notices(self) -> "StateNotices":
        from chalicelib.upkeep.state_notices import StateNotices

        return StateNotices(self.subscriptions, self.outbox, self.clock, self.settings.time_scale)

    @cached_property
    def notifications(self) -> "NotificationService":
        from chalicelib.connections.notifications.service import NotificationService

        return NotificationService(self.notification_context)

    @cached_property
    def notification_context(self) -> "NotificationContext":
        from chalicelib.connections.notifications.service import NotificationContext
        from chalicelib.domain.notifications.validation import Allowed

        return NotificationContext(
            settings=self.notification_store,
            notifications=self.notification_store,
            secrets=self.webhook_secrets,
            function=self.notify_function,
            rates=self.rate_limits,
            clock=self.clock,
            allowed=Allowed(self.settings.allowed_private_networks, self.settings.notification_topics),
        )

    @cached_property
    def notification_sender(self) -> "NotificationSender":
        from chalicelib.connections.notifications.dispatch import TENANTS_PER_CALL
        from chalicelib.connections.notifications.sender import NotificationSender, NotifyContext

        context = NotifyContext(
            settings=self.notification_store,
            notifications=self.notification_store,
            secrets=self.webhook_secrets,
            webhooks=self.webhooks,
            topics=self.topics,
            executor=ThreadPoolExecutor(TENANTS_PER_CALL, thread_name_prefix="notify"),
            clock=self.clock,
            scale=self.settings.time_scale,
        )
        return NotificationSender(context)
