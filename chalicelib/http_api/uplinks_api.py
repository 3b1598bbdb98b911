"""Handler of ``POST /uplinks``, to which network servers and bridges deliver reports."""

from chalice.app import Request, Response

from chalicelib.http_api.auth import UPLINKS, TokenVerifier
from chalicelib.http_api.bodies import check_unique_parameters, raw_body
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response
from chalicelib.network_servers.thingpark.reports import MAX_REPORT_SIZE
from chalicelib.uplinks.bulk import MAX_BULK_SIZE, BulkIngress
from chalicelib.uplinks.ingress import Ingress


class UplinksApi:
    """Accept reports. A 200 means that the queue of every matching connection has stored the report."""

    def __init__(self, auth: TokenVerifier, ingress: Ingress, bulk: BulkIngress) -> None:
        self._auth = auth
        self._bulk = bulk
        self._ingress = ingress

    @answered
    def deliver(self, request: Request) -> Response:
        """Accept a report or an array of reports with a bearer token, or a report with the LRC's token."""
        if request.headers.get("authorization"):
            tenant = self._auth.caller(request, UPLINKS).tenant
            body = raw_body(request, MAX_BULK_SIZE)
            if body.lstrip()[:1] == b"[":
                results = self._bulk.accept(tenant, body)
                return json_response([result.model_dump(exclude_none=True) for result in results])
            self._ingress.accept(tenant, body)
        else:
            check_unique_parameters(request)
            query = request.query_params
            # The LRC's token covers the parameters in their order; Chalice keeps the order of the event.
            items = [] if query is None else [(name, query[name]) for name in query]
            self._ingress.accept_from_lrc(items, lambda: raw_body(request, MAX_REPORT_SIZE))
        return json_response({"status": 200})
