"""A corpus of topic patterns: the key of each good one, the place and the sentence of each bad one, an end to all."""

import re

import pytest

from chalicelib.domain.routing_keys import compile_pattern, routing_key
from chalicelib.domain.topic_patterns import parse_pattern
from chalicelib.errors import NotRoutable, PatternError
from chalicelib.kernel.json_path import _regex
from tests.corpora.topic_patterns import FIELDS, HOSTILE, PATTERNS, Expected, Fails, Wrong, hostile_reports
from tests.timing import thread_seconds

CASES = [
    pytest.param(pattern, expected, id=f"{kind} {number}")
    for kind, entries in PATTERNS.items()
    for number, (pattern, expected) in enumerate(entries, 1)
]
HOSTILE_CASES = [
    pytest.param(pattern, id=f"{kind} {number}")
    for kind, patterns in HOSTILE.items()
    for number, pattern in enumerate(patterns, 1)
]
REPORTS = hostile_reports()


def outcome(pattern: str) -> Expected:
    try:
        return routing_key(pattern, FIELDS)
    except PatternError as error:
        return Wrong(error.position, str(error))
    except NotRoutable as error:
        return Fails(error.reason)


@pytest.mark.parametrize(("pattern", "expected"), CASES)
def test_each_pattern_gives_its_key_or_says_where_it_is_wrong(pattern: str, expected: Expected) -> None:
    found = outcome(pattern)
    if isinstance(expected, Wrong):
        assert isinstance(found, Wrong)
        assert found.position == expected.position
        assert re.search(expected.words, found.words)
        assert found.words.endswith(f"(at character {expected.position + 1})")
    else:
        assert found == expected


@pytest.mark.parametrize("pattern", HOSTILE_CASES)
def test_a_hostile_pattern_is_compiled_and_evaluated_within_50_milliseconds_each(pattern: str) -> None:
    compile_pattern("{$..x}")  # imports the library
    spent: dict[str, list[float]] = {}
    # The processor's time of this thread, the least of three: what else the machine does is not counted.
    for _ in range(3):
        for cache in (compile_pattern, parse_pattern, _regex):
            cache.cache_clear()
        with thread_seconds(spent.setdefault("compiling", [])):
            compiled = compile_pattern(pattern)
        for name, fields in REPORTS.items():
            with thread_seconds(spent.setdefault(name, [])), pytest.raises(NotRoutable):
                compiled.key(fields)
    assert {name: min(times) for name, times in spent.items() if min(times) >= 0.05} == {}


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    patterns = [pattern for entries in PATTERNS.values() for pattern, _ in entries]
    patterns += [pattern for entries in HOSTILE.values() for pattern in entries]
    good = [expected for entries in PATTERNS.values() for _, expected in entries if isinstance(expected, str)]
    wrong = [expected for entries in PATTERNS.values() for _, expected in entries if isinstance(expected, Wrong)]
    assert len(set(patterns)) == len(patterns) >= 180
    assert len(PATTERNS) + len(HOSTILE) >= 25
    assert len(good) >= 60
    assert len(wrong) >= 50
