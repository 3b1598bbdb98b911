"""Handlers of the overview, and the sorted list of ``GET /connections``."""

from dataclasses import dataclass

from chalice.app import Request, Response

from chalicelib.connections.overview.listing import MOST_NUMBERS, ConnectionLists, Wanted
from chalicelib.connections.overview.summary import Overview
from chalicelib.domain.connection import Connection
from chalicelib.domain.overview.groups import Order
from chalicelib.http_api.auth import READ, TokenVerifier
from chalicelib.http_api.bodies import Query
from chalicelib.http_api.problems import answered
from chalicelib.http_api.responses import json_response
from chalicelib.kernel.ids import is_id
from chalicelib.vocabulary import ConnectionState

SORTED = ("sort", "descending", "offset", "q", "protocol", "cause")
"""Parameters that choose the sorted list. The list without them is that of ``ConnectionService.page``."""
MAX_OFFSET = 1_000_000
_PROTOCOLS = ("TCP", "SSL")
_LONGEST = 200


class OverviewApi:
    """Summarise the connections of the caller's tenant."""

    def __init__(self, auth: TokenVerifier, overview: Overview, lists: ConnectionLists) -> None:
        self._auth = auth
        self._overview = overview
        self._lists = lists

    @answered
    def summary(self, request: Request) -> Response:
        caller = self._auth.caller(request, READ)
        return json_response(self._overview.summary(caller.tenant).to_json())

    @answered
    def numbers(self, request: Request) -> Response:
        """Return the numbers of the connections that ``ids`` names, in any order."""
        caller = self._auth.caller(request, READ)
        query = Query(request)
        ids = list(dict.fromkeys(query.required("ids").split(",")))
        if len(ids) > MOST_NUMBERS or not all(map(is_id, ids)):
            query.refuse("ids", f"This must be 1 to {MOST_NUMBERS} ids of connections, separated by commas.")
        query.check()
        return json_response([each.to_json() for each in self._lists.numbers(caller.tenant, ids)])


@dataclass(frozen=True)
class SortedPage:
    """A page of the sorted list, as the query asks for it."""

    wanted: Wanted
    order: Order
    descending: bool
    offset: int
    limit: int

    @classmethod
    def of(cls, query: Query) -> "SortedPage":
        """Read the query; ``query.check`` raises for what is invalid."""
        return cls(
            Wanted(
                text=query.text("q") or None,
                name=query.text("name") or None,
                states=query.choices("state", [each.value for each in ConnectionState]),
                protocols=query.choices("protocol", _PROTOCOLS),
                causes=query.words("cause", _LONGEST),
            ),
            query.choice("sort", Order) or Order.WORST,
            query.flag("descending"),
            query.number("offset", 0, MAX_OFFSET),
            query.limit(),
        )

    def read(self, lists: ConnectionLists, tenant: str) -> tuple[list[Connection], int]:
        """Return the connections of the page, and the number of all that match."""
        return lists.page(tenant, self.wanted, self.order, self.offset, self.limit, descending=self.descending)


def is_sorted(query: Query) -> bool:
    """Return whether the query asks for the sorted list: by a parameter of it, or by several states."""
    return any(query.text(name) is not None for name in SORTED) or "," in (query.text("state") or "")
