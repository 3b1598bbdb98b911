"""Outbox of notifications: stores the changes that tenants want to be notified of."""

from threading import Lock

from chalicelib.domain.notifications.changes import REPORTED_WITHIN, Change
from chalicelib.domain.notifications.notification import notification_of
from chalicelib.domain.notifications.settings import NotificationSettings
from chalicelib.kernel.bounded_cache import BoundedCache
from chalicelib.ports.clock import Clock
from chalicelib.ports.notifications import NotificationStore, SettingsStore

_CACHED = 20_000


class Subscriptions:
    """The settings of all tenants, read again after ``period`` seconds: one query for any number of connections."""

    def __init__(self, store: SettingsStore, clock: Clock, period: float) -> None:
        self._store = store
        self._clock = clock
        self._period = period
        self._lock = Lock()
        self._read_at = float("-inf")
        self._settings: dict[str, NotificationSettings] = {}

    def of(self, tenant: str) -> NotificationSettings | None:
        """Return the settings of a tenant that wants notifications now, else None.

        Raises Unavailable once in a period, so that an outage does not cost a call for each connection.
        """
        with self._lock:
            now = self._clock()
            if not 0 <= now - self._read_at < self._period:
                self._read_at = now
                self._settings = {each.tenant: each for each in self._store.all() if each.wanted.active}
            return self._settings.get(tenant)


class NotificationOutbox:
    """Stores notifications (``ports.notifications.Outbox``).

    The id of a notification follows from its change, so that any number of functions and repeats store it once. A
    process remembers the stored ids, which saves a write in each run of the reconciler.
    """

    def __init__(self, subscriptions: Subscriptions, store: NotificationStore, clock: Clock) -> None:
        self._subscriptions = subscriptions
        self._store = store
        self._clock = clock
        self._stored: BoundedCache[tuple[str, str], bool] = BoundedCache(_CACHED)

    def add(self, change: Change) -> None:
        tenant, now = change.connection.tenant, self._clock()
        settings = self._subscriptions.of(tenant)
        if settings is None or change.kind not in settings.wanted.kinds:
            return
        # Notifications are about what happens from now on.
        if change.at < max(settings.active_since, now - REPORTED_WITHIN) or self._stored.get((tenant, change.id)):
            return
        self._store.add(notification_of(change, now))
        self._stored.put((tenant, change.id), True)
