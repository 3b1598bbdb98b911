"""The syntax of topic patterns: ``things.{CustomerData.name|DevEUI|'none'}.uplink``.

Text in braces is an expression: alternatives separated by ``|``, each a JSONPath or a bare name (``DevEUI`` means
``$.DevEUI``), the last one perhaps a literal in single quotes. Bars and braces inside quotes, brackets and regular
expressions belong to the JSONPath.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from chalicelib.errors import PatternError

MAX_EXPRESSION = 512
"""Maximum number of characters between two braces."""
MAX_NESTING = 12
"""Maximum depth of nested brackets and parentheses."""
MAX_DESCENTS = 2
"""Maximum number of ``..`` in one alternative: each multiplies the work."""
MAX_FILTERS = 4
"""Maximum number of filters in one alternative."""
MAX_REGEXES = 8
"""Maximum number of regular expressions in one pattern; compiling each may take some milliseconds."""

_WITHOUT_DOT = frozenset(
    {"DevEUI", "DevAddr", "FPort", "FCntUp", "FCntDn", "CustomerID", "ADRbit", "Late", "Lrcid", "Lrrid", "payload_hex"}
)
"""The fields of reports whose values are identifiers, whole numbers or hexadecimal digits."""

Step = str | int


@dataclass(frozen=True)
class Literal:
    """An alternative in single quotes."""

    text: str


@dataclass(frozen=True)
class Path:
    """A JSONPath alternative. ``steps`` are its names and indexes, or None if the path has other elements.

    ``position`` is the index of the path in the pattern, counted from 0.
    """

    text: str
    position: int
    steps: tuple[Step, ...] | None

    @property
    def is_dev_eui(self) -> bool:
        return self.steps == ("DevEUI",)


@dataclass(frozen=True)
class Expression:
    """An expression between two braces; the first alternative that resolves gives its value."""

    text: str
    alternatives: tuple[Path | Literal, ...]


Part = str | Expression


@lru_cache(maxsize=1024)
def parse_pattern(pattern: str) -> tuple[Part, ...]:
    """Return the literal texts and expressions of ``pattern``, in order. Raises PatternError."""
    if pattern.count("=~") > MAX_REGEXES:
        raise PatternError(
            f"there are more than {MAX_REGEXES} regular expressions; join some with |", pattern.find("=~")
        )
    parts: list[Part] = []
    at = begin = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "}":
            raise PatternError("a closing brace without an opening one; write an expression such as {DevEUI}", at)
        if character != "{":
            at += 1
            continue
        if begin < at:
            parts.append(pattern[begin:at])
        expression, at = _expression(pattern, at)
        parts.append(expression)
        begin = at
    if begin < len(pattern):
        parts.append(pattern[begin:])
    return tuple(parts)


def _expression(pattern: str, opening: int) -> tuple[Expression, int]:
    """Return the expression whose brace is at ``opening``, and the index after its closing brace."""
    bars: list[int] = []
    closers: list[str] = []
    at = opening + 1
    while at < len(pattern):
        character = pattern[at]
        if character in "'\"":
            at = _closing(pattern, at, "quote")
        elif character == "/" and pattern[opening + 1 : at].rstrip().endswith("=~"):
            at = _closing(pattern, at, "regular expression")
        elif character in "[()]":
            _bracket(character, at, closers)
        elif character == "|" and not closers:
            bars.append(at)
        elif character == "}" and not closers:
            return _alternatives(pattern, opening, bars, at), at + 1
        elif character in "{}":
            raise PatternError(f"'{character}' inside an expression must stand in quotes or a regular expression", at)
        at += 1
    raise PatternError("the brace is not closed; write }, and close every bracket before it", opening)


def _bracket(character: str, at: int, closers: list[str]) -> None:
    """Update ``closers``, the stack of closing brackets that the open brackets need."""
    if character in "[(":
        closers.append("]" if character == "[" else ")")
        if len(closers) > MAX_NESTING:
            raise PatternError(f"more than {MAX_NESTING} levels of nested brackets; simplify the expression", at)
    elif not closers or closers.pop() != character:
        raise PatternError(f"'{character}' has no opening bracket; add it or remove this one", at)


def _closing(pattern: str, opening: int, what: str) -> int:
    """Return the end of the quote or regular expression that begins at ``opening``."""
    at = opening + 1
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == pattern[opening]:
            return at
        at += 1
    raise PatternError(f"the {what} is not closed; write {pattern[opening]} after it", opening)


def _alternatives(pattern: str, opening: int, bars: list[int], closing: int) -> Expression:
    if closing - opening - 1 > MAX_EXPRESSION:
        raise PatternError(f"the expression is longer than {MAX_EXPRESSION} characters; shorten it", opening)
    edges = [opening, *bars, closing]
    alternatives: list[Path | Literal] = []
    for begin, end in pairwise(edges):
        raw = pattern[begin + 1 : end]
        text = raw.strip()
        position = begin + 1 + len(raw) - len(raw.lstrip())
        if not text:
            raise PatternError("the expression is empty; write a name, such as {DevEUI}", begin)
        if text.startswith(("'", '"')):
            if end != closing:
                raise PatternError("a literal always resolves, so it must be the last alternative", position)
            alternatives.append(_literal(text, position))
        else:
            alternatives.append(_path(text, position))
    return Expression(pattern[opening + 1 : closing], tuple(alternatives))


def _literal(text: str, position: int) -> Literal:
    if text[0] != "'":
        raise PatternError("write a literal in single quotes, such as 'none'", position)
    if _closing(text, 0, "quote") != len(text) - 1:
        raise PatternError("unexpected text after the literal; separate alternatives by |", position)
    return Literal(re.sub(r"\\(.)", r"\1", text[1:-1]))


_PLAIN_PATH = re.compile(r"""\$(?:\.[\w-]+|\[(?:-?[0-9]{1,9}|'[^'\\]*'|"[^"\\]*")\])+""")
_STEP = re.compile(r"""\.(?P<name>[\w-]+)|\[(?:(?P<index>-?[0-9]+)|'(?P<single>[^']*)'|"(?P<double>[^"]*)")\]""")
# Operators inside quotes and regular expressions do not count against the limits.
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|=~\s*/(?:[^/\\]|\\.)*/""")


def _path(text: str, position: int) -> Path:
    if text.startswith("["):
        text = "$" + text
    elif not text.startswith("$"):
        text = "$." + text
    bare = _QUOTED.sub("''", text)
    if bare.count("..") > MAX_DESCENTS:
        raise PatternError(f"'..' occurs more than {MAX_DESCENTS} times; write the path instead", position)
    if bare.count("?") > MAX_FILTERS:
        raise PatternError(f"there are more than {MAX_FILTERS} filters; simplify the expression", position)
    return Path(text, position, _steps(text))


def _steps(text: str) -> tuple[Step, ...] | None:
    if not _PLAIN_PATH.fullmatch(text):
        return None
    return tuple(
        int(match["index"]) if match["index"] is not None else match["name"] or match["single"] or match["double"] or ""
        for match in _STEP.finditer(text)
    )


def words(pattern: str) -> list[list[Part]]:
    """Return the dot-separated words of ``pattern``; a dot inside braces does not separate words."""
    result: list[list[Part]] = [[]]
    for part in parse_pattern(pattern):
        if isinstance(part, Expression):
            result[-1].append(part)
            continue
        first, *rest = part.split(".")
        if first:
            result[-1].append(first)
        result.extend([word] if word else [] for word in rest)
    return result


def binding_key(pattern: str) -> str:
    """Return the binding key that matches ``pattern``: ``*`` replaces each word that contains an expression."""
    return ".".join(
        "*" if any(isinstance(part, Expression) for part in word) else "".join(map(str, word))
        for word in words(pattern)
    )


def expressions_with_dots(pattern: str) -> list[str]:
    """Return the texts of the expressions whose value may contain a dot, which begins a new word of the routing key."""
    return [
        part.text
        for part in parse_pattern(pattern)
        if isinstance(part, Expression) and any(map(_may_hold_dot, part.alternatives))
    ]


def _may_hold_dot(alternative: Path | Literal) -> bool:
    if isinstance(alternative, Literal):
        return "." in alternative.text
    steps = alternative.steps
    return steps is None or len(steps) != 1 or steps[0] not in _WITHOUT_DOT


def dev_eui_word(pattern: str, routing_key: str) -> str | None:
    """Return the part of ``routing_key`` at the position of ``{DevEUI}`` in ``pattern``.

    Return None if the pattern does not contain ``{DevEUI}`` or the routing key does not match.
    """
    pattern_words, key_words = words(pattern), routing_key.split(".")
    hashes = [index for index, word in enumerate(pattern_words) if word == ["#"]]
    if len(hashes) > 1 or (not hashes and len(pattern_words) != len(key_words)):
        return None
    for index, word in enumerate(pattern_words):
        places = [at for at, part in enumerate(word) if isinstance(part, Expression)]
        if len(places) != 1 or not _names_device(word[places[0]]):
            continue
        # A '#' matches any number of words, so the words after it are counted from the end.
        place = index - len(pattern_words) if hashes and index > hashes[0] else index
        if not -len(key_words) <= place < len(key_words):
            return None
        before, after = "".join(map(str, word[: places[0]])), "".join(map(str, word[places[0] + 1 :]))
        found = key_words[place]
        if not (found.startswith(before) and found.endswith(after) and len(found) >= len(before) + len(after)):
            return None
        return found[len(before) : len(found) - len(after)]
    return None


def _names_device(part: Part) -> bool:
    first = part.alternatives[0] if isinstance(part, Expression) else None
    return isinstance(first, Path) and first.is_dev_eui
