"""Answers of ``/connections/test``, ``/connections/{id}/test`` and ``/connections/preview``: nothing is saved."""

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
    """Handlers of connection tests and previews."""

    def __init__(self, auth: TokenVerifier, trial: ConnectionTests) -> None:
        self._auth = auth
        self._trial = trial

    @answered
    def test_unsaved(self, request: Request) -> Response:
        """Needs the right to write: it connects to where the caller says."""
        caller = self._auth.caller(request, WRITE)
        return json_response(self._trial.test_unsaved(caller.tenant, json_body(request)).to_json())

    @answered
    def test_saved(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        return json_response(self._trial.test_saved(caller.tenant, unquote(connection_id)).to_json())

    @answered
    def preview(self, request: Request) -> Response:
        """A calculation, so who may read may ask."""
        self._auth.caller(request, READ)
        text, document = json_text(request, MAX_REPORT_SIZE + MAX_BODY)
        return json_response(preview(text, document).to_json())
