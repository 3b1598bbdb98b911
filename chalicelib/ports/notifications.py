"""Notifications: the settings of tenants, the stored notifications, the webhooks' secrets and the ways to send."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chalicelib.domain.notifications.changes import Change
from chalicelib.domain.notifications.notification import Notification
from chalicelib.domain.notifications.settings import NotificationSettings


class Outbox(Protocol):
    """Takes changes that tenants may be notified of."""

    def add(self, change: Change) -> None:
        """Store the notification of a change if its tenant wants it. Raises Unavailable.

        Storing a change twice has no further effect, so a caller may repeat it after a crash.
        """


class SettingsStore(Protocol):
    """The tenants' settings of notifications."""

    def find(self, tenant: str) -> NotificationSettings | None:
        """Return the settings of a tenant; the read is strongly consistent."""

    def all(self) -> list[NotificationSettings]:
        """Return the settings of every tenant; the read is eventually consistent."""

    def put(self, settings: NotificationSettings, expected_version: int) -> None:
        """Store settings; 0 if there are none yet. Raises PreconditionFailed when the stored version is another."""

    def delete(self, tenant: str, version: int) -> None:
        """Delete settings. Raises PreconditionFailed when the stored version is another."""


class NotificationStore(Protocol):
    """Notifications of all tenants and their attempts."""

    def add(self, notification: Notification) -> bool:
        """Store a notification; return False, and write nothing, when it is stored already."""

    def due(self, now: float) -> Mapping[str, Sequence[str]]:
        """Return the ids of the notifications that are due, the longest due first, by tenant."""

    def take(self, tenant: str, notification_id: str, now: float, until: float) -> Notification | None:
        """Begin an attempt: hide a due notification from other attempts ``until`` and return it, counted as tried.

        Return None if it is not due, sent by another function, or final. A function that ends before ``finish``
        leaves it due at ``until``.
        """

    def finish(self, notification: Notification) -> None:
        """Write the result of an attempt. Ignored when another attempt began meanwhile."""

    def find_one(self, tenant: str, notification_id: str) -> Notification | None:
        """Return a notification; the read is strongly consistent."""

    def newest(self, tenant: str, limit: int) -> list[Notification]:
        """Return the newest notifications of a tenant."""


class WebhookSecrets(Protocol):
    """The secrets that sign webhooks."""

    def create(self, tenant: str) -> tuple[str, str]:
        """Store a new secret; return the name under which it is stored, and the secret."""

    def rotate(self, name: str, until: float) -> str:
        """Store another secret and return it; the previous one signs, too, until ``until`` (Unix seconds)."""

    def keys(self, name: str, now: float) -> list[str]:
        """Return the secrets that sign ``now``, the newest first. Raises NotFound when they were deleted."""

    def delete(self, name: str) -> None:
        """Delete all secrets of a name at once, without recovery. Ignored when there are none."""


@dataclass(frozen=True)
class Accepted:
    """The answer of a webhook or a topic that accepted a notification. ``status``: of HTTP, None for a topic."""

    status: int | None = None


class Webhooks(Protocol):
    """Sends notifications over HTTPS."""

    def send(self, url: str, headers: Mapping[str, str], body: str) -> Accepted:
        """Send one notification. Raises NotDelivered."""


class Topics(Protocol):
    """Publishes notifications to SNS."""

    def publish(self, arn: str, kind: str, body: str) -> Accepted:
        """Publish one notification. Raises NotDelivered."""


@dataclass(frozen=True)
class SendJob:
    """Due notifications of one tenant, in the order in which they are sent. ``test``: also in quiet hours."""

    tenant: str
    ids: Sequence[str]
    test: bool = False


class NotifyFunction(Protocol):
    """The function that sends notifications."""

    def start(self, jobs: Sequence[SendJob]) -> None:
        """Ask for the sending of notifications and do not wait for it. Raises Unavailable."""

    def run(self, job: SendJob) -> None:
        """Send notifications and wait for it. Raises Unavailable."""
