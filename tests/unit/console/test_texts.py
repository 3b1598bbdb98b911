"""The texts of the web page: each is used, and their numbers are those of the code."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.domain.breaker import _PHASES
from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from tests.unit.console.modules import CONSOLE, evaluate

WITH_FUNCTIONS = 'JSON.parse(JSON.stringify(m.T, (_, value) => typeof value === "function" ? "function" : value))'


@pytest.fixture(scope="module")
def texts() -> Any:
    return evaluate("texts.js", WITH_FUNCTIONS)


def paths(texts: dict[str, Any], prefix: str = "T") -> Iterator[str]:
    for name, value in texts.items():
        path = f"{prefix}.{name}"
        yield from paths(value, path) if isinstance(value, dict) else [path]


def is_referenced(path: str, code: str) -> bool:
    """Look in the code for the path itself, or one of its parents without a further name (``T.states[state]``)."""
    names = path.split(".")
    parents = (".".join(names[:length]) for length in range(2, len(names)))
    return bool(re.search(rf"\b{re.escape(path)}\b", code)) or any(
        re.search(rf"\b{re.escape(parent)}\b(?!\.\w)", code) for parent in parents
    )


def test_every_text_is_referenced(texts: Any) -> None:
    code = "\n".join(path.read_text() for path in CONSOLE.rglob("*.js") if "texts" not in (path.stem, path.parent.name))
    assert [path for path in paths(texts) if not is_referenced(path, code)] == []


def test_every_text_of_the_notifications_is_referenced() -> None:
    """Their texts are loaded with their view, so they are not among those of the page."""
    texts = evaluate("texts/notifications.js", WITH_FUNCTIONS.replace("m.T", "m.N"))
    code = "\n".join(path.read_text() for path in (CONSOLE / "notifications").glob("*.js"))
    assert [path for path in paths(texts, "N") if not is_referenced(path, code)] == []


def test_unreferenced_text_is_found() -> None:
    code = "T.used.text + T.map[key]"
    assert is_referenced("T.used.text", code)
    assert is_referenced("T.map.value", code)
    assert not is_referenced("T.used.other", code)
    assert not is_referenced("T.used.texts", code)


def duration(seconds: float) -> str:
    """``86400.0`` as ``1 d``."""
    unit, length = next((u, n) for u, n in (("d", 86400), ("h", 3600), ("min", 60)) if seconds % n == 0)
    return f"{seconds / length:.0f} {unit}"


def test_reconnection_help_has_the_intervals_of_the_breaker(texts: Any) -> None:
    _, text = texts["fields"]["reconnectStrategy"]
    for strategy, phases in _PHASES.items():
        parts = [
            f"every {duration(period)} for {duration(length)}"
            if length != float("inf")
            else f"then every {duration(period)}"
            for length, period in phases
        ]
        if phases[-1][0] != float("inf"):
            parts.append("then it stops")
        assert f"{strategy.value}: {', '.join(parts)}." in text


@pytest.mark.parametrize("name", ["connection_timeout", "action_timeout"])
def test_help_of_timeouts_has_their_limits_and_defaults(texts: Any, name: str) -> None:
    schema = AmqpConfiguration.model_json_schema()["properties"]
    alias = AmqpConfiguration.model_fields[name].alias
    assert alias is not None
    limits = schema[alias]
    _, text = texts["fields"][alias]
    assert f"{limits['minimum']} to {limits['maximum']} ms, default {limits['default']}" in text
