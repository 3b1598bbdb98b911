"""Handler of ``/connections/{id}/statistics``."""

from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.connections.service import ConnectionService
from chalicelib.connections.statistics import ConnectionStatistics, Period
from chalicelib.http_api.auth import READ, TokenVerifier
from chalicelib.http_api.bodies import Query
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response


class StatisticsApi:
    """Return the statistics of a connection for a period, by default the last hour."""

    def __init__(self, auth: TokenVerifier, connections: ConnectionService, statistics: ConnectionStatistics) -> None:
        self._auth = auth
        self._connections = connections
        self._statistics = statistics

    @answered
    def get(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, READ)
        query = Query(request)
        period = query.choice("period", Period) or Period.HOUR
        query.check()
        connection = self._connections.get(caller.tenant, unquote(connection_id))
        return json_response(self._statistics.of(connection, period).to_json())
