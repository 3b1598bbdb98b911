"""Cursors of the message log: read as they were written, and refused if the list did not issue them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.connections.messages.positions import MOST_DECIDED, Position, position_of
from chalicelib.errors import InvalidRequest
from chalicelib.kernel import cursors

SCOPE = "messages#demo#all"
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
MESSAGES = st.tuples(NAMES, NAMES)
POSITIONS = st.builds(
    Position,
    time=st.floats(0, 4e9),
    message=MESSAGES,
    decided=st.lists(MESSAGES, max_size=MOST_DECIDED + 5).map(tuple),
)


def expect_refused(scope: str, cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        position_of(scope, cursor)
    assert [violation.pointer for violation in refused.value.violations] == ["/cursor"]


def test_list_without_cursor_begins_at_its_start() -> None:
    assert position_of(SCOPE, None) is None


@given(POSITIONS)
def test_cursor_is_read_as_it_was_written(position: Position) -> None:
    read = position_of(SCOPE, position.cursor(SCOPE))
    assert read == Position(position.time, position.message, position.decided[:MOST_DECIDED])


def test_cursor_with_all_decided_messages_fits_into_an_address() -> None:
    decided = tuple((f"01KAT5JFT2ZMK0QW8YQ6T1{number % 16:04X}", f"{number:012x}") for number in range(1000))
    assert len(Position(1_764_000_000.123, decided[0], decided).cursor(SCOPE)) < 6000


@given(POSITIONS)
def test_cursor_of_another_list_is_refused(position: Position) -> None:
    for other in ("messages#other#all", "messages#demo#one", ""):
        expect_refused(other, position.cursor(SCOPE))


@given(st.text(max_size=200))
def test_text_that_is_no_cursor_is_refused(text: str) -> None:
    expect_refused(SCOPE, text)


@given(POSITIONS, st.data())
def test_changed_cursor_is_refused(position: Position, data: st.DataObject) -> None:
    cursor = position.cursor(SCOPE)
    place = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.sampled_from("Ab0-_=").filter(lambda each: each != cursor[place]))
    expect_refused(SCOPE, cursor[:place] + letter + cursor[place + 1 :])


FORGED: list[Any] = [
    None,
    7,
    "text",
    [],
    {},
    [1.0, "a", "b", []],
    [1.0, "a", "b", [], [[0, "x"]]],
    [1.0, "a", "b", ["c"], [[1, "x"]]],
    [1.0, "a", "b", ["c"], [0]],
    ["soon", "a", "b", [], []],
    [None, "a", "b", [], []],
    [[], "a", "b", [], []],
    [float("nan"), "a", "b", [], []],
    [float("inf"), "a", "b", [], []],
    [float("-inf"), "a", "b", [], []],
    [-1, "a", "b", [], []],
    [1e300, "a", "b", [], []],
    [10**400, "a", "b", [], []],
]


@pytest.mark.parametrize("content", FORGED, ids=lambda content: str(content)[:40])
def test_forged_cursor_with_a_right_check_value_is_refused(content: Any) -> None:
    expect_refused(SCOPE, cursors.encode(SCOPE, json.dumps(content)))


@pytest.mark.parametrize("text", ["", "{", "[" * 5000, "[" * 100_000, "[1,", "\x00"], ids=lambda text: text[:5])
def test_forged_cursor_without_json_is_refused(text: str) -> None:
    expect_refused(SCOPE, cursors.encode(SCOPE, text))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(JSON)
def test_forged_cursor_is_read_as_a_position_or_refused(content: Any) -> None:
    try:
        read = position_of(SCOPE, cursors.encode(SCOPE, json.dumps(content)))
    except InvalidRequest:
        return
    assert read is not None
    # The search computes with minutes.
    assert 0 <= int(read.time // 60) < 10**10
