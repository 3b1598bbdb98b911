"""Parsers of requests: JSON bodies, query parameters and If-Match."""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from chalice.app import Request

from chalicelib.domain.validation.violations import MAX_VIOLATIONS
from chalicelib.errors import InvalidRequest, Malformed, TooLarge, UnsupportedEncoding, Violation
from chalicelib.kernel.gzip_bodies import decoded, is_gzip
from chalicelib.kernel.json_pointer import pointer
from chalicelib.kernel.strict_json import parse_json

E = TypeVar("E", bound=StrEnum)

MAX_BODY = 256 * 1024
"""Maximum size of a JSON body in bytes. The largest connection has about 100 KB of certificates."""
DEFAULT_LIMIT = 50
MAX_LIMIT = 100
_STRONG_TAG = re.compile(r'(?:^|,)\s*"([^"]*)"\s*(?=,|$)')


def raw_body(request: Request, limit: int) -> bytes:
    """Return the request's body, without its gzip encoding but otherwise unchanged.

    ``limit``: bytes, before and after decoding. Raises TooLarge, UnsupportedEncoding, or Malformed if the body is not
    UTF-8.
    """
    try:
        raw = request.raw_body
    except ValueError as error:
        raise Malformed("The body is not UTF-8. Encode it as UTF-8.") from error
    body: bytes = raw.encode() if isinstance(raw, str) else raw
    if len(body) > limit:
        raise TooLarge(f"The body has {len(body)} bytes; the limit is {limit} bytes. Send less at once.")
    return _decoded(request.headers.get("content-encoding", ""), body, limit)


def _decoded(encoding: str, body: bytes, limit: int) -> bytes:
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in {"gzip", "x-gzip"}:
        raise UnsupportedEncoding(
            f"The body has the Content-Encoding {encoding[:60]!r}. Send it with gzip, or uncompressed."
        )
    # API Gateway decodes the body itself and may keep the header.
    return decoded(body, limit) if is_gzip(body) else body


def json_body(request: Request, limit: int = MAX_BODY) -> Any:
    """Return the value of a JSON body. Raises TooLarge, or Malformed for anything but strict JSON in UTF-8."""
    _, value = json_text(request, limit)
    return value


def json_text(request: Request, limit: int = MAX_BODY) -> tuple[str, Any]:
    """Return the text and the value of a JSON body. Raises TooLarge, Malformed."""
    body = raw_body(request, limit)
    if not body.strip():
        raise Malformed("The body is empty. Send a JSON document.")
    return parse_json(body)


def if_match(request: Request) -> frozenset[str] | None:
    """Return the versions that If-Match allows, or None for any. A weak tag never matches (RFC 9110, 13.1.1)."""
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    return frozenset(_STRONG_TAG.findall(header))


def id_in(document: Any, kind: str) -> str:
    """Return the ``id`` of a document, which names a ``kind`` such as connection. Raises InvalidRequest."""
    wanted = document.get("id") if isinstance(document, dict) else None
    if not isinstance(wanted, str) or not wanted:
        detail = f"The {kind}'s id is mandatory here; add it, or use PUT /{kind}s/{{id}}."
        raise InvalidRequest([Violation("/id", detail)])
    return wanted


def check_unique_parameters(request: Request) -> None:
    """Check that each query parameter occurs once. Raises InvalidRequest that names the repeated ones.

    Readers of a query disagree about which of two values counts, so that a check and the action could use different
    ones.
    """
    query = request.query_params
    repeated = [] if query is None else [name[:60] for name in query if len(query.getlist(name)) > 1]
    if repeated:
        detail = "The query parameter {} is given more than once; send it once."
        raise InvalidRequest([Violation(pointer([n]), detail.format(n)) for n in repeated[:MAX_VIOLATIONS]])


class Query:
    """Reads query parameters and collects their violations.

    Each method returns a default for an invalid parameter; call ``check`` before you use the values.
    """

    def __init__(self, request: Request) -> None:
        self._parameters = request.query_params
        self._violations: list[Violation] = []

    def text(self, name: str) -> str | None:
        """Return a parameter, or None if it is absent."""
        return None if self._parameters is None else self._parameters.get(name)

    def required(self, name: str) -> str:
        """Return a mandatory parameter, or an empty string and a violation if it is absent or empty."""
        value = self.text(name)
        if not value:
            self._violations.append(Violation(f"/{name}", f"The parameter {name} is mandatory; add it."))
        return value or ""

    def limit(self) -> int:
        """Return the page size from the parameter ``limit``."""
        text = self.text("limit")
        if text is None:
            return DEFAULT_LIMIT
        # ASCII digits only, because int() also accepts other digits, signs and underscores.
        if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_LIMIT:
            self._violations.append(Violation("/limit", f"This must be a whole number from 1 to {MAX_LIMIT}."))
            return DEFAULT_LIMIT
        return int(text)

    def choice(self, name: str, choices: type[E]) -> E | None:
        """Return a parameter as a member of ``choices``, or None if it is absent."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return choices(text)
        except ValueError:
            self._violations.append(Violation(f"/{name}", f"This must be one of {', '.join(choices)}."))
            return None

    def choices(self, name: str, allowed: Collection[str]) -> frozenset[str] | None:
        """Return the values of a parameter, which commas separate, or None if it is absent."""
        text = self.text(name)
        if text is None:
            return None
        values = frozenset(text.split(","))
        if not values <= set(allowed):
            self.refuse(name, f"Each value must be one of {', '.join(allowed)}; separate several with commas.")
        return values

    def words(self, name: str, longest: int) -> frozenset[str] | None:
        """Return the words of a parameter, which commas separate, or None if it is absent."""
        text = self.text(name)
        if text is None:
            return None
        if not re.fullmatch(r"[A-Z0-9_]+(?:,[A-Z0-9_]+)*", text) or len(text) > longest:
            self.refuse(name, f"These must be names in capitals, separated by commas, {longest} characters at most.")
        return frozenset(text.split(","))

    def number(self, name: str, lowest: int, highest: int) -> int:
        """Return a whole number, ``lowest`` if it is absent."""
        text = self.text(name)
        if text is None:
            return lowest
        if not re.fullmatch(r"[0-9]{1,9}", text) or not lowest <= int(text) <= highest:
            self.refuse(name, f"This must be a whole number from {lowest} to {highest}.")
            return lowest
        return int(text)

    def refuse(self, name: str, detail: str) -> None:
        """Add a violation of a parameter, which ``check`` raises."""
        self._violations.append(Violation(f"/{name}", detail))

    def flag(self, name: str) -> bool:
        """Return whether a parameter is ``true``; absent counts as ``false``."""
        text = self.text(name) or "false"
        if text not in {"true", "false"}:
            self._violations.append(Violation(f"/{name}", "This must be true or false."))
        return text == "true"

    def moment(self, name: str) -> float | None:
        """Return the Unix seconds of an ISO 8601 time, or None if it is absent. A time without an offset is UTC."""
        text = self.text(name)
        if text is None:
            return None
        try:
            # An unescaped plus sign of the offset arrives as a space.
            moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self._violations.append(Violation(f"/{name}", "This must be a time such as 2026-11-23T09:00:00Z."))
            return None

    def check(self) -> None:
        """Raise InvalidRequest with all violations if there are any."""
        if self._violations:
            raise InvalidRequest(self._violations)
