"""Handlers of ``/drivers`` and below."""

from typing import Any
from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.connections.drivers.service import DriverService
from chalicelib.connections.drivers.trials import Trials
from chalicelib.domain.drivers.driver import Driver, Operation
from chalicelib.http_api.auth import READ, WRITE, TokenVerifier
from chalicelib.http_api.bodies import Query, if_match, json_body
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import etag, json_response, next_link, no_content, path_of

MAX_BODY = 2 << 20
"""Maximum size of a driver in bytes: JSON may double 512 KB of code, and a test has examples."""


class DriversApi:
    """Manage and try drivers. Each method handles one call and sees the drivers of the caller's tenant only."""

    def __init__(self, auth: TokenVerifier, drivers: DriverService, trials: Trials) -> None:
        self._auth = auth
        self._drivers = drivers
        self._trials = trials

    @answered
    def create(self, request: Request) -> Response:
        caller = self._auth.caller(request, WRITE)
        driver, code = self._drivers.create(caller.tenant, json_body(request, MAX_BODY))
        return _answer(driver, code, 201, {"Location": path_of(request, "drivers", driver.id)})

    @answered
    def page(self, request: Request) -> Response:
        caller = self._auth.caller(request, READ)
        query = Query(request)
        limit = query.limit()
        query.check()
        found, cursor = self._drivers.page(caller.tenant, query.text("name"), limit, query.text("cursor"))
        headers = {} if cursor is None else {"Link": next_link(request, cursor)}
        return json_response([driver.to_json() for driver in found], headers=headers)

    @answered
    def get(self, request: Request, driver_id: str) -> Response:
        caller = self._auth.caller(request, READ)
        return _answer(*self._drivers.get(caller.tenant, unquote(driver_id)))

    @answered
    def replace(self, request: Request, driver_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        document = json_body(request, MAX_BODY)
        return _answer(*self._drivers.replace(caller.tenant, unquote(driver_id), document, if_match(request)))

    @answered
    def delete(self, request: Request, driver_id: str) -> Response:
        caller = self._auth.caller(request, WRITE)
        self._drivers.delete(caller.tenant, unquote(driver_id), if_match(request))
        return no_content()

    @answered
    def decode_uplink(self, request: Request, driver_id: str) -> Response:
        return self._decode(request, driver_id, Operation.DECODE_UPLINK)

    @answered
    def decode_downlink(self, request: Request, driver_id: str) -> Response:
        return self._decode(request, driver_id, Operation.DECODE_DOWNLINK)

    @answered
    def encode_downlink(self, request: Request, driver_id: str) -> Response:
        caller = self._auth.caller(request, READ)
        document = json_body(request)
        return json_response(self._trials.encode(caller.tenant, unquote(driver_id), document).to_json())

    @answered
    def test(self, request: Request) -> Response:
        self._auth.caller(request, WRITE)
        return json_response(self._trials.test(json_body(request, MAX_BODY)).to_json())

    def _decode(self, request: Request, driver_id: str, operation: Operation) -> Response:
        caller = self._auth.caller(request, READ)
        document: Any = json_body(request)
        return json_response(self._trials.decode(caller.tenant, unquote(driver_id), operation, document).to_json())


def _answer(driver: Driver, code: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return json_response(driver.to_json() | {"code": code}, status, {"ETag": etag(driver.version), **(headers or {})})
