"""Answers of ``/connectors`` and ``/health``."""

from typing import Any

from chalice.app import Request, Response

from chalicelib.domain.models import CONNECTOR_ID, AmqpConfiguration
from chalicelib.errors import NotFound
from chalicelib.http_api.auth import TokenVerifier
from chalicelib.http_api.connections_api import READ
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response


class ConnectorsApi:
    def __init__(self, auth: TokenVerifier) -> None:
        self._auth = auth

    @answered
    def all(self, request: Request) -> Response:
        self._auth.caller(request, READ)
        return json_response([_amqp()])

    @answered
    def get(self, request: Request, connector_id: str) -> Response:
        self._auth.caller(request, READ)
        if connector_id != CONNECTOR_ID:
            raise NotFound("there is no such connector")
        return json_response(_amqp())


def _amqp() -> dict[str, Any]:
    schema = AmqpConfiguration.model_json_schema(by_alias=True)
    return {
        "id": CONNECTOR_ID,
        "name": "AMQP 0-9-1",
        "connection": {"configurationSchema": {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}},
    }
