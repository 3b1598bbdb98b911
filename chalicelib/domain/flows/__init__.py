"""Flows: the choice of the reports that reach a connection."""
