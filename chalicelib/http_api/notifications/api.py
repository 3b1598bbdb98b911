"""Handlers of ``/notifications`` and below."""

from chalice.app import Request, Response

from chalicelib.connections.notifications.service import NotificationService, document_of
from chalicelib.http_api.auth import READ, WRITE, TokenVerifier
from chalicelib.http_api.bodies import if_match, json_body
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import etag, json_response, no_content


class NotificationsApi:
    """Set up a tenant's notifications, test them and list those that were sent."""

    def __init__(self, auth: TokenVerifier, notifications: NotificationService) -> None:
        self._auth = auth
        self._notifications = notifications

    @answered
    def get(self, request: Request) -> Response:
        caller = self._auth.caller(request, READ)
        settings = self._notifications.get(caller.tenant)
        return json_response(document_of(settings), headers={"ETag": etag(settings.version)})

    @answered
    def replace(self, request: Request) -> Response:
        caller = self._auth.caller(request, WRITE)
        settings, secret = self._notifications.replace(caller.tenant, json_body(request), if_match(request))
        return json_response(document_of(settings, secret), headers={"ETag": etag(settings.version)})

    @answered
    def delete(self, request: Request) -> Response:
        caller = self._auth.caller(request, WRITE)
        self._notifications.delete(caller.tenant, if_match(request))
        return no_content()

    @answered
    def test(self, request: Request) -> Response:
        caller = self._auth.caller(request, WRITE)
        return json_response(self._notifications.test(caller.tenant).to_json())

    @answered
    def rotate_secret(self, request: Request) -> Response:
        caller = self._auth.caller(request, WRITE)
        secret, until = self._notifications.rotate_secret(caller.tenant)
        return json_response({"secret": secret, "previousSecretUntil": until})

    @answered
    def deliveries(self, request: Request) -> Response:
        caller = self._auth.caller(request, READ)
        return json_response([each.to_json() for each in self._notifications.log(caller.tenant)])
