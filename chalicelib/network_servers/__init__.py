"""Formats of the supported network servers: reports, downlinks and tokens, one package each."""
