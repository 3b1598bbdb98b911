"""JSON pointers (RFC 6901)."""

from collections.abc import Sequence


def pointer(location: Sequence[str | int]) -> str:
    """Return the pointer to ``location``, the names and positions from the root."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
