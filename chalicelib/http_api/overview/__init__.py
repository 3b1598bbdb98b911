"""Handlers of the overview."""
