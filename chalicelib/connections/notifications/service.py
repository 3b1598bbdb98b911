"""Settings of notifications for the API: create, replace, delete, rotate the secret, test, and the log."""

from dataclasses import dataclass
from typing import Any

from chalicelib.domain.connectors.common import MASK
from chalicelib.domain.notifications.notification import Notification, notification_of_test
from chalicelib.domain.notifications.settings import NotificationSettings
from chalicelib.domain.notifications.validation import Allowed, parse_settings
from chalicelib.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from chalicelib.kernel.ids import new_id
from chalicelib.kernel.times import iso_time
from chalicelib.ports.clock import Clock
from chalicelib.ports.coordination import RateLimits
from chalicelib.ports.notifications import NotificationStore, NotifyFunction, SendJob, SettingsStore, WebhookSecrets

LOG = 100
"""Notifications in the log of a tenant."""
OVERLAP = 86400.0
"""Seconds for which the previous secret signs after a rotation, too."""
_TESTS_PER_MINUTE = 10


@dataclass(frozen=True)
class NotificationContext:
    """Dependencies of ``NotificationService``."""

    settings: SettingsStore
    notifications: NotificationStore
    secrets: WebhookSecrets
    function: NotifyFunction
    rates: RateLimits
    clock: Clock
    allowed: Allowed


class NotificationService:
    """Manages where a tenant's notifications go. A webhook's secret is returned once, when it is made."""

    def __init__(self, context: NotificationContext) -> None:
        self._context = context

    def get(self, tenant: str) -> NotificationSettings:
        """Return the settings. Raises NotFound."""
        settings = self._context.settings.find(tenant)
        if settings is None:
            raise NotFound("No notifications are set up. Set them up with PUT /notifications.")
        return settings

    def replace(
        self, tenant: str, document: Any, allowed_versions: frozenset[str] | None
    ) -> tuple[NotificationSettings, str | None]:
        """Create or replace the settings; return them, and the webhook's secret if a new one was made.

        Raises InvalidRequest, PreconditionFailed.
        """
        stored, now = self._context.settings.find(tenant), self._context.clock()
        wanted = parse_settings(document, self._context.allowed, exists=stored is not None)
        _check_version(stored, allowed_versions)
        name, secret = (None if stored is None else stored.secret_id), None
        if wanted.url is None:
            name = None
        elif name is None:
            name, secret = self._context.secrets.create(tenant)
        begins = stored is None or (wanted.active and not stored.wanted.active)
        settings = NotificationSettings(
            tenant=tenant,
            wanted=wanted,
            secret_id=name,
            active_since=now if begins or stored is None else stored.active_since,
            version=1 if stored is None else stored.version + 1,
            created_at=iso_time(now) if stored is None else stored.created_at,
            updated_at=iso_time(now),
        )
        try:
            self._context.settings.put(settings, 0 if stored is None else stored.version)
        except PreconditionFailed:
            # No record names the new secret. After any other failure, a record may name it.
            if secret is not None and name is not None:
                self._context.secrets.delete(name)
            raise
        if stored is not None and stored.secret_id not in {None, name}:
            self._context.secrets.delete(stored.secret_id or "")
        return settings, secret

    def delete(self, tenant: str, allowed_versions: frozenset[str] | None) -> None:
        """Delete the settings and the secret. What was not sent yet waits for new settings, at most 30 days.

        Raises NotFound, PreconditionFailed.
        """
        stored = self.get(tenant)
        _check_version(stored, allowed_versions)
        self._context.settings.delete(tenant, stored.version)
        if stored.secret_id is not None:
            self._context.secrets.delete(stored.secret_id)

    def rotate_secret(self, tenant: str) -> tuple[str, str]:
        """Make a new secret; return it, and the end of the previous one's use.

        Raises NotFound without settings, Conflict for a topic.
        """
        stored = self.get(tenant)
        if stored.secret_id is None:
            raise Conflict("The notifications go to a topic, which has no secret. Set a url to have one.")
        until = self._context.clock() + OVERLAP
        return self._context.secrets.rotate(stored.secret_id, until), iso_time(until)

    def test(self, tenant: str) -> Notification:
        """Send a test now and return it with its result. Raises NotFound, TooManyRequests, Unavailable."""
        self.get(tenant)
        self._context.rates.acquire(tenant, "notification-test", _TESTS_PER_MINUTE)
        now = self._context.clock()
        sent = notification_of_test(tenant, new_id(now), now)
        self._context.notifications.add(sent)
        self._context.function.run(SendJob(tenant, [sent.id], test=True))
        found = self._context.notifications.find_one(tenant, sent.id)
        if found is None:
            raise Unavailable("the notification of the test was not stored")
        return found

    def log(self, tenant: str) -> list[Notification]:
        """Return the last notifications with their results, newest first."""
        return self._context.notifications.newest(tenant, LOG)


def document_of(settings: NotificationSettings, secret: str | None = None) -> dict[str, Any]:
    """Return the document of the API. ``secret``: a new one, which is shown; a stored one is masked."""
    document = settings.wanted.to_json()
    shown = secret if secret is not None else None if settings.secret_id is None else MASK
    return {name: value for name, value in document.items() if value is not None} | {
        **({} if shown is None else {"secret": shown}),
        "createdAt": settings.created_at,
        "updatedAt": settings.updated_at,
        "version": settings.version,
    }


def _check_version(stored: NotificationSettings | None, allowed: frozenset[str] | None) -> None:
    version = 0 if stored is None else stored.version
    if allowed is not None and str(version) not in allowed:
        raise PreconditionFailed(f"The notifications are at version {version}. Read them and try again.")
