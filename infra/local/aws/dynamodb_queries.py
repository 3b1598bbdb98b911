"""Queries of moto's DynamoDB in a time that suits tables of 10,000 items.

moto 5.2.5 sorts every item of a table for each page of a query, compares decoded values, and copies the results: a page
of a table with 10,000 items takes more than a second. The queries here select by the hash key first and compare raw
values. They need no copy, because ``OneAtATime`` serialises the answer before the next request begins. A page of an
index ends by the size of what the index has, as on AWS. moto also looks for ten members under several names in each
attribute that it serialises, which takes seconds for 10,000 items; here, an attribute is serialised as it is.
"""

import copy
from decimal import Decimal
from operator import itemgetter
from typing import Any

from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.comparisons import get_comparison_func
from moto.dynamodb.models.table import Table

_PAGE_BYTES = 1_000_000
_MOTO_QUERY: Any = Table.query
_MOTO_STRUCTURE: Any = BaseJSONSerializer._serialize_type_structure  # noqa: SLF001  # moto has no hook
_PLAIN = {"S", "N", "BOOL", "NULL", "SS", "NS"}
"""Types of attributes whose stored value is the value of the answer."""


def mend_queries() -> None:
    """Replaces moto's query in this process. Queries that the product does not send go to moto's own."""
    Table.query = _query  # type: ignore[method-assign, assignment]  # the same parameters, as keywords
    BaseJSONSerializer._serialize_type_structure = _serialize_structure  # type: ignore[method-assign]  # noqa: SLF001


def _serialize_structure(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
    if key and shape.name == "AttributeValue" and isinstance(value, dict) and value.keys() < _PLAIN:
        serialized[key] = value
        return
    _MOTO_STRUCTURE(self, serialized, value, shape, key)


def _query(
    self: Any,
    hash_key: Any,
    range_comparison: str | None,
    range_objs: list[Any],
    limit: int | None,
    exclusive_start_key: dict[str, Any] | None,
    scan_index_forward: bool,
    projection_expressions: list[list[str]] | None,
    index_name: str | None = None,
    consistent_read: bool = False,
    filter_expression: Any = None,
    **others: Any,
) -> tuple[list[Any], int, dict[str, Any] | None]:
    index = None if index_name is None else next((i for i in self.all_indexes() if i.name == index_name), None)
    conditions = (others.pop("hash_key_conditions", None) or [], others.pop("range_key_conditions", None) or [])
    if others or any(len(each) > 1 for each in conditions) or (index_name is not None and index is None):
        answer: tuple[list[Any], int, dict[str, Any] | None] = _MOTO_QUERY(
            self, hash_key, range_comparison, range_objs, limit, exclusive_start_key, scan_index_forward,
            projection_expressions, index_name, consistent_read, filter_expression,
            hash_key_conditions=conditions[0], range_key_conditions=conditions[1], **others,
        )  # fmt: skip
        return answer
    names = _key_names(self, index)
    found = _in_order(self, names, hash_key.value, scan_index_forward)
    if exclusive_start_key is not None:
        start = _position({name: _raw(*_only(value)) for name, value in exclusive_start_key.items()}.get, names)
        found = [pair for pair in found if (pair[0] > start if scan_index_forward else pair[0] < start)]
    if range_comparison:
        holds = get_comparison_func(range_comparison)
        values = [_raw(each.type, each.value) for each in range_objs]
        found = [pair for pair in found if holds(pair[0][0], *values)]
    projected = None
    if index is not None and index.projection["ProjectionType"] != "ALL":
        keys = [each["AttributeName"] for each in (*self.schema, *index.schema)]
        projected = [*keys, *index.projection.get("NonKeyAttributes", ())]
    results: list[Any] = []
    size = 0
    more = False
    for _, stored in found:
        item = stored if projected is None else _part(stored, projected)
        own = item.size()
        if len(results) == limit or (results and size + own > _PAGE_BYTES):
            more = True
            break
        results.append(item)
        size += own
    scanned = len(results)
    last = self._get_last_evaluated_key(results[-1], index_name) if more else None
    if filter_expression is not None:
        results = [item for item in results if filter_expression.expr(item)]
    if projection_expressions:
        nested = any(len(path) > 1 for path in projection_expressions)
        names_only = [path[0] for path in projection_expressions]
        results = [item.project(projection_expressions) if nested else _part(item, names_only) for item in results]
    return results, scanned, last


def _part(item: Any, names: list[str]) -> Any:
    """The item with some of its attributes. The values are those of the stored item."""
    part = copy.copy(item)
    part.attrs = {name: item.attrs[name] for name in names if name in item.attrs}
    return part


def _key_names(table: Any, index: Any) -> tuple[str, list[str]]:
    """The name of the hash key, and the names of the keys that give the order."""
    of_table = [name for name in (table.hash_key_attr, table.range_key_attr) if name]
    if index is None:
        return table.hash_key_attr, of_table[1:]
    keys = {key["KeyType"]: key["AttributeName"] for key in index.schema}
    own = [keys["RANGE"]] if "RANGE" in keys else []
    return keys["HASH"], [*own, *(name for name in of_table if name not in own)]


def _in_order(
    table: Any, names: tuple[str, list[str]], wanted: Any, forward: bool
) -> list[tuple[tuple[Any, ...], Any]]:
    """The items with the hash key, each after its position in the order."""
    hash_name, order = names
    groups = table.items.values()
    items = (item for group in groups for item in (group.values() if table.range_key_attr else (group,)))
    found = [
        (tuple(_raw(attrs[name].type, attrs[name].value) for name in order), item)
        for item in items
        if (attrs := item.attrs)
        and hash_name in attrs
        and attrs[hash_name].value == wanted
        and all(name in attrs for name in order)
    ]
    found.sort(key=itemgetter(0), reverse=not forward)
    return found


def _position(value_of: Any, names: tuple[str, list[str]]) -> tuple[Any, ...]:
    return tuple(value_of(name) for name in names[1])


def _only(value: dict[str, Any]) -> tuple[str, Any]:
    ((kind, inner),) = value.items()
    return kind, inner


def _raw(kind: str, value: Any) -> Any:
    """A value that Python compares as DynamoDB does."""
    return Decimal(value) if kind == "N" else value
