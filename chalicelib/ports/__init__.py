"""Protocols of everything that the flows need from outside."""
