"""Notifications as they are stored and sent, and their schedule of attempts."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from chalicelib.domain.notifications.changes import Change
from chalicelib.kernel.backoff import backoff
from chalicelib.kernel.times import iso_time
from chalicelib.vocabulary import DeliveryStatus

TEST = "test"
"""The ``type`` of the notification that a tenant asks for to test its settings."""
GIVE_UP_AFTER = 48 * 3600.0
"""Seconds after the first attempt from which a failed attempt is the last one."""
_FIRST, _LONGEST = 60.0, 900.0


class Notification(BaseModel):
    """A notification with its attempts. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    id: str
    kind: str
    """A ``NotificationKind``, or ``TEST``."""
    time: str
    connection_id: str | None = None
    body: str
    """The JSON text that is sent. Each attempt sends the same."""
    status: DeliveryStatus = DeliveryStatus.PENDING
    due_at: float | None = None
    """The next attempt; None once the status is final."""
    attempts: int = 0
    first_attempt: float | None = None
    last_attempt: float | None = None
    http_status: int | None = None
    detail: str | None = None
    """The result of the last attempt, a sentence."""
    milliseconds: int | None = None

    @property
    def message(self) -> str:
        """The sentence in the body."""
        body = json.loads(self.body)
        return str(body["data"]["message"])

    def to_json(self) -> dict[str, Any]:
        """Return the document of the API, with the sentence of the body."""
        return {
            "id": self.id,
            "kind": self.kind,
            "time": self.time,
            "connectionId": self.connection_id,
            "message": self.message,
            "status": self.status.value,
            "attempts": self.attempts,
            "lastAttempt": None if self.last_attempt is None else iso_time(self.last_attempt),
            "nextAttempt": None if self.due_at is None else iso_time(self.due_at),
            "httpStatus": self.http_status,
            "detail": self.detail,
            "milliseconds": self.milliseconds,
        }


def notification_of(change: Change, now: float) -> Notification:
    """Return the notification of a change, due at once."""
    connection = change.connection
    data = {
        "connectionId": connection.id,
        "connectionName": connection.name,
        "state": connection.state.value,
        "message": change.message,
        **change.details,
    }
    return Notification(
        tenant=connection.tenant,
        id=change.id,
        kind=change.kind.value,
        time=iso_time(change.at),
        connection_id=connection.id,
        body=_body(change.kind.value, change.at, data),
        due_at=now,
    )


def notification_of_test(tenant: str, notification_id: str, now: float) -> Notification:
    """Return the notification of a test."""
    data = {"message": "This is a test of the notifications. No connection changed."}
    body = _body(TEST, now, data)
    return Notification(tenant=tenant, id=notification_id, kind=TEST, time=iso_time(now), body=body)


def next_attempt(notification: Notification, now: float, scale: float) -> float | None:
    """Return the time of the attempt after one that failed ``now``, or None to give up.

    The delay starts at a minute and doubles up to a quarter of an hour, until two days after the first attempt. A test
    is tried once.
    """
    began = now if notification.first_attempt is None else notification.first_attempt
    if notification.kind == TEST or now - began >= GIVE_UP_AFTER / scale:
        return None
    return now + backoff(max(1, notification.attempts), first=_FIRST, longest=_LONGEST, scale=scale)


def _body(kind: str, moment: float, data: dict[str, Any]) -> str:
    return json.dumps({"type": kind, "timestamp": iso_time(moment), "data": data}, ensure_ascii=False)
