"""Handlers of ``/application-servers`` and below."""

from urllib.parse import unquote

from chalice.app import Request, Response
from pydantic import ValidationError

from chalicelib.domain.application_server import ApplicationServer, ApplicationServerRequest
from chalicelib.domain.connectors.common import MASK
from chalicelib.domain.validation.violations import violations_of
from chalicelib.errors import InvalidRequest, Violation
from chalicelib.http_api.auth import READ, WRITE, TokenVerifier
from chalicelib.http_api.bodies import json_body
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response, no_content, path_of
from chalicelib.ports.secrets import ApplicationServerStore


class ApplicationServersApi:
    """Register, list and delete a tenant's application servers. Responses show AS keys as ``*****``."""

    def __init__(self, auth: TokenVerifier, servers: ApplicationServerStore) -> None:
        self._auth = auth
        self._servers = servers

    @answered
    def create(self, request: Request) -> Response:
        caller = self._auth.caller(request, WRITE)
        wanted = _parse(json_body(request))
        server = self._servers.put(caller.tenant, wanted.as_id, wanted.as_key)
        location = path_of(request, "application-servers", server.as_id)
        return json_response(_document(server), 201, {"Location": location})

    @answered
    def all(self, request: Request) -> Response:
        caller = self._auth.caller(request, READ)
        return json_response([_document(server) for server in self._servers.of_tenant(caller.tenant)])

    @answered
    def delete(self, request: Request, as_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        self._servers.delete(caller.tenant, unquote(as_id))
        return no_content()


def _document(server: ApplicationServer) -> dict[str, str]:
    return {"asId": server.as_id, "asKey": MASK, "createdAt": server.created_at}


def _parse(document: object) -> ApplicationServerRequest:
    try:
        wanted = ApplicationServerRequest.model_validate(document, strict=True, by_name=False, by_alias=True)
    except ValidationError as error:
        raise InvalidRequest(violations_of(error, {"": ["asId", "asKey"]})) from None
    if wanted.as_key == MASK:
        raise InvalidRequest([Violation("/asKey", "This is the mask of a stored key; send the key itself.")])
    return wanted
