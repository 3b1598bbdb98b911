"""Output of the commands: plain tables, JSON, and the question before something is destroyed."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from infra.deploy.operate.errors import NotConfirmed

_EMPTY = "-"


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table with a head of capitals; a missing value is a hyphen."""
    lines = [[column.upper() for column in columns]]
    lines += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show_fields(fields: Mapping[str, Any]) -> None:
    """Print names and values below each other."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        print(f"{name.ljust(width)}  {_cell(value)}")


def note(text: str) -> None:
    """Print a remark on stderr, so that a script reads only results from stdout."""
    print(text, file=sys.stderr, flush=True)


def confirm(question: str, yes: bool) -> None:
    """Ask before something is destroyed. Raises NotConfirmed unless the answer, or ``--yes``, is yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        note(f"{question} Give --yes to confirm.")
        raise NotConfirmed
    if input(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
        raise NotConfirmed


def age(seconds: float | None) -> str | None:
    """Return a duration as ``45s``, ``12m``, ``3h`` or ``2d``; None stays None."""
    if seconds is None:
        return None
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(int(seconds), 0)}s"


def _cell(value: Any) -> str:
    if value is None or value == "":
        return _EMPTY
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or _EMPTY
    # A name or a reason is a customer's text, and must not move the cursor.
    return "".join(character if character.isprintable() else "?" for character in str(value))
