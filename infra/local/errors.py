"""Exceptions that end the local stack."""


class StackFailed(Exception):
    """The stack cannot start or continue. The text is one line for the developer, with log lines below it."""


class StopRequested(BaseException):
    """Ctrl-C or SIGTERM was received."""
