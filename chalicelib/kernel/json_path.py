"""JSONPath with limits: python-jsonpath with counted steps and with regular expressions in RE2.

Patterns and reports are untrusted and must not keep a function busy: every node and comparison is counted, slow
operations check the clock, and regular expressions run in linear time. Callers import this module only for a pattern
that needs JSONPath, because the library's import is slow.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import re2
from jsonpath import JSONPathEnvironment
from jsonpath.exceptions import JSONPathError, JSONPathSyntaxError
from jsonpath.filter import BaseExpression, FilterQuery, RegexLiteral, RelativeFilterQuery, RootFilterQuery
from jsonpath.function_extensions import ExpressionType, FilterFunction
from jsonpath.match import JSONPathMatch
from jsonpath.parse import Parser
from jsonpath.path import JSONPath
from jsonpath.selectors import SingularQuerySelector
from jsonpath.stream import TokenStream
from jsonpath.token import TOKEN_EOF, TOKEN_RE_FLAGS, TOKEN_SELF

from chalicelib.errors import PatternError, Unresolved

MAX_STEPS = 10_000
"""Maximum number of nodes and comparisons in one evaluation; a report has some hundred nodes."""
MAX_CPU = 0.015
"""Maximum CPU seconds of this thread; steps do not measure the comparison of two large objects, for example."""
MAX_SUBJECT = 4096
"""Maximum length in characters of a text for a regular expression; a longer text does not match."""
MAX_REGEX = 256
"""Maximum length of a regular expression in characters."""
_REGEX_MEMORY = 1 << 18
"""Bytes that RE2 may use for one expression; bounds nested repetitions such as (a{500}){500}."""
_CLOCK_EVERY = 32
"""Steps between two reads of the clock, which is a system call."""
_ELEMENTS_PER_STEP = 2
"""The library iterates over every element of an array or object; two elements cost as much as one node."""


class _Exhausted(Exception):
    """The evaluation has used up its budget."""


class _Budget:
    __slots__ = ("deadline", "steps")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.deadline = time.thread_time() + MAX_CPU

    def spend(self, steps: int) -> None:
        before = self.steps
        self.steps = before - steps
        if self.steps < 0:
            raise _Exhausted
        if before // _CLOCK_EVERY != self.steps // _CLOCK_EVERY:
            self.check_deadline()

    def check_deadline(self) -> None:
        if time.thread_time() > self.deadline:
            raise _Exhausted


# The library does not pass our state through an evaluation, and several threads evaluate at the same time.
_budget: ContextVar[_Budget] = ContextVar("_budget")


class _Match(JSONPathMatch):
    """A node without its path: the connector does not use paths, and building them would take most of the time."""

    __slots__ = ()

    def __init__(self, *, filter_context: Mapping[str, Any], obj: object, root: Any, **_unused: object) -> None:
        _budget.get().spend(1 + (len(obj) // _ELEMENTS_PER_STEP if isinstance(obj, list | dict) else 0))
        super().__init__(filter_context=filter_context, obj=obj, parent=None, path="", parts=(), root=root)

    def new_child(self, obj: object, key: int | str) -> JSONPathMatch:  # noqa: ARG002
        return _Match(filter_context={}, obj=obj, root=self.root)

    def add_child(self, *children: JSONPathMatch) -> None:
        """Discard the children: the connector does not navigate the tree of nodes."""


class _Path(JSONPath):
    __slots__ = ()

    def finditer(self, data: Any, *, filter_context: Any = None) -> Iterable[JSONPathMatch]:  # noqa: ARG002
        matches: Iterable[JSONPathMatch] = [_Match(filter_context={}, obj=data, root=data)]
        for segment in self.segments:
            matches = segment.resolve(matches)
        return matches


class _Parser(Parser):
    """The library's parser without the syntax that would evade the step count or RE2."""

    def parse_absolute_query(self, stream: TokenStream) -> BaseExpression:
        stream.next()
        return RootFilterQuery(_Path(env=self.env, segments=self.parse_query(stream)))

    def parse_relative_query(self, stream: TokenStream) -> BaseExpression:
        stream.eat(TOKEN_SELF)
        return RelativeFilterQuery(_Path(env=self.env, segments=self.parse_query(stream)))

    def parse_filter_context_path(self, stream: TokenStream) -> FilterQuery:
        raise JSONPathSyntaxError("'_' is not supported", token=stream.current())

    def parse_singular_query_selector(self, stream: TokenStream) -> SingularQuerySelector:
        raise JSONPathSyntaxError("write a name in brackets in quotes", token=stream.current())

    def parse_regex(self, stream: TokenStream) -> BaseExpression:
        token = stream.next()
        flags = stream.next().value if stream.current().kind == TOKEN_RE_FLAGS else ""
        try:
            return RegexLiteral(value=_regex(token.value, flags.replace("a", "")))
        except re2.error as error:
            raise JSONPathSyntaxError(f"the regular expression cannot be used: {_text(error)}", token=token) from None


