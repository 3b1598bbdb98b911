"""Attribute values, update expressions and cursors; no I/O."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.adapters.aws.dynamodb import Update, from_item, from_value, to_item, to_value
from chalicelib.errors import InvalidRequest
from chalicelib.kernel import cursors

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert from_value(to_value(value)) == value


@given(st.dictionaries(st.text(), values))
def test_an_item_has_no_attribute_that_is_none(item: dict[str, Any]) -> None:
    assert from_item(to_item(item)) == {name: value for name, value in item.items() if value is not None}


def test_what_json_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError):
        to_value(object())


def test_an_update_sets_removes_adds_and_keeps_what_is_there() -> None:
    update = Update({"name": "x", "probeAt": None})
    update.set_once("since", "now")
    update.add("epoch", 1)
    arguments = update.arguments("#name = :old", {":old": "y"})
    sets = "SET #name = :name, #since = if_not_exists(#since, :since)"
    assert arguments == {
        "UpdateExpression": f"{sets} REMOVE #probeAt ADD #epoch :epoch",
        "ConditionExpression": "#name = :old",
        "ExpressionAttributeNames": {
            "#name": "name", "#probeAt": "probeAt", "#since": "since", "#epoch": "epoch",
        },
        "ExpressionAttributeValues": {
            ":name": {"S": "x"}, ":since": {"S": "now"}, ":epoch": {"N": "1"}, ":old": {"S": "y"},
        },
    }  # fmt: skip


@given(st.text(), st.text(), st.text())
def test_a_cursor_is_good_for_its_own_list_only(scope: str, other: str, position: str) -> None:
    cursor = cursors.encode(scope, position)
    assert cursors.decode(scope, cursor) == position
    if other != scope:
        with pytest.raises(InvalidRequest):
            cursors.decode(other, cursor)


@given(st.text())
def test_no_text_makes_a_cursor_fail_otherwise_than_as_invalid(text: str) -> None:
    with suppress(InvalidRequest):
        assert cursors.encode("scope", cursors.decode("scope", text)) == text
