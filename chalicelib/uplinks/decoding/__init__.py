"""Decoding of the payloads of reports, between receiving and publishing."""
