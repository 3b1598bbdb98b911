"""Cursors of ``GET /messages``: refused with their field unless this list of this tenant issued them."""

import json

import pytest

from chalicelib.connections.messages.positions import Position
from chalicelib.connections.messages.search import KEPT, Wanted
from chalicelib.entry.services import Services
from chalicelib.kernel import cursors
from tests.functional.connection_cases import create, expect_problem
from tests.functional.doubles import Api

SCOPE = f"messages#demo#{Wanted([]).scope}"


def test_cursor_of_the_list_is_accepted_and_one_before_its_oldest_message_ends_it(api: Api, services: Services) -> None:
    create(api)
    for age in (60, KEPT + 3600):
        cursor = Position(services.clock() - age, ("", "")).cursor(SCOPE)
        answer = api.call("GET", f"/messages?cursor={cursor}")
        assert (answer.status, answer.json, answer.headers.get("link")) == (200, [], None)


@pytest.mark.parametrize("content", [[float("nan"), "a", "b", [], []], [-1, "a", "b", [], []], [], "[" * 2000])
def test_forged_cursor_is_refused(api: Api, content: object) -> None:
    create(api)
    text = content if isinstance(content, str) else json.dumps(content)
    refused = api.call("GET", f"/messages?cursor={cursors.encode(SCOPE, text)}")
    expect_problem(refused, 422)
    assert refused.pointers == {"/cursor"}


def test_cursor_of_another_tenant_or_of_other_filters_is_refused(api: Api, services: Services) -> None:
    create(api)
    position = Position(services.clock() - 60, ("", ""))
    others = [SCOPE.replace("demo", "other"), f"messages#demo#{Wanted([], device='70B3D5E75E000001').scope}", "events"]
    for cursor in ["x", "AAAA", *(position.cursor(scope) for scope in others)]:
        refused = api.call("GET", f"/messages?cursor={cursor}")
        expect_problem(refused, 422)
        assert refused.pointers == {"/cursor"}
