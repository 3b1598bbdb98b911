"""The OpenAPI 3.1 document, generated from the models that validate requests."""

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from chalice.app import Request, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from chalicelib import __version__
from chalicelib.http_api.bodies import check_unique_parameters
from chalicelib.http_api.openapi.documents import GatewayError, Problem
from chalicelib.http_api.openapi.operation import Operation
from chalicelib.http_api.openapi.operations import OPERATIONS, PARAMETERS
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response, path_of

_REFERENCE = "#/components/schemas/{model}"
_ALWAYS = (401, 403, 422, 500, 503)
_HEADERS = {
    "Location": "the absolute path of the new resource",
    "ETag": "the version, for If-Match",
    "Total-Count": "the number of connections in a sorted list; absent without a parameter of it",
    "Link": 'the next page, with rel="next"; absent on the last page',
}
_DETAILS = {
    400: "The body is not JSON in UTF-8",
    401: "The token is missing or invalid",
    403: "The token lacks the scope or names no tenant",
    404: "The resource does not exist or belongs to another tenant",
    409: "A limit is reached, or the state of the resource does not allow the call",
    412: "If-Match names another version",
    413: "The body is too large",
    415: "The media type or the Content-Encoding of the body is not supported",
    422: "The request is invalid; errors lists its violations",
    429: "The tenant has reached the rate limit; try again after Retry-After seconds",
    500: "Internal error; requestId identifies the request in the log",
    503: "A required service does not answer; try again after Retry-After seconds",
}
_ALSO_BY_GATEWAY = {415}


class OpenApi:
    """Serve the OpenAPI document to everyone."""

    @answered
    def describe(self, request: Request) -> Response:
        """Return the document, with the path that the request used as the address of the server."""
        check_unique_parameters(request)
        return json_response(document(path_of(request)))


@lru_cache(maxsize=8)
def document(base: str) -> dict[str, Any]:
    """Return the OpenAPI document. ``base``: the prefix of the API's paths, such as ``/api``."""
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation)
    _, definitions = models_json_schema(
        [(model, "validation") for model in _models()], by_alias=True, ref_template=_REFERENCE
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AMQP 0-9-1 connector",
            "version": __version__,
            "description": "Connections between LoRaWAN devices and a tenant's own AMQP broker.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base or "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of the OIDC issuer, with the tenant and the scopes that the call requires.",
                },
                "lrc": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "Token",
                    "description": "The LRC's token, sent with AS_ID and Time: a hash of body, query and AS key.",
                },
            },
        },
    }


def _models() -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {Problem: None, GatewayError: None}

    def gather(part: Any) -> None:
        if isinstance(part, type):
            found[part] = None
        for each in part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else ():
            gather(each)

    for operation in OPERATIONS.values():
        gather(operation.answer)
        gather(operation.body)
    return list(found)


def _schema(part: Any) -> dict[str, Any]:
    """Convert a model, a list with one model, or a schema that contains them to JSON Schema."""
    if isinstance(part, type):
        return {"$ref": _REFERENCE.format(model=part.__name__)}
    if isinstance(part, list):
        return {"type": "array", "items": _schema(part[0])}
    if "anyOf" in part:
        return {"anyOf": [_schema(each) for each in part["anyOf"]]}
    return dict(part)


def _operation(path: str, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [path.split("/")[1]],
        "security": _security(operation),
        "responses": _responses(operation),
    }
    parameters = _parameters(path, operation)
    if parameters:
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = _body(operation)
    return described


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.scope is None:
        return []
    alternatives: list[dict[str, list[str]]] = [{"bearer": [operation.scope]}]
    return [*alternatives, {"lrc": []}] if operation.lrc else alternatives


def _parameters(path: str, operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    for name in operation.query:
        description, schema = operation.parameters.get(name) or PARAMETERS[name]
        schema = schema | ({"minLength": 1} if name in operation.required and "enum" not in schema else {})
        parameter = {"name": name, "in": "query", "description": description, "schema": schema}
        parameters.append(parameter | ({"required": True} if name in operation.required else {}))
    if HTTPStatus.PRECONDITION_FAILED in operation.problems:
        description = "the version to change, in quotes as in ETag; without it, any version"
        parameters.append(
            {"name": "If-Match", "in": "header", "description": description, "schema": {"type": "string"}}
        )
    return parameters


def _body(operation: Operation) -> dict[str, Any]:
    body = operation.body
    schema = _schema(body) if isinstance(body, dict) else {"anyOf": [_schema(model) for model in body]}
    alternatives = schema.get("anyOf", [])
    content: dict[str, Any] = {"schema": alternatives[0] if len(alternatives) == 1 else schema}
    if operation.examples:
        content["examples"] = {name: {"value": value} for name, value in operation.examples.items()}
    return {"required": True, "content": dict.fromkeys(operation.media_types, content)}


def _responses(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(operation.success).phrase}
    if operation.answer is not None:
        success["content"] = {"application/json": {"schema": _schema(operation.answer)}}
    if operation.headers:
        success["headers"] = {
            name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in operation.headers
        }
    responses = {str(operation.success): success}
    always = () if operation.scope is None else _ALWAYS
    for status in sorted({*operation.problems, *always}):
        responses[str(status)] = _problem(status)
    return responses


def _problem(status: int) -> dict[str, Any]:
    content: dict[str, Any] = {"application/problem+json": {"schema": _schema(Problem)}}
    if status in _ALSO_BY_GATEWAY:
        content["application/json"] = {"schema": _schema(GatewayError)}
    described: dict[str, Any] = {"description": _DETAILS[status], "content": content}
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        seconds = {"description": "seconds", "schema": {"type": "string"}}
        described["headers"] = {"Retry-After": seconds}
    return described
