"""Handlers of ``/connectors``."""

from typing import Any

from chalice.app import Request, Response

from chalicelib.domain.connectors import CONNECTORS, Connector
from chalicelib.errors import NotFound
from chalicelib.http_api.auth import READ, TokenVerifier
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response


class ConnectorsApi:
    """Lists the connector types with the JSON Schema of their configuration."""

    def __init__(self, auth: TokenVerifier) -> None:
        self._auth = auth

    @answered
    def all(self, request: Request) -> Response:
        self._auth.caller(request, READ)
        return json_response([_document(connector) for connector in CONNECTORS])

    @answered
    def get(self, request: Request, connector_id: str) -> Response:
        self._auth.caller(request, READ)
        found = next((connector for connector in CONNECTORS if connector.id == connector_id), None)
        if found is None:
            raise NotFound(
                f"The connector {connector_id[:40]} does not exist. GET /connectors lists the available connectors."
            )
        return json_response(_document(found))


def _document(connector: Connector) -> dict[str, Any]:
    schema = connector.configuration.model_json_schema(by_alias=True)
    return {
        "id": connector.id,
        "name": connector.name,
        "connection": {"configurationSchema": {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}},
    }