@lru_cache(maxsize=256)
def _regex(pattern: str, flags: str) -> Any:
    """Compile a regular expression with RE2. Raises re2.error."""
    if len(pattern) > MAX_REGEX:
        raise re2.error(f"it is longer than {MAX_REGEX} characters")
    options = re2.Options()
    options.max_mem = _REGEX_MEMORY
    options.never_capture = True
    options.log_errors = False
    return re2.compile(f"(?{''.join(sorted(set(flags)))}){pattern}" if flags else pattern, options)


def _text(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)


class _RegexFunction(FilterFunction):
    """RFC 9535's ``match`` and ``search``; an invalid regular expression does not match."""

    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]  # noqa: RUF012  # as the base class has it
    return_type = ExpressionType.LOGICAL

    def __init__(self, method: str) -> None:
        self._method = method

    def __call__(self, value: object, pattern: object) -> bool:
        if not isinstance(value, str) or not isinstance(pattern, str) or len(value) > MAX_SUBJECT:
            return False
        _budget.get().check_deadline()
        try:
            return getattr(_regex(pattern, ""), self._method)(value) is not None
        except (re2.error, UnicodeEncodeError):
            return False


class _Environment(JSONPathEnvironment):
    parser_class = _Parser

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["match"] = _RegexFunction("fullmatch")
        self.function_extensions["search"] = _RegexFunction("search")

    def getitem(self, obj: Any, key: Any) -> Any:
        _budget.get().spend(1)
        if isinstance(key, slice):
            _budget.get().check_deadline()
        return super().getitem(obj, key)

    def is_truthy(self, obj: object) -> bool:
        _budget.get().spend(1)
        return super().is_truthy(obj)

    def compare(self, left: object, operator: str, right: object) -> bool:
        _budget.get().spend(1)
        if operator in ("&&", "||"):
            return super().compare(left, operator, right)
        if isinstance(left, list | dict | str) and isinstance(right, list | dict | str):
            _budget.get().check_deadline()
        if operator == "=~":
            return self._matches(left, right)
        return super().compare(left, operator, right)

    def _matches(self, left: object, right: object) -> bool:
        """Evaluate Jayway's ``=~``, which matches the whole text; numbers and booleans match by their JSON text."""
        if isinstance(left, bool):
            left = "true" if left else "false"
        elif isinstance(left, int | float):
            left = str(left)
        if not isinstance(left, str) or not hasattr(right, "fullmatch") or len(left) > MAX_SUBJECT:
            return False
        _budget.get().check_deadline()
        try:
            return right.fullmatch(left) is not None
        except UnicodeEncodeError:
            return False


_ENVIRONMENT = _Environment(filter_caching=False)

# The library's functions raise these on unexpected values, such as typeof() of a number.
_EVALUATION_ERRORS = (JSONPathError, RecursionError, AttributeError, TypeError, ValueError, LookupError)


def compile_path(text: str, position: int) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that returns the first match of a JSONPath, or None. Call it within ``limited`` only.

    ``position``: the index of the path in its pattern, for errors. Raises PatternError.
    """
    try:
        stream = TokenStream(_ENVIRONMENT.lexer.tokenize(text))
        path = _Path(env=_ENVIRONMENT, segments=_ENVIRONMENT.parser.parse(stream))
    except (JSONPathError, ValueError, OverflowError, RecursionError, AssertionError) as error:
        reason = " ".join(_text(error).split())[:200]
        raise PatternError(f"'{text[:60]}' is not a JSONPath: {reason}", position) from None
    if stream.current().kind != TOKEN_EOF:
        raise PatternError(f"'{stream.current().value}' cannot join JSONPaths; use | for alternatives", position)

    def lookup(fields: Mapping[str, Any]) -> Any:
        try:
            match = next(iter(path.finditer(fields)), None)
        except _EVALUATION_ERRORS:
            return None
        return None if match is None else match.obj

    return lookup


@contextmanager
def limited() -> Iterator[None]:
    """Limit the lookups inside to one shared budget. Raises Unresolved when they exceed it."""
    token = _budget.set(_Budget())
    try:
        yield
    except _Exhausted:
        raise Unresolved("the pattern takes too long on this report; simplify its expressions") from None
    finally:
        _budget.reset(token)
