"""Handlers of ``/connections/test``, ``/connections/{id}/test`` and ``/connections/preview``; they save nothing."""

from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.connections.preview import preview
from chalicelib.connections.tests import ConnectionTests
from chalicelib.http_api.auth import READ, WRITE, TokenVerifier
from chalicelib.http_api.bodies import MAX_BODY, json_body, json_text
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response
from chalicelib.network_servers.thingpark.reports import MAX_REPORT_SIZE


class ConnectionTestsApi:
    """Test a connection, or preview the message that it would publish for a report."""

    def __init__(self, auth: TokenVerifier, tests: ConnectionTests) -> None:
        self._auth = auth
        self._tests = tests

    @answered
    def test_unsaved(self, request: Request) -> Response:
        """Test the connection in the body. Requires the write scope, because the caller chooses the host."""
        caller = self._auth.caller(request, WRITE)
        return json_response(self._tests.test_unsaved(caller.tenant, json_body(request)).to_json())

    @answered
    def test_saved(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        return json_response(self._tests.test_saved(caller.tenant, unquote(connection_id)).to_json())

    @answered
    def preview(self, request: Request) -> Response:
        """Calculate a message. The read scope is enough, because nothing is published."""
        self._auth.caller(request, READ)
        text, document = json_text(request, MAX_REPORT_SIZE + MAX_BODY)
        return json_response(preview(text, document).to_json())
