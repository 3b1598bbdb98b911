"""What ends the local stack."""


class StackFailed(Exception):
    """The stack cannot start or go on; the text is a line for the developer, with what helps below it."""


class StopRequested(BaseException):
    """Ctrl-C or SIGTERM."""
