"""The answer of ``POST /uplinks``: the network server delivers a report."""

from chalice.app import Request, Response

from chalicelib.http_api.auth import UPLINKS, TokenVerifier
from chalicelib.http_api.bodies import raw_body
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response
from chalicelib.network_servers.thingpark.reports import MAX_REPORT_SIZE
from chalicelib.uplinks.bulk import MAX_BULK_SIZE, BulkIngress
from chalicelib.uplinks.ingress import Ingress


class UplinksApi:
    """Handler of ``POST /uplinks``."""

    def __init__(self, auth: TokenVerifier, ingress: Ingress, bulk: BulkIngress) -> None:
        self._auth = auth
        self._bulk = bulk
        self._ingress = ingress

    @answered
    def deliver(self, request: Request) -> Response:
        """With a bearer token, a report or an array of them; else a report with the LRC's token.

        200 says that every matching connection's queue has the report."""
        if request.headers.get("authorization"):
            tenant = self._auth.caller(request, UPLINKS).tenant
            body = raw_body(request, MAX_BULK_SIZE)
            if body.lstrip()[:1] == b"[":
                results = self._bulk.accept(tenant, body)
                return json_response([result.model_dump(exclude_none=True) for result in results])
            self._ingress.accept(tenant, body)
        else:
            query = request.query_params
            # The order received: Chalice keeps that of the event, and the token is tried with others, too.
            items = [] if query is None else [(name, value) for name in query for value in query.getlist(name)]
            self._ingress.accept_from_lrc(items, raw_body(request, MAX_REPORT_SIZE))
        return json_response({"status": 200})
