"""The states of a connection, as the API shows them."""

from enum import StrEnum


class ConnectionState(StrEnum):
    OPENING = "OPENING"
    AUTHENTICATING = "AUTHENTICATING"
    OPENED = "OPENED"
    AUTHENTICATION_FAILED = "AUTHENTICATION_FAILED"
    UNREACHABLE = "UNREACHABLE"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"
    DEACTIVATED = "DEACTIVATED"
