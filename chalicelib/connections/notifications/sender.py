"""Sender of notifications: the function ``notify``."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.notifications.notification import Notification, next_attempt
from chalicelib.domain.notifications.settings import NotificationSettings, quiet_until
from chalicelib.domain.notifications.signature import signed_headers
from chalicelib.errors import NotDelivered, NotFound, Unavailable
from chalicelib.monitoring import log
from chalicelib.monitoring.metrics import metrics
from chalicelib.ports.clock import Clock
from chalicelib.ports.notifications import (
    Accepted,
    NotificationStore,
    SendJob,
    SettingsStore,
    Topics,
    Webhooks,
    WebhookSecrets,
)
from chalicelib.vocabulary import DeliveryStatus, Metric

SPARE = 20.0
"""Seconds before the function's time-out from which no attempt begins: the longest attempt and its writes."""
HIDDEN = 60.0
"""Seconds after which another function may repeat an attempt that was not finished."""


@dataclass(frozen=True)
class NotifyContext:
    """Dependencies of ``NotificationSender``. ``monotonic`` measures deadlines and attempts."""

    settings: SettingsStore
    notifications: NotificationStore
    secrets: WebhookSecrets
    webhooks: Webhooks
    topics: Topics
    executor: Executor
    clock: Clock
    scale: float
    monotonic: Callable[[], float] = time.monotonic


class NotificationSender:
    """Sends notifications: those of one tenant in order, those of several tenants side by side.

    An attempt is counted before it is made, so that a function that is killed in between repeats it later: a
    notification is delivered at least once. A target that does not answer ends its tenant's turn only.
    """

    def __init__(self, context: NotifyContext) -> None:
        self._context = context

    def handle(self, event: Mapping[str, Any], deadline: float) -> None:
        """Send the notifications of an event. Lambda ends the function at ``deadline`` (monotonic)."""
        jobs = [_job_of(each) for each in event["jobs"]]
        running = [self._context.executor.submit(self._send_all, job, deadline - SPARE) for job in jobs]
        failures = [failure for each in running if (failure := each.exception()) is not None]
        for failure in failures:
            log.error("notifications not sent", exc_info=failure, extra={"reason": str(failure)})
        if failures:
            raise Unavailable(f"the notifications of {len(failures)} tenant(s) were not sent") from failures[0]

    def _send_all(self, job: SendJob, stop_at: float) -> None:
        settings = self._context.settings.find(job.tenant)
        for notification_id in job.ids:
            late = self._context.monotonic() > stop_at
            waits = settings is not None and not job.test and self._must_wait(settings)
            if late or waits or not self._send(job.tenant, notification_id, settings):
                return

    def _must_wait(self, settings: NotificationSettings) -> bool:
        quiet = quiet_until(settings.wanted.quiet_hours, self._context.clock()) is not None
        return quiet or not settings.wanted.active

    def _send(self, tenant: str, notification_id: str, settings: NotificationSettings | None) -> bool:
        """Make one attempt, if it is due. Return False if the target does not answer."""
        now = self._context.clock()
        taken = self._context.notifications.take(tenant, notification_id, now, now + HIDDEN)
        if taken is None:
            return True
        if settings is None:
            detail = "The settings of the notifications were deleted before it was sent."
            self._finish(taken.model_copy(update={"detail": detail, "http_status": None}), None)
            return True
        began = self._context.monotonic()
        try:
            accepted = self._attempt(taken, settings, int(now))
        except NotDelivered as refused:
            result = {"http_status": refused.status, "detail": str(refused), "milliseconds": self._since(began)}
            due_at = next_attempt(taken, self._context.clock(), self._context.scale)
            self._finish(taken.model_copy(update=result), due_at)
            return not refused.silent
        result = {"http_status": accepted.status, "detail": None, "milliseconds": self._since(began)}
        self._finish(taken.model_copy(update=result | {"status": DeliveryStatus.DELIVERED}), None)
        return True

    def _attempt(self, taken: Notification, settings: NotificationSettings, timestamp: int) -> Accepted:
        wanted = settings.wanted
        if wanted.topic_arn is not None:
            return self._context.topics.publish(wanted.topic_arn, taken.kind, taken.body)
        try:
            keys = self._context.secrets.keys(settings.secret_id or "", self._context.clock())
        except NotFound as error:
            detail = "The webhook's secret was deleted. Delete the settings and set them up again."
            raise NotDelivered(detail) from error
        headers = signed_headers(keys, taken.id, timestamp, taken.body)
        return self._context.webhooks.send(wanted.url or "", headers, taken.body)

    def _finish(self, notification: Notification, due_at: float | None) -> None:
        final = due_at is None
        delivered = notification.status is DeliveryStatus.DELIVERED
        status = DeliveryStatus.FAILED if final and not delivered else notification.status
        self._context.notifications.finish(notification.model_copy(update={"status": status, "due_at": due_at}))
        if final:
            metrics.add(Metric.NOTIFICATIONS_DELIVERED if delivered else Metric.NOTIFICATIONS_FAILED)
        extra = {"tenant": notification.tenant, "notification": notification.id, "status": status.value}
        log.info("notification sent" if delivered else "notification not sent", extra=extra)

    def _since(self, began: float) -> int:
        return round(1000 * (self._context.monotonic() - began))


def _job_of(fields: Mapping[str, Any]) -> SendJob:
    return SendJob(str(fields["tenant"]), [str(each) for each in fields["ids"]], test=bool(fields.get("test")))
