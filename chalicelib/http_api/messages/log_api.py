"""Handlers that follow messages: the list of messages with their histories, and one failed message."""

from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.connections.messages.search import MessageSearch, Wanted
from chalicelib.connections.service import ConnectionService
from chalicelib.domain.failed_message import Direction
from chalicelib.domain.messages.history import TraceStatus
from chalicelib.errors import InvalidRequest, NotFound, Violation
from chalicelib.http_api.auth import READ, TokenVerifier
from chalicelib.http_api.bodies import Query
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response, next_link
from chalicelib.kernel.ids import is_id
from chalicelib.network_servers.thingpark.reports import parse_dev_eui
from chalicelib.ports.connections import ManagedConnections
from chalicelib.ports.message_log import FailedMessagesByTime


class MessageLogApi:
    """List messages with their histories, and read one failed message."""

    def __init__(
        self,
        auth: TokenVerifier,
        connections: ConnectionService,
        store: ManagedConnections,
        search: MessageSearch,
        failed: FailedMessagesByTime,
    ) -> None:
        self._auth = auth
        self._connections = connections
        self._store = store
        self._search = search
        self._failed = failed

    @answered
    def page(self, request: Request) -> Response:
        caller = self._auth.caller(request, READ)
        query = Query(request)
        since, until = query.moment("from"), query.moment("to")
        status, direction = query.choice("status", TraceStatus), query.choice("direction", Direction)
        limit, connection_id = query.limit(), query.text("connectionId")
        query.check()
        device = _device(query.text("devEUI"))
        if connection_id is None:
            connections = [connection.id for connection in self._store.newest_first(caller.tenant)]
        else:
            connections = [self._connections.get(caller.tenant, connection_id).id]
        wanted = Wanted(connections, connection_id, device, since, until, status, direction)
        messages, cursor = self._search.page(caller.tenant, wanted, limit, query.text("cursor"))
        headers = {} if cursor is None else {"Link": next_link(request, cursor)}
        return json_response([message.to_json() for message in messages], headers=headers)

    @answered
    def failed(self, request: Request, connection_id: str, message_id: str) -> Response:
        """Return one failed message. Raises NotFound after its replay, its purge, or 30 days."""
        caller = self._auth.caller(request, READ)
        connection = self._connections.get(caller.tenant, unquote(connection_id))
        name = unquote(message_id)
        found = self._failed.some(caller.tenant, connection.id, [name]) if is_id(name) else []
        if not found:
            raise NotFound(f"The failed message {name[:40]} does not exist. It may have been replayed or deleted.")
        return json_response(found[0].to_json())


def _device(text: str | None) -> str | None:
    if text is None:
        return None
    device = parse_dev_eui(text)
    if device is None:
        raise InvalidRequest([Violation("/devEUI", "This must be a DevEUI: 16 hexadecimal digits.")])
    return device
