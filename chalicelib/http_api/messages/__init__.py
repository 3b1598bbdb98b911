"""Handlers of the message log."""
