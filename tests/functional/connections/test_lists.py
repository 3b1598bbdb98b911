"""Lists of connections: pages, cursors, filters and malformed ids."""

import json
import re
from typing import Any

import pytest

from tests.functional.connection_cases import (
    TCP,
    UNKNOWN,
    create,
    expect_problem,
)
from tests.functional.doubles import Api, TestIssuer


def test_list_is_newest_first_and_paged_with_link_header(api: Api) -> None:
    made = [create(api, TCP | {"name": f"Connection {n}", "active": n % 2 == 0})["id"] for n in range(5)]
    seen = []
    path: str | None = "/connections?limit=2&name=CONN"
    while path:
        answer = api.call("GET", path)
        assert answer.status == 200
        seen.append([connection["id"] for connection in answer.json])
        link = answer.headers.get("link", "")
        match = re.fullmatch(r'<(/connections\?[^>]+)>; rel="next"', link)
        path = match[1] if match else None
        assert path is None or "limit=2&name=CONN&cursor=" in path
    assert seen == [made[4:2:-1], made[2:0:-1], made[:1]]
    assert len(api.call("GET", "/connections").json) == 5
    assert [c["id"] for c in api.call("GET", "/connections?state=DEACTIVATED").json] == [made[3], made[1]]
    assert [c["id"] for c in api.call("GET", "/connections?name=tion%203").json] == [made[3]]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "limit=", "limit=-1", "limit=1.0", "state=open", "cursor=x", "cursor="],
)
def test_invalid_query_parameters_are_refused(api: Api, query: str) -> None:
    answer = api.call("GET", f"/connections?{query}")
    expect_problem(answer, 422)
    assert answer.pointers == {f"/{query.partition('=')[0]}"}


def test_cursor_of_another_list_is_refused(api: Api, issuer: TestIssuer) -> None:
    for _ in range(2):
        create(api)
    link = api.call("GET", "/connections?limit=1").headers["link"]
    cursor = re.search(r"cursor=([^>]+)>", link)
    assert cursor
    expect_problem(api.as_token(issuer.token("other")).call("GET", f"/connections?cursor={cursor[1]}"), 422)
    expect_problem(api.call("GET", f"/events?cursor={cursor[1]}"), 422)


@pytest.mark.parametrize("name", ["%23tenant", "x", "%20", "x" * 4000, "%E2%98%83", "..", UNKNOWN.lower()])
def test_malformed_ids_are_not_found(api: Api, name: str) -> None:
    create(api)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/restart"), ("GET", "/messages"), ("GET", "/events")):
        expect_problem(api.call(method, f"/connections/{name}{path}"), 404)


def test_paths_in_headers_begin_with_stage(api: Api) -> None:
    from app import app  # noqa: PLC0415  # the handler itself, as Lambda calls it

    event: dict[str, Any] = {
        "requestContext": {
            "httpMethod": "POST",
            "resourcePath": "/connections",
            "path": "/api/connections",
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "headers": {"authorization": f"Bearer {api.token}", "content-type": "application/json"},
        "pathParameters": None,
        "stageVariables": None,
        "multiValueQueryStringParameters": None,
        "body": json.dumps(TCP),
    }
    answers = [app(event, None) for _ in range(2)]
    for answer in answers:
        assert answer["headers"]["Location"] == f"/api/connections/{json.loads(answer['body'])['id']}"
    event["requestContext"]["httpMethod"] = "GET"
    listed = app(event | {"multiValueQueryStringParameters": {"limit": ["1"]}, "body": None}, None)
    assert listed["headers"]["Link"].startswith("</api/connections?limit=1&cursor=")
