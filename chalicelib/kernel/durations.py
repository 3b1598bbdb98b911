"""Durations in configurations: ``30s``, ``5m``, ``72h``, ``7d``."""

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
DURATION = r"^\s*(?=[0-9]{1,9}[smhd])0*[1-9][0-9]*[smhd]\s*$"
"""The texts that ``parse_duration`` accepts, as a JSON Schema pattern."""


def parse_duration(text: str) -> float:
    """Return the seconds of a duration. Raises ValueError with a sentence for the user."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        # The sentence omits the text, because it may be a secret in the wrong field.
        raise ValueError("this is not a duration; write a number and s, m, h or d, such as 30s, 5m, 72h or 7d")
    return float(int(match[1]) * _UNITS[match[2]])
