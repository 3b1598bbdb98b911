"""Handlers that list events and messages that failed for good."""

from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.connections.service import ConnectionService
from chalicelib.domain.event import Event, Level
from chalicelib.domain.failed_message import Direction, FailedMessage, MessageStatus
from chalicelib.http_api.auth import READ, TokenVerifier
from chalicelib.http_api.bodies import Query
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response, next_link
from chalicelib.ports.history import EventPages, FailedMessagePages


class HistoryApi:
    """List events and failed messages, newest first, in pages."""

    def __init__(
        self,
        auth: TokenVerifier,
        connections: ConnectionService,
        events: EventPages,
        failed: FailedMessagePages,
    ) -> None:
        self._auth = auth
        self._connections = connections
        self._events = events
        self._failed = failed

    @answered
    def events(self, request: Request, connection_id: str | None = None) -> Response:
        """List a connection's events; without ``connection_id`` the tenant's, including deleted connections."""
        caller = self._auth.caller(request, READ)
        query = Query(request)
        since, until = query.moment("from"), query.moment("to")
        level, limit = query.choice("level", Level), query.limit()
        query.check()
        if connection_id is not None:
            connection_id = self._connections.get(caller.tenant, unquote(connection_id)).id
        cursor = query.text("cursor")
        return _list(
            request,
            *self._events.page(
                caller.tenant, connection_id, since=since, until=until, level=level, limit=limit, cursor=cursor
            ),
        )

    @answered
    def messages(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, READ)
        query = Query(request)
        query.choice("status", MessageStatus)
        direction, limit = query.choice("direction", Direction), query.limit()
        query.check()
        connection = self._connections.get(caller.tenant, unquote(connection_id))
        return _list(request, *self._failed.page(caller.tenant, connection.id, limit, query.text("cursor"), direction))


def _list(request: Request, documents: list[Event] | list[FailedMessage], cursor: str | None) -> Response:
    body = [document.to_json() for document in documents]
    return json_response(body, headers={} if cursor is None else {"Link": next_link(request, cursor)})
