"""Every route refuses unauthorized callers, hostile bodies and strange queries."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app import app
from chalicelib.entry.services import Services
from chalicelib.http_api.openapi.operations import OPERATIONS
from chalicelib.kernel.ids import new_id
from tests.functional.connection_cases import TCP, create, expect_problem
from tests.functional.connections.test_replay import failed
from tests.functional.doubles import READ_ONLY, Answer, Api, TestIssuer
from tests.functional.driver_cases import DRIVER, add_driver
from tests.functional.flow_cases import FLOW, add_flow
from tests.functional.http_api.test_connection_tests_api import CONFIGURATION, UPLINK, ScriptedTester

OPEN = {("GET", "/health"), ("GET", "/openapi.json")}
MESSAGE = new_id(1_764_000_000)
"""The id of the failed message that exists."""
EVERYTHING = "connections:read connections:write uplinks:write"
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/connections"): TCP,
    ("PUT", "/connections"): TCP | {"id": "{id}"},
    ("PUT", "/connections/{id}"): TCP,
    ("PATCH", "/connections/{id}"): {"name": "patched"},
    ("POST", "/connections/test"): {"configuration": TCP["configuration"]},
    ("POST", "/connections/preview"): {"configuration": CONFIGURATION, "uplink": UPLINK},
    ("POST", "/connections/{id}/messages/replay"): {"all": True},
    ("POST", "/flows"): FLOW,
    ("PUT", "/flows"): FLOW | {"id": "{id}"},
    ("PUT", "/flows/{id}"): FLOW,
    ("PATCH", "/flows/{id}"): {"name": "patched"},
    ("POST", "/flows/preview"): {"uplink": UPLINK},
    ("POST", "/drivers"): DRIVER,
    ("PUT", "/drivers/{id}"): DRIVER | {"id": None},
    ("POST", "/drivers/test"): {"code": DRIVER["code"], "bytes": "00c864", "fPort": 1},
    ("POST", "/drivers/{id}/decode-uplink"): {"bytes": "00c864", "fPort": 1},
    ("POST", "/drivers/{id}/decode-downlink"): {"bytes": "3c", "fPort": 1},
    ("POST", "/drivers/{id}/encode-downlink"): {"data": {"interval": 60}},
    ("POST", "/application-servers"): {"asId": "new", "asKey": "secret of the AS"},
    ("PUT", "/notifications"): {"url": "https://hooks.example.com/other"},
    ("POST", "/uplinks"): UPLINK,
}
QUERIES = {
    ("DELETE", "/connections"): "?id={id}",
    ("DELETE", "/flows"): "?id={id}",
    ("DELETE", "/connections/{id}/messages"): "?status=failed",
    ("GET", "/connections/statistics"): "?ids={id}",
}


@dataclass(frozen=True)
class Route:
    method: str
    path: str

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.path

    @property
    def takes_body(self) -> bool:
        return self.key in BODIES

    @property
    def is_one_connections(self) -> bool:
        """Return whether the call concerns one connection, or the flow or driver with the same id in these tests."""
        return self.path.startswith(("/connections/{id}", "/flows/{id}", "/drivers/{id}")) or (
            self.method in {"PUT", "DELETE"} and self.path in {"/connections", "/flows"}
        )

    def send(self, api: Api, connection_id: str, raw: bytes | None = None) -> Answer:
        path = self.path + QUERIES.get(self.key, "")
        path = path.replace("{id}", connection_id).replace("{asId}", "AS").replace("{messageId}", MESSAGE)
        if self.path.startswith("/connectors/"):
            path = "/connectors/actility-amqp-0.9.1-iot"
        text = json.dumps(BODIES[self.key]).replace("{id}", connection_id).encode() if self.takes_body else None
        return api.call(self.method, path, raw=text if raw is None else raw)


def routes() -> Iterator[Route]:
    for path, methods in sorted(app.routes.items()):
        if not path.startswith("/console"):
            yield from (Route(method, path) for method in sorted(methods))


ROUTES = list(routes())
GUARDED = [route for route in ROUTES if route.key not in OPEN]
WITH_BODY = [route for route in ROUTES if route.takes_body]


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture
def all_api(api: Api, services: Services, issuer: TestIssuer) -> Api:
    """A caller with every scope. Connection tests are scripted, because these tests run without a broker."""
    services.connection_tester = ScriptedTester()  # type: ignore[assignment]
    return api.as_token(issuer.token(scope=EVERYTHING))


@pytest.fixture
def connection_id(api: Api, services: Services) -> str:
    made = str(create(api)["id"])
    services.failed_messages.add("demo", made, [failed(0, id=MESSAGE)])
    services.application_server_store.put("demo", "AS", "key")
    add_flow(services, made)
    add_driver(services, made)
    services.notifications.replace("demo", {"url": "https://hooks.example.com"}, None)
    return made


def test_every_route_with_a_body_has_a_body_here() -> None:
    assert {key for key, operation in OPERATIONS.items() if operation.body} == set(BODIES)


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_reading_writing_and_delivering_require_separate_scopes(route: Route) -> None:
    reads = route.method == "GET" or route.path.endswith(("/preview", "-uplink", "-downlink"))
    other = "uplinks:write" if route.path == "/uplinks" else "connections:write"
    assert OPERATIONS[route.key].scope == ("connections:read" if reads else other)


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_unauthorized_call_is_refused_and_changes_nothing(
    all_api: Api, issuer: TestIssuer, connection_id: str, route: Route
) -> None:
    good = issuer.token(scope=EVERYTHING)
    tokens = {
        "none": None,
        "garbage": "x.y.z",
        "signature": good[:-6] + "AAAAAA",
        "expired": issuer.token(scope=EVERYTHING, exp=1),
        "audience": issuer.token(scope=EVERYTHING, aud="another-api"),
        "issuer": issuer.token(scope=EVERYTHING, iss="https://other.test"),
    }
    for name, token in tokens.items():
        refused = route.send(all_api.as_token(token), connection_id)
        expect_problem(refused, 401)
        assert refused.headers["www-authenticate"] == "Bearer", name
    expect_problem(route.send(all_api.as_token(issuer.token("a/b", scope=EVERYTHING)), connection_id), 403)
    expect_problem(route.send(all_api.as_token(issuer.token(scope="openid")), connection_id), 403)

    operation = OPERATIONS[route.key]
    read_only = route.send(all_api.as_token(issuer.token(scope=READ_ONLY)), connection_id)
    assert read_only.status == (200 if operation.scope == READ_ONLY else 403)
    if route.is_one_connections:
        expect_problem(route.send(all_api.as_token(issuer.token("other", scope=EVERYTHING)), connection_id), 404)
    if route.path == "/application-servers/{asId}":
        expect_problem(route.send(all_api.as_token(issuer.token("other", scope=EVERYTHING)), connection_id), 404)

    # The refused calls changed nothing.
    assert all_api.call("GET", f"/connections/{connection_id}").json["version"] == 1
    assert all_api.call("GET", f"/flows/{connection_id}").json["version"] == 1
    assert all_api.call("GET", f"/drivers/{connection_id}").json["version"] == 1
    assert len(all_api.call("GET", f"/connections/{connection_id}/messages").json) == 1
    assert route.send(all_api, connection_id).status == operation.success


# Hostile bodies


DEEP = b"[" * 5000 + b"]" * 5000
HOSTILE: dict[str, tuple[bytes, set[int]]] = {
    "nothing but blanks": (b"  \n", {400}),
    "no JSON": (b"{", {400}),
    "not UTF-8": (b'{"name": "\xff"}', {400}),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), {400}),
    "a byte order mark": (b"\xef\xbb\xbf{}", {400}),
    "a zero byte": (b'{"a": "\x00"}', {400}),
    "NaN": (b'{"configuration": NaN}', {400}),
    "Infinity": (b'{"configuration": -Infinity}', {400}),
    "a key twice": (b'{"name": "a", "name": "b"}', {400}),
    "deep": (DEEP, {400}),
    "deep objects": (b'{"a":' * 5000 + b"1" + b"}" * 5000, {400}),
    "a huge number": (b'{"active": ' + b"9" * 5000 + b"}", {422}),
    "a huge exponent": (b'{"active": 1e99999}', {422}),
    "a lone surrogate": (b'{"name": "\\ud800", "\\udfff": 1}', {422}),
    "surrogates in a configuration": (b'{"configuration": {"hostName": "\\ud800", "\\udc00": {}}}', {422}),
    "very many surrogates": (
        b'{"configuration": {"uplinkTopicPattern": [' + b'"\\ud800",' * 20_000 + b'""]}, "ids": ["\\ud800"]}',
        {422},
    ),
    "another type": (b'"text"', {422}),
    "null": (b"null", {422}),
    "a number": (b"1", {422}),
    "an array": (b"[[], {}, null]", {422}),
    "nulls": (b'{"name": null, "configuration": null, "ids": null, "asId": null}', {422}),
    "wrong types": (b'{"name": [], "configuration": [], "ids": {}, "asId": {}, "uplink": 1}', {422}),
    "control characters": (b'{"name": "a\\u0000\\u001b[31m\\r\\nlevel=ERROR", "asId": "\\u0000"}', {422}),
    "a prototype": (b'{"__proto__": {"admin": true}, "constructor": 1}', {422}),
    "too many keys": (json.dumps({f"k{n}": n for n in range(20_000)}).encode(), {422, 413}),
    "too large": (b'{"name": "' + b"x" * 5_000_000 + b'"}', {413}),
}
# With a bearer token, /uplinks accepts an array and answers each entry separately.
ALSO = {("POST", "/uplinks", "an array"): 200}


@pytest.mark.parametrize("route", WITH_BODY, ids=named)
def test_hostile_body_is_refused_with_a_problem_document_only(
    all_api: Api, connection_id: str, capsys: pytest.CaptureFixture[str], route: Route
) -> None:
    capsys.readouterr()
    for name, (body, statuses) in HOSTILE.items():
        answer = route.send(all_api, connection_id, body)
        assert answer.status in statuses | {ALSO.get((*route.key, name), 0)}, (name, answer.body[:500])
        if answer.status >= 400:
            expect_problem(answer, answer.status)
            assert answer.json["detail"], name
            assert len(answer.body) < 40_000, name
        if answer.status == 422:
            assert 0 < len(answer.json["errors"]) <= 100, name
        assert b"Traceback" not in answer.body, name
        assert b".py" not in answer.body, name
        # Each log line is one JSON object, so that a body cannot forge a line.
        for line in capsys.readouterr().out.splitlines():
            entry = json.loads(line)
            assert "_aws" in entry or entry["level"] in {"INFO", "WARNING"}, (name, line)


STRANGE = (
    "%00",
    "%0d%0aSet-Cookie:x",
    "%ff",
    "%ed%a0%80",
    "1e9",
    "-1",
    "9" * 400,
    "%F0%9F%92%A9",
    "'%20OR%201=1",
    "%7B%7D",
)


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_strange_queries_and_headers_never_cause_a_500(all_api: Api, connection_id: str, route: Route) -> None:
    path = route.path.replace("{id}", connection_id).replace("{asId}", "AS")
    names = [
        "limit",
        "cursor",
        "from",
        "to",
        "level",
        "state",
        "name",
        "status",
        "period",
        "direction",
        "id",
        "connectionId",
        "force",
        "devEUI",
    ]
    for value in STRANGE:
        query = "&".join(f"{name}={value}" for name in names)
        body = json.dumps(BODIES[route.key]).encode() if route.takes_body else None
        answer = all_api.call(route.method, f"{path}?{query}", raw=body, if_match='"\x80\xff', x_forwarded_for="' --")
        assert answer.status < 500, (value, answer.body)
        assert "set-cookie" not in answer.headers
        if "{id}" in route.path:
            strange_path = route.path.replace("{id}", value)
            assert all_api.call(route.method, strange_path, raw=body).status < 500, value


@pytest.mark.parametrize("route", [route for route in ROUTES if route.path != "/health"], ids=named)
def test_query_parameter_that_is_given_twice_is_refused_and_changes_nothing(
    all_api: Api, connection_id: str, route: Route
) -> None:
    path = (route.path + QUERIES.get(route.key, "")).replace("{id}", connection_id).replace("{asId}", "AS")
    separator = "&" if "?" in path else "?"
    body = json.dumps(BODIES[route.key]).replace("{id}", connection_id).encode() if route.takes_body else None
    for query in ("limit=1&limit=1", "unknown=1&unknown=2"):
        answer = all_api.call(route.method, f"{path}{separator}{query}", raw=body)
        expect_problem(answer, 422)
        assert answer.pointers == {"/" + query.partition("=")[0]}
    assert all_api.call("GET", f"/connections/{connection_id}").json["version"] == 1
    assert all_api.call("GET", f"/flows/{connection_id}").json["version"] == 1
    assert all_api.call("GET", f"/drivers/{connection_id}").json["version"] == 1
    assert len(all_api.call("GET", f"/connections/{connection_id}/messages").json) == 1


def test_connection_is_not_deleted_when_its_id_is_given_twice(all_api: Api, connection_id: str) -> None:
    other = create(all_api)["id"]
    answer = all_api.call("DELETE", f"/connections?id={connection_id}&id={other}")
    expect_problem(answer, 422)
    assert answer.json["errors"] == [
        {"pointer": "/id", "detail": "The query parameter id is given more than once; send it once."}
    ]
    for kept in (connection_id, other):
        assert all_api.call("GET", f"/connections/{kept}").status == 200
    # Without a token, nothing about the query is revealed.
    expect_problem(all_api.as_token(None).call("DELETE", "/connections?id=a&id=b"), 401)


def test_lrc_parameter_that_is_given_twice_is_refused(all_api: Api) -> None:
    path = "/uplinks?AS_ID=AS&AS_ID=AS&Time=2026-11-23T09:00:00Z&Token=00"
    answer = all_api.as_token(None).call("POST", path, UPLINK)
    expect_problem(answer, 422)
    assert answer.pointers == {"/AS_ID"}
