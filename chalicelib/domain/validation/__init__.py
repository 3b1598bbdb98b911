"""Validation of requests; every violation is reported with its JSON pointer."""
