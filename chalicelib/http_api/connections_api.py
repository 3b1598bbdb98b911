"""Handlers of ``/connections`` and below."""

from typing import Any
from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.connections.service import ConnectionService, Filter
from chalicelib.domain.connection import Connection
from chalicelib.domain.notice import with_warnings
from chalicelib.errors import InvalidRequest, Violation
from chalicelib.http_api.auth import READ, WRITE, TokenVerifier
from chalicelib.http_api.bodies import Query, if_match, json_body
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import etag, json_response, next_link, no_content, path_of
from chalicelib.vocabulary import ConnectionState


class ConnectionsApi:
    """Manage connections. Each method handles one call and sees the connections of the caller's tenant only."""

    def __init__(self, auth: TokenVerifier, connections: ConnectionService) -> None:
        self._auth = auth
        self._connections = connections

    @answered
    def create(self, request: Request) -> Response:
        caller = self._auth.caller(request, WRITE)
        connection = self._connections.create(caller.tenant, json_body(request))
        location = path_of(request, "connections", connection.id)
        return self._saved(connection, 201, {"Location": location})

    @answered
    def page(self, request: Request) -> Response:
        caller = self._auth.caller(request, READ)
        query = Query(request)
        wanted = Filter(query.text("name"), query.choice("state", ConnectionState))
        limit = query.limit()
        query.check()
        found, cursor = self._connections.page(caller.tenant, wanted, limit, query.text("cursor"))
        headers = {} if cursor is None else {"Link": next_link(request, cursor)}
        return json_response([connection.to_json() for connection in found], headers=headers)

    @answered
    def get(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, READ)
        return _answer(self._connections.get(caller.tenant, unquote(connection_id)))

    @answered
    def replace(self, request: Request, connection_id: str | None = None) -> Response:
        """Replace a connection; without ``connection_id`` the body's ``id`` names it."""
        caller = self._auth.caller(request, WRITE)
        document = json_body(request)
        wanted = _id_in(document) if connection_id is None else unquote(connection_id)
        return self._saved(self._connections.replace(caller.tenant, wanted, document, if_match(request)))

    @answered
    def patch(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        patch = json_body(request)
        return self._saved(self._connections.patch(caller.tenant, unquote(connection_id), patch, if_match(request)))

    @answered
    def delete(self, request: Request, connection_id: str | None = None) -> Response:
        """Delete a connection; without ``connection_id`` the query's ``id`` names it."""
        caller = self._auth.caller(request, WRITE)
        query = Query(request)
        wanted = query.required("id") if connection_id is None else unquote(connection_id)
        query.check()
        self._connections.delete(caller.tenant, wanted, if_match(request))
        return no_content()

    @answered
    def restart(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        return _answer(self._connections.restart(caller.tenant, unquote(connection_id)), 202)

    def _saved(self, connection: Connection, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        """Return a connection that was created or changed, with the warnings that it causes."""
        document = with_warnings(connection.to_json(), self._connections.notices(connection))
        return json_response(document, status, {"ETag": etag(connection.version), **(headers or {})})


def _answer(connection: Connection, status: int = 200) -> Response:
    return json_response(connection.to_json(), status, {"ETag": etag(connection.version)})


def _id_in(document: Any) -> str:
    wanted = document.get("id") if isinstance(document, dict) else None
    if not isinstance(wanted, str) or not wanted:
        raise InvalidRequest(
            [Violation("/id", "The connection's id is mandatory here; add it, or use PUT /connections/{id}.")]
        )
    return wanted
