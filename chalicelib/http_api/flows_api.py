"""Handlers of ``/flows`` and below."""

from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.connections.flows.preview import FlowPreviews
from chalicelib.connections.flows.service import Filter, FlowService
from chalicelib.domain.flows.flow import Flow
from chalicelib.http_api.auth import READ, WRITE, TokenVerifier
from chalicelib.http_api.bodies import Query, id_in, if_match, json_body, json_text
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import etag, json_response, next_link, no_content, path_of

MAX_BODY = 1 << 20
"""Maximum size of a flow in bytes: 10,000 keys have 240 KB without blanks."""


class FlowsApi:
    """Manage flows. Each method handles one call and sees the flows of the caller's tenant only."""

    def __init__(self, auth: TokenVerifier, flows: FlowService, previews: FlowPreviews) -> None:
        self._auth = auth
        self._flows = flows
        self._previews = previews

    @answered
    def create(self, request: Request) -> Response:
        caller = self._auth.caller(request, WRITE)
        flow = self._flows.create(caller.tenant, json_body(request, MAX_BODY))
        return _answer(flow, 201, {"Location": path_of(request, "flows", flow.id)})

    @answered
    def page(self, request: Request) -> Response:
        caller = self._auth.caller(request, READ)
        query = Query(request)
        wanted = Filter(query.text("name"), query.text("connectionId"))
        limit = query.limit()
        query.check()
        found, cursor = self._flows.page(caller.tenant, wanted, limit, query.text("cursor"))
        headers = {} if cursor is None else {"Link": next_link(request, cursor)}
        return json_response([flow.to_json() for flow in found], headers=headers)

    @answered
    def get(self, request: Request, flow_id: str) -> Response:
        caller = self._auth.caller(request, READ)
        return _answer(self._flows.get(caller.tenant, unquote(flow_id)))

    @answered
    def replace(self, request: Request, flow_id: str | None = None) -> Response:
        """Replace a flow; without ``flow_id`` the body's ``id`` names it."""
        caller = self._auth.caller(request, WRITE)
        document = json_body(request, MAX_BODY)
        wanted = id_in(document, "flow") if flow_id is None else unquote(flow_id)
        return _answer(self._flows.replace(caller.tenant, wanted, document, if_match(request)))

    @answered
    def patch(self, request: Request, flow_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        patch = json_body(request, MAX_BODY)
        return _answer(self._flows.patch(caller.tenant, unquote(flow_id), patch, if_match(request)))

    @answered
    def delete(self, request: Request, flow_id: str | None = None) -> Response:
        """Delete a flow; without ``flow_id`` the query's ``id`` names it."""
        caller = self._auth.caller(request, WRITE)
        query = Query(request)
        wanted = query.required("id") if flow_id is None else unquote(flow_id)
        query.check()
        self._flows.delete(caller.tenant, wanted, if_match(request))
        return no_content()

    @answered
    def preview(self, request: Request) -> Response:
        caller = self._auth.caller(request, READ)
        text, document = json_text(request, MAX_BODY)
        return json_response(self._previews.preview(caller.tenant, text, document).to_json())


def _answer(flow: Flow, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return json_response(flow.to_json(), status, {"ETag": etag(flow.version), **(headers or {})})
