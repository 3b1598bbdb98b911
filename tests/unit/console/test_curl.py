"""Calls as commands of a POSIX shell."""

import json
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tests.unit.console.modules import evaluate

HOSTILE = [
    "O'Brien",
    '"quoted"',
    "$(touch pwned)",
    "`touch pwned`",
    "a\\",
    "!",
    "line 1\nline 2",
    "$TOKEN",
    "''",
    "ü\u2028",
]
_PRINT = 'curl() { for word in "$@"; do printf "%s\\0" "$word"; done; }\n'
"""A function that prints its words, each with a NUL at its end."""


def words(call: object, directory: Path) -> list[str]:
    """Return the words that a shell passes to curl."""
    command = evaluate("calls/curl.js", f"m.curlCommand({json.dumps(call)})")
    run = subprocess.run(
        ["sh", "-c", _PRINT + command], cwd=directory, env={"TOKEN": "the token"}, capture_output=True, check=True
    )
    assert list(directory.iterdir()) == []
    return run.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("text", HOSTILE)
def test_shell_passes_every_text_as_it_is(text: str, tmp_path: Path) -> None:
    call = {"method": "PUT", "path": "connections/01A", "headers": {"If-Match": text}, "body": {"name": text}}
    found = words(call, tmp_path)
    assert found[:3] == ["--fail-with-body", "--request", "PUT"]
    assert found[3].endswith("/connections/01A")
    headers = [value for name, value in pairwise(found) if name == "--header"]
    assert headers == ["Authorization: Bearer the token", "Content-Type: application/json", f"If-Match: {text}"]
    assert found[-2] == "--data-raw"
    assert json.loads(found[-1]) == {"name": text}


def test_call_without_a_body_sends_none(tmp_path: Path) -> None:
    found = words({"method": "GET", "path": "messages?devEUI=1&limit=50"}, tmp_path)
    assert found[3].endswith("/messages?devEUI=1&limit=50")
    assert found[4:] == ["--header", "Authorization: Bearer the token"]
