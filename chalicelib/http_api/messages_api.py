"""Handlers that replay or delete failed messages."""

from typing import Any
from urllib.parse import unquote

from chalice.app import Request, Response
from pydantic import ValidationError

from chalicelib.connections.replay import Replay, ReplayAll, ReplayIds
from chalicelib.domain.failed_message import Direction, MessageStatus
from chalicelib.domain.validation.violations import violations_of
from chalicelib.errors import InvalidRequest, Violation
from chalicelib.http_api.auth import WRITE, TokenVerifier
from chalicelib.http_api.bodies import Query, json_body
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response, no_content


class MessagesApi:
    """Replay or delete a connection's failed messages."""

    def __init__(self, auth: TokenVerifier, replay: Replay) -> None:
        self._auth = auth
        self._replay = replay

    @answered
    def replay(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        ids = _ids(json_body(request))
        result = self._replay.replay(caller.tenant, unquote(connection_id), ids)
        answer: dict[str, int | bool] = {"replayed": result.number}
        if result.remaining:
            answer["remaining"] = result.remaining
        if result.under_way:
            answer["underWay"] = True
        return json_response(answer, 202)

    @answered
    def purge(self, request: Request, connection_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        query = Query(request)
        # Mandatory, so that a mistaken call deletes nothing.
        if query.required("status"):
            query.choice("status", MessageStatus)
        direction = query.choice("direction", Direction)
        query.check()
        self._replay.purge(caller.tenant, unquote(connection_id), direction)
        return no_content()


def _ids(document: Any) -> list[str] | None:
    """Return the ids to replay, or None for all messages."""
    if not isinstance(document, dict):
        raise InvalidRequest([Violation("", 'This must be {"ids": [...]} or {"all": true}; send one of them.')])
    if "ids" in document and "all" in document:
        raise InvalidRequest([Violation("/all", "Send either ids or all, not both.")])
    if document.get("all", True) is not True:
        # pydantic accepts 1 for a literal true.
        raise InvalidRequest([Violation("/all", "This must be true; use ids to replay single messages.")])
    try:
        if "all" in document:
            ReplayAll.model_validate(document, strict=True)
            return None
        return ReplayIds.model_validate(document, strict=True).ids
    except ValidationError as error:
        raise InvalidRequest(violations_of(error, {"": ["ids", "all"]})) from None
