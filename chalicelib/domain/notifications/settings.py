"""A tenant's settings of notifications: request and record."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.domain.alarm_windows import window_at
from chalicelib.domain.connection import Alarm
from chalicelib.kernel.documents import Document
from chalicelib.kernel.json_schema import Whole
from chalicelib.vocabulary import NotificationKind

_TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
TimeOfDay = Annotated[str, Field(pattern=_TIME_OF_DAY)]
"""A local time such as ``22:00``."""


class QuietHours(Document):
    """Hours of each day in which notifications wait; they are sent at ``endTime``. Both are local to ``timezone``.

    The hours extend past midnight if ``endTime`` is earlier than ``startTime``.
    """

    start_time: TimeOfDay
    end_time: TimeOfDay
    timezone: str = Field(default="UTC", max_length=64)


class NotificationRequest(Document):
    """The target of a tenant's notifications, either ``url`` or ``topicArn``, and their kinds."""

    active: bool = True
    url: str | None = Field(default=None, min_length=1, max_length=2048)
    topic_arn: str | None = Field(default=None, min_length=1, max_length=512)
    kinds: list[NotificationKind] = Field(default=list(NotificationKind), min_length=1, max_length=16)
    faulty_after: Whole = Field(default=5, ge=1, le=1440)
    """Minutes of an outage after which a connection is reported as faulty."""
    quiet_hours: QuietHours | None = None


class NotificationSettings(BaseModel):
    """The stored settings of a tenant. Secrets Manager stores the webhook's secret under ``secret_id``."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    wanted: NotificationRequest
    secret_id: str | None = None
    """The name of the secret; None for a topic."""
    active_since: float
    """Unix seconds since which changes are reported; earlier ones are not."""
    version: int = 1
    created_at: str
    updated_at: str

    @property
    def target(self) -> str:
        """The address of the webhook or the ARN of the topic."""
        return self.wanted.url or self.wanted.topic_arn or ""


def quiet_until(hours: QuietHours | None, now: float) -> float | None:
    """Return the end of the quiet hours that contain ``now``, in Unix seconds, or None outside of quiet hours.

    A clock change moves both ends as it moves those of an alarm's window.
    """
    if hours is None:
        return None
    daily = Alarm(
        start_time=hours.start_time,
        end_time=hours.end_time,
        timezone=hours.timezone,
        uplink_rate_min_per_hour=0,
    )
    window = window_at(daily, now)
    return None if window is None else window.end
