"""Errors of the operator's commands."""


class OperateFailed(Exception):
    """A command cannot go on. Its text is one sentence for the operator, with the remedy."""


class NotConfirmed(Exception):
    """The operator did not confirm a destructive command."""
