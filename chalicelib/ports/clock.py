"""The clock that services read."""

from collections.abc import Callable

Clock = Callable[[], float]
"""Unix seconds."""
