"""Attribute values, update expressions and cursors, without I/O."""

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
def test_value_survives_a_round_trip(value: Any) -> None:
    assert from_value(to_value(value)) == value


@given(st.dictionaries(st.text(), values))
def test_item_omits_attributes_that_are_none(item: dict[str, Any]) -> None:
    assert from_item(to_item(item)) == {name: value for name, value in item.items() if value is not None}


def test_value_outside_json_raises_type_error() -> None:
    with pytest.raises(TypeError):
        to_value(object())


def test_update_sets_removes_adds_and_keeps_existing_values() -> None:
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
def test_cursor_is_valid_only_for_its_list(scope: str, other: str, position: str) -> None:
    cursor = cursors.encode(scope, position)
    assert cursors.decode(scope, cursor) == position
    if other != scope:
        with pytest.raises(InvalidRequest):
            cursors.decode(other, cursor)


@given(st.text())
def test_arbitrary_text_as_cursor_raises_only_invalid_request(text: str) -> None:
    with suppress(InvalidRequest):
        assert cursors.encode("scope", cursors.decode("scope", text)) == text
