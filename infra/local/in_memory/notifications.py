"""Notifications, their settings and their secrets in memory."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from chalicelib.domain.notifications.changes import Change
from chalicelib.domain.notifications.notification import Notification
from chalicelib.domain.notifications.settings import NotificationSettings
from chalicelib.domain.notifications.signature import new_secret
from chalicelib.errors import NotFound, PreconditionFailed
from chalicelib.vocabulary import DeliveryStatus


class MemoryOutbox:
    """An outbox that keeps each change once."""

    def __init__(self) -> None:
        self.changes: dict[str, Change] = {}

    def add(self, change: Change) -> None:
        self.changes.setdefault(change.id, change)


class MemorySettings:
    """The settings of tenants."""

    def __init__(self) -> None:
        self.stored: dict[str, NotificationSettings] = {}

    def find(self, tenant: str) -> NotificationSettings | None:
        return self.stored.get(tenant)

    def all(self) -> list[NotificationSettings]:
        return list(self.stored.values())

    def put(self, settings: NotificationSettings, expected_version: int) -> None:
        self._check(settings.tenant, expected_version)
        self.stored[settings.tenant] = settings

    def delete(self, tenant: str, version: int) -> None:
        self._check(tenant, version)
        del self.stored[tenant]

    def _check(self, tenant: str, version: int) -> None:
        stored = self.stored.get(tenant)
        if version != (0 if stored is None else stored.version):
            raise PreconditionFailed(f"not at version {version}")


class MemoryNotifications:
    """Notifications with the conditions of the real store."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Notification] = {}

    def add(self, notification: Notification) -> bool:
        key = notification.tenant, notification.id
        if key in self.stored:
            return False
        self.stored[key] = notification
        return True

    def due(self, now: float) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        waiting = [each for each in self.stored.values() if each.due_at is not None and each.due_at <= now]
        for each in sorted(waiting, key=lambda each: each.due_at or 0.0):
            found[each.tenant].append(each.id)
        return found

    def take(self, tenant: str, notification_id: str, now: float, until: float) -> Notification | None:
        stored = self.stored.get((tenant, notification_id))
        if stored is None or stored.status is not DeliveryStatus.PENDING:
            return None
        if stored.due_at is not None and stored.due_at > now:
            return None
        first = now if stored.first_attempt is None else stored.first_attempt
        changes = {"due_at": until, "attempts": stored.attempts + 1, "first_attempt": first, "last_attempt": now}
        taken = stored.model_copy(update=changes)
        self.stored[tenant, notification_id] = taken
        return taken

    def finish(self, notification: Notification) -> None:
        stored = self.stored.get((notification.tenant, notification.id))
        if stored is not None and stored.attempts == notification.attempts:
            self.stored[notification.tenant, notification.id] = notification

    def find_one(self, tenant: str, notification_id: str) -> Notification | None:
        return self.stored.get((tenant, notification_id))

    def newest(self, tenant: str, limit: int) -> list[Notification]:
        own = [each for each in self.stored.values() if each.tenant == tenant]
        return sorted(own, key=lambda each: each.id, reverse=True)[:limit]


class MemoryWebhookSecrets:
    """Secrets of webhooks."""

    def __init__(self) -> None:
        self.stored: dict[str, list[tuple[str, float]]] = {}

    def create(self, tenant: str) -> tuple[str, str]:
        name, secret = f"{tenant}/{len(self.stored)}", new_secret()
        self.stored[name] = [(secret, float("inf"))]
        return name, secret

    def rotate(self, name: str, until: float) -> str:
        secret, [(previous, _), *_rest] = new_secret(), self.stored[name]
        self.stored[name] = [(secret, float("inf")), (previous, until)]
        return secret

    def keys(self, name: str, now: float) -> list[str]:
        if name not in self.stored:
            raise NotFound("the secret of the webhook is gone")
        return [secret for secret, until in self.stored[name] if until > now]

    def delete(self, name: str) -> None:
        self.stored.pop(name, None)
