"""Reading of documents that another release may have stored.

A request must satisfy every limit of this release and contain no unknown field. A stored document may have a value
beyond a limit that was tightened since and, after a rollback, fields and members of enumerations that a later release
added.
"""

from collections.abc import Mapping
from enum import Enum, EnumType
from functools import cache, partial, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from chalicelib.kernel.documents import Document, StoredDocument

T = TypeVar("T", bound=Document)


def read_stored(model: type[T], fields: Mapping[str, Any]) -> T:
    """Return the document of stored ``fields``, named as in JSON. Raises ValidationError if a field is unreadable.

    Limits are not checked, unknown fields are ignored, and an unknown member of an enumeration reads as the default; in
    an optional list, it is left out.
    """
    try:
        return model.model_validate(fields)
    except ValidationError:
        # Built only when needed, because few documents come from another release.
        return cast("T", _as_declared(_tolerant(model).model_validate(fields)))


def unread_fields(document: Document, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``fields`` that ``document``, which was read from them, does not represent."""
    known = document.to_json()
    return {name: value for name, value in fields.items() if name not in known or known[name] != value}


@cache
def _tolerant(model: type[Document]) -> type[Document]:
    fields: dict[str, Any] = {name: _tolerant_field(field) for name, field in model.model_fields.items()}
    return create_model(f"Stored{model.__name__}", __base__=(model, StoredDocument), **fields)


def _tolerant_field(field: FieldInfo) -> tuple[Any, Any]:
    kind = _unlimited(Annotated[field.annotation, *field.metadata]) if field.metadata else _unlimited(field.annotation)
    if isinstance(kind, EnumType) and not field.is_required():
        kind = Annotated[kind, BeforeValidator(partial(_member_or, field.default))]
    elif get_origin(kind) is list and isinstance(get_args(kind)[0], EnumType) and not field.is_required():
        kind = Annotated[kind, BeforeValidator(partial(_members, get_args(kind)[0]))]
    return kind, Field(default=... if field.is_required() else field.default, alias=field.alias, exclude=field.exclude)


def _member_or(default: Enum, value: Any) -> Any:
    return value if value in [member.value for member in type(default)] else default


def _members(enumeration: type[Enum], values: Any) -> Any:
    known = [member.value for member in enumeration]
    return [value for value in values if value in known] if isinstance(values, list) else values


def _unlimited(kind: Any) -> Any:
    """Return a type without its limits; functions that convert or parse a value stay."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        functions = [each for each in arguments[1:] if isinstance(each, AfterValidator | BeforeValidator)]
        inner = _unlimited(arguments[0])
        return Annotated[inner, *functions] if functions else inner
    if origin in {Union, UnionType}:
        return reduce(or_, map(_unlimited, arguments))
    if origin is list:
        return list[_unlimited(arguments[0])]  # type: ignore[misc]  # a type made at run time
    if isinstance(kind, type) and origin is None and issubclass(kind, Document):
        return _tolerant(kind)
    return kind


def _as_declared(value: Any) -> Any:
    """Return a tolerantly read value with the declared models, so that it equals the same value of a request."""
    if isinstance(value, StoredDocument):
        model: type[Document] = type(value).__bases__[0]
        return model.model_construct(**{name: _as_declared(member) for name, member in value})
    if isinstance(value, list):
        return [_as_declared(each) for each in value]
    return value
