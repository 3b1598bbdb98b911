"""Dispatch of due notifications: the last step of each run of the reconciler."""

from chalicelib.connections.notifications.outbox import Subscriptions
from chalicelib.domain.notifications.settings import quiet_until
from chalicelib.kernel.batches import batched
from chalicelib.monitoring.metrics import metrics
from chalicelib.ports.clock import Clock
from chalicelib.ports.notifications import NotificationStore, NotifyFunction, SendJob
from chalicelib.vocabulary import Metric

TENANTS_PER_CALL = 10
"""Tenants whose notifications one invocation sends side by side."""


class Dispatcher:
    """Asks for the sending of due notifications, except of tenants that have quiet hours now.

    What stays due is found by the next run: notifications in quiet hours, those of a function that was killed, and
    those that Lambda did not accept.
    """

    def __init__(
        self, subscriptions: Subscriptions, store: NotificationStore, function: NotifyFunction, clock: Clock
    ) -> None:
        self._subscriptions = subscriptions
        self._store = store
        self._function = function
        self._clock = clock

    def run(self) -> int:
        """Start the sending and return the number of due notifications. Raises Unavailable."""
        now = self._clock()
        jobs = [SendJob(tenant, ids) for tenant, ids in self._store.due(now).items() if self._may_send(tenant, now)]
        number = sum(len(job.ids) for job in jobs)
        metrics.add(Metric.NOTIFICATIONS_DUE, number)
        for part in batched(jobs, TENANTS_PER_CALL):
            self._function.start(part)
        return number

    def _may_send(self, tenant: str, now: float) -> bool:
        settings = self._subscriptions.of(tenant)
        return settings is not None and quiet_until(settings.wanted.quiet_hours, now) is None
