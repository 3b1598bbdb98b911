"""Refusals of a change of a connection, each with its remedy."""

from chalicelib.domain.connection import Connection
from chalicelib.errors import Conflict, NotFound, PreconditionFailed, Unreadable


def limit_reached(limit: int) -> Conflict:
    """Return the refusal of a connection beyond the tenant's limit."""
    return Conflict(f"The limit of {limit} connections is reached. Delete a connection or request a higher limit.")


def not_found(connection_id: str) -> NotFound:
    """Return the refusal of an unknown connection id."""
    return NotFound(f"The connection {connection_id[:40]} does not exist. Check the id.")


def changed_since(version: int) -> PreconditionFailed:
    """Return the refusal of a change to an old version."""
    return PreconditionFailed(f"The connection has changed since version {version}. Read it and try again.")


def unreadable(connection: Connection) -> Unreadable:
    """Return the error of a connection with a fault."""
    return Unreadable(connection.state_reason or "")
