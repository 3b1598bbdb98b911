"""Notices: remarks on a valid request whose effect its author may not expect."""

from collections.abc import Sequence
from typing import Any

from chalicelib.kernel.documents import Document


class Notice(Document):
    """A remark on one field: its JSON pointer, and a sentence with the effect and the remedy."""

    pointer: str
    detail: str


def with_warnings(document: dict[str, Any], notices: Sequence[Notice]) -> dict[str, Any]:
    """Return an answer with ``notices`` as its ``warnings``, a field that is absent if there are none."""
    return document | {"warnings": [notice.to_json() for notice in notices]} if notices else document
