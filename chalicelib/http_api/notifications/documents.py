"""Models of the documents of ``/notifications`` that only the OpenAPI document uses."""

from typing import Annotated, Any, Literal

from pydantic import Field

from chalicelib.domain.notifications.notification import TEST
from chalicelib.domain.notifications.settings import NotificationRequest
from chalicelib.kernel.documents import Document
from chalicelib.vocabulary import DeliveryStatus, NotificationKind

_IGNORED = "read-only: accepted and ignored, so that a client can send back a document that it has read"


class NotificationReplacement(NotificationRequest):
    """The new settings of notifications; either ``url`` or ``topicArn`` is mandatory."""

    secret: Annotated[Literal["*****"] | None, Field(description="keeps the secret, as leaving it out does")] = None
    created_at: Annotated[Any, Field(description=_IGNORED)] = None
    updated_at: Annotated[Any, Field(description=_IGNORED)] = None
    version: Annotated[Any, Field(description=_IGNORED)] = None


class ReadNotifications(NotificationRequest):
    """The settings of notifications in responses; fields that are not set are absent."""

    secret: Annotated[
        str | None,
        Field(description="shown once, in the response to the request that made it; ***** afterwards"),
    ] = None
    created_at: str
    updated_at: str
    version: int


class NewSecret(Document):
    """A new secret of the webhook; the previous one signs, too, until ``previousSecretUntil``."""

    secret: str
    previous_secret_until: str


class Delivery(Document):
    """A notification with the result of its last attempt."""

    id: Annotated[
        str, Field(description="the webhook-id: the same in each attempt, so that a receiver can drop repeats")
    ]
    kind: NotificationKind | Literal["test"] = Field(description=f"the type of the body; {TEST} for a test")
    time: str
    connection_id: str | None
    message: str
    status: DeliveryStatus
    attempts: int
    last_attempt: str | None
    next_attempt: str | None
    http_status: int | None
    detail: Annotated[str | None, Field(description="why the last attempt failed, and the remedy")]
    milliseconds: int | None
