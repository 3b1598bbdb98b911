"""moto, made to refuse what AWS refuses, and to answer what AWS answers, where a deployment depends on it."""

import json
from typing import Any

from moto.apigateway import urls as gateway_urls
from moto.apigateway.responses import APIGatewayResponse
from moto.awslambda import urls
from moto.awslambda.models import LambdaBackend
from moto.awslambda.responses import LambdaResponse
from moto.core.exceptions import JsonRESTError

LIMIT = 1000
"""Concurrent executions of the account, unless ``set_limit`` said otherwise."""
_limit = [LIMIT]


class _Conflict(JsonRESTError):
    code = 409

    def __init__(self, message: str) -> None:
        super().__init__("ResourceConflictException", message)


def set_limit(limit: int) -> None:
    _limit[0] = limit


def make_strict() -> None:
    """Change moto's classes, once per process."""
    _refuse_second_mappings()
    _refuse_existing_functions()
    _accept_chalices_documents()
    _answer_account_settings()
    _tag_rest_apis()


def _refuse_second_mappings() -> None:
    create = LambdaBackend.create_event_source_mapping

    def strict(self: LambdaBackend, spec: dict[str, Any]) -> Any:
        function = spec.get("FunctionName", "").rsplit(":", 1)[-1]
        for mapping in self._event_source_mappings.values():
            same = mapping.function_arn.rsplit(":", 1)[-1] == function
            if same and mapping.event_source_arn == spec.get("EventSourceArn"):
                raise _Conflict(
                    f'An event source mapping with SQS arn (" {mapping.event_source_arn} ") and function '
                    f'(" {function} ") already exists. Please update or delete the existing mapping with UUID '
                    f"{mapping.uuid}"
                )
        return create(self, spec)

    LambdaBackend.create_event_source_mapping = strict  # type: ignore[method-assign]


def _refuse_existing_functions() -> None:
    create = LambdaBackend.create_function

    def strict(self: LambdaBackend, spec: dict[str, Any]) -> Any:
        name = spec["FunctionName"]
        if any(each.function_name == name for each in self.list_functions()):
            raise _Conflict(f"Function already exist: {name}")
        return create(self, spec)

    LambdaBackend.create_function = strict  # type: ignore[method-assign]


def _accept_chalices_documents() -> None:
    """moto requires OpenAPI 3 with a description, and AWS does not."""
    put = APIGatewayResponse.put_rest_api
    read = APIGatewayResponse.import_rest_api

    def converted(self: APIGatewayResponse) -> None:
        document = json.loads(self.body)
        document.pop("swagger", None)
        document["openapi"] = "3.0.0"
        document["info"].setdefault("description", "")
        self.body = json.dumps(document)

    def strict_put(self: APIGatewayResponse) -> Any:
        converted(self)
        return put(self)

    def strict_import(self: APIGatewayResponse) -> Any:
        converted(self)
        return read(self)

    APIGatewayResponse.put_rest_api = strict_put  # type: ignore[method-assign]
    APIGatewayResponse.import_rest_api = strict_import  # type: ignore[method-assign]


def _answer_account_settings() -> None:
    def get_account_settings(self: LambdaResponse) -> str:
        reserved = sum(each.reserved_concurrency or 0 for each in self.backend.list_functions())
        limit = {"ConcurrentExecutions": _limit[0], "UnreservedConcurrentExecutions": _limit[0] - reserved}
        return json.dumps({"AccountLimit": limit, "AccountUsage": {}})

    LambdaResponse.get_account_settings = get_account_settings  # type: ignore[attr-defined]
    urls.url_paths["{0}/(?P<api_version>[^/]+)/account-settings/?$"] = LambdaResponse.dispatch


def _tag_rest_apis() -> None:
    tag = APIGatewayResponse.tag_resource

    def strict(self: APIGatewayResponse) -> str:
        if "/stages/" in self.path.replace("%2F", "/"):
            return tag(self)
        api = self.backend.get_rest_api(self.path.replace("%2F", "/").rsplit("/", 1)[1])
        api.tags = {**(api.tags or {}), **self._get_param("tags")}
        return json.dumps({})

    arn = "arn:(?P<partition>[^/]+):apigateway:(?P<region_name>[^/]+)::/restapis/(?P<function_id>[^/]+)"
    gateway_urls.url_paths[f"{{0}}/tags/{arn}$"] = APIGatewayResponse.dispatch
    APIGatewayResponse.tag_resource = strict  # type: ignore[method-assign]
