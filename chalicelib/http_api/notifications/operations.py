"""The operations of ``/notifications`` for the OpenAPI document."""

from typing import Any

from chalicelib.http_api.auth import READ, WRITE
from chalicelib.http_api.notifications import documents as doc
from chalicelib.http_api.openapi.operation import Operation

_SETTINGS: dict[str, Any] = {
    "url": "https://hooks.example.com/iot",
    "kinds": ["connection.faulty", "connection.recovered"],
    "faultyAfter": 10,
    "quietHours": {"startTime": "22:00", "endTime": "06:00", "timezone": "Europe/Paris"},
}
_PATH = "/notifications"

NOTIFICATION_OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", _PATH): Operation(
        "get_notifications", "Get the settings of notifications", READ, doc.ReadNotifications,
        headers=("ETag",), problems=(404,),
    ),
    ("PUT", _PATH): Operation(
        "replace_notifications", "Create or replace the settings of notifications", WRITE, doc.ReadNotifications,
        body=(doc.NotificationReplacement,), headers=("ETag",), problems=(400, 412, 413, 415, 422),
        examples={"webhook": _SETTINGS},
    ),
    ("DELETE", _PATH): Operation(
        "delete_notifications", "Delete the settings of notifications and the secret", WRITE, None, 204,
        problems=(404, 412),
    ),
    ("POST", f"{_PATH}/test"): Operation(
        "test_notifications", "Send a test notification now, also in quiet hours", WRITE, doc.Delivery,
        problems=(404, 429),
    ),
    ("POST", f"{_PATH}/rotate-secret"): Operation(
        "rotate_notification_secret", "Make a new secret; the previous one signs, too, for a day", WRITE,
        doc.NewSecret, problems=(404, 409),
    ),
    ("GET", f"{_PATH}/deliveries"): Operation(
        "list_deliveries", "List the last 100 notifications, newest first", READ, [doc.Delivery]
    ),
}  # fmt: skip
