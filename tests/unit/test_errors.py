"""Completeness of the exception tree in the docstring of chalicelib/errors.py."""

import re

from chalicelib import errors
from chalicelib.errors import Error
from chalicelib.http_api.problems import _STATUS

_LINE = re.compile(r"^ {4}(?P<indent>[ │]*(?:├─|└─) )?(?P<name>[A-Z]\w+)\b(?P<text>.*)$")
_STATUS_OF_LINE = re.compile(r"→ (\d{3})$")


def _lines() -> list[tuple[int, str, str]]:
    """Return (depth, class name, text) of each line of the tree."""
    tree = (errors.__doc__ or "").split("::\n\n", 1)[1].split("\n\n", 1)[0]
    lines = []
    for line in tree.splitlines():
        match = _LINE.match(line)
        assert match, line
        lines.append((len(match["indent"] or "") // 4, match["name"], match["text"]))
    return lines


def _documented_parents() -> dict[str, str | None]:
    """Return the parent of each class as the tree shows it."""
    ancestors: list[str] = []
    parents: dict[str, str | None] = {}
    for depth, name, _ in _lines():
        ancestors[depth:] = [name]
        parents[name] = ancestors[depth - 1] if depth else None
    return parents


def _subclasses(class_: type[Error]) -> set[type[Error]]:
    found = {class_}
    for subclass in class_.__subclasses__():
        found |= _subclasses(subclass)
    return found


def test_tree_names_every_subclass_of_error_and_its_parent() -> None:
    actual = {
        class_.__name__: (class_.__base__ or object).__name__ for class_ in _subclasses(Error) if class_ is not Error
    }
    assert _documented_parents() == {"Error": None, **actual}
    assert len(_lines()) == len(_subclasses(Error))


def test_tree_gives_the_status_of_every_class_that_the_api_answers() -> None:
    statuses = {}
    for _, name, text in _lines():
        match = _STATUS_OF_LINE.search(text)
        if match:
            statuses[name] = int(match[1])
    answered = {
        class_.__name__: next(status.value for type_, status in _STATUS if issubclass(class_, type_))
        for class_ in _subclasses(Error)
        if issubclass(class_, tuple(type_ for type_, _ in _STATUS))
    }
    assert statuses == answered
