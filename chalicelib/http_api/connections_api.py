"""Handlers of ``/connections`` and below."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.connections.flows.preview import routing_mode
from chalicelib.connections.overview.listing import ConnectionLists
from chalicelib.connections.service import ConnectionService, Filter
from chalicelib.domain.connection import Connection
from chalicelib.domain.notice import with_warnings
from chalicelib.http_api.auth import READ, WRITE, TokenVerifier
from chalicelib.http_api.bodies import Query, id_in, if_match, json_body
from chalicelib.http_api.overview.overview_api import MAX_OFFSET, SortedPage, is_sorted
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import etag, json_response, next_link, no_content, path_of
from chalicelib.uplinks.routing import RoutingCache
from chalicelib.vocabulary import ConnectionState


class ConnectionsApi:
    """Manage connections. Each method handles one call and sees the connections of the caller's tenant only."""

    def __init__(
        self, auth: TokenVerifier, connections: ConnectionService, routing: RoutingCache, lists: ConnectionLists
    ) -> None:
        self._lists = lists
        self._auth = auth
        self._connections = connections
        self._routing = routing

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
        if is_sorted(query):
            return self._sorted(request, caller.tenant, query)
        wanted = Filter(query.text("name"), query.choice("state", ConnectionState))
        limit = query.limit()
        query.check()
        found, cursor = self._connections.page(caller.tenant, wanted, limit, query.text("cursor"))
        headers = {} if cursor is None else {"Link": next_link(request, cursor)}
        return json_response(self._documents(caller.tenant, found), headers=headers)

    def _sorted(self, request: Request, tenant: str, query: Query) -> Response:
        page = SortedPage.of(query)
        if query.text("cursor") is not None:
            query.refuse("cursor", "A sorted list has no cursor. Use offset.")
        query.check()
        found, number = page.read(self._lists, tenant)
        after = page.offset + page.limit
        headers = {"Total-Count": str(number)}
        if after < min(number, MAX_OFFSET):
            headers["Link"] = next_link(request, str(after), "offset")
        return json_response(self._documents(tenant, found), headers=headers)

    @answered
    def get(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, READ)
        return self._answer(self._connections.get(caller.tenant, unquote(connection_id)))

    @answered
    def replace(self, request: Request, connection_id: str | None = None) -> Response:
        """Replace a connection; without ``connection_id`` the body's ``id`` names it."""
        caller = self._auth.caller(request, WRITE)
        document = json_body(request)
        wanted = id_in(document, "connection") if connection_id is None else unquote(connection_id)
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
        force = query.flag("force")
        query.check()
        self._connections.delete(caller.tenant, wanted, if_match(request), force=force)
        return no_content()

    @answered
    def restart(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        return self._answer(self._connections.restart(caller.tenant, unquote(connection_id)), 202)

    def _saved(self, connection: Connection, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        """Return a connection that was created or changed, with the warnings that it causes."""
        [document] = self._documents(connection.tenant, [connection])
        document = with_warnings(document, self._connections.notices(connection))
        return json_response(document, status, {"ETag": etag(connection.version), **(headers or {})})

    def _answer(self, connection: Connection, status: int = 200) -> Response:
        [document] = self._documents(connection.tenant, [connection])
        return json_response(document, status, {"ETag": etag(connection.version)})

    def _documents(self, tenant: str, connections: Sequence[Connection]) -> list[dict[str, Any]]:
        """Return the documents of connections, each with its ``routing``."""
        flows = self._routing.flows(tenant)
        return [each.to_json() | {"routing": routing_mode(flows, each.id)} for each in connections]
