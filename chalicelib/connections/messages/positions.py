"""Positions in a search of the message log, and their cursors."""

import json
from dataclasses import dataclass

from chalicelib.kernel import cursors

_LATEST = 1e11
"""Unix seconds that no time reaches. A forged cursor may have infinity, or no number."""
MOST_DECIDED = 150
"""Messages that a cursor names. If more of them wait for long, an earlier step of one may be listed again."""


@dataclass(frozen=True)
class Position:
    """The last message of a page and the time of its newest step, in Unix seconds.

    ``decided``: messages that were listed or not wanted, and that have steps before ``time``.
    """

    time: float
    message: tuple[str, str]
    decided: tuple[tuple[str, str], ...] = ()

    def cursor(self, scope: str) -> str:
        """Return the cursor of the next page of the list ``scope``."""
        connections = sorted({connection for connection, _ in self.decided[:MOST_DECIDED]})
        decided = [[connections.index(connection), ref] for connection, ref in self.decided[:MOST_DECIDED]]
        return cursors.encode(
            scope, json.dumps([self.time, *self.message, connections, decided], separators=(",", ":"))
        )


def position_of(scope: str, cursor: str | None) -> Position | None:
    """Return the position in a cursor, None without one. Raises InvalidRequest for a cursor of another list."""
    if cursor is None:
        return None
    try:
        moment, connection, reference, connections, decided = json.loads(cursors.decode(scope, cursor))
        named = tuple((str(connections[index]), str(name)) for index, name in decided)
        position = Position(float(moment), (str(connection), str(reference)), named)
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
        # The check value of a cursor is not a signature, so a forged one may have any content.
        raise cursors.foreign() from error
    if not 0 <= position.time < _LATEST:
        raise cursors.foreign()
    return position
