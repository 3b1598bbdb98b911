"""Routes of ``/notifications``, for which ``app.py`` has no room. Each delegates with one call."""

from chalice.app import Blueprint, Request, Response

from chalicelib.entry.services import services

notifications = Blueprint(__name__)
_JSON = ["application/json"]


def _request() -> Request:
    return notifications.current_request


@notifications.route("/notifications", methods=["GET"])
def get_notifications() -> Response:
    return services().notifications_api.get(_request())


@notifications.route("/notifications", methods=["PUT"], content_types=_JSON)
def replace_notifications() -> Response:
    return services().notifications_api.replace(_request())


@notifications.route("/notifications", methods=["DELETE"])
def delete_notifications() -> Response:
    return services().notifications_api.delete(_request())


@notifications.route("/notifications/test", methods=["POST"])
def test_notifications() -> Response:
    return services().notifications_api.test(_request())


@notifications.route("/notifications/rotate-secret", methods=["POST"])
def rotate_notification_secret() -> Response:
    return services().notifications_api.rotate_secret(_request())


@notifications.route("/notifications/deliveries", methods=["GET"])
def list_deliveries() -> Response:
    return services().notifications_api.deliveries(_request())
