"""Figures of a measurement and their goals."""

import math
from collections.abc import Sequence


def percentile(delays: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return sorted(delays)[math.ceil(len(delays) * 0.99) - 1]


def goal(name: str, value: float, limit: float) -> bool:
    """Print a result in seconds with its goal; return whether it is met."""
    met = value <= limit
    print(f"{name}: {value:.2f} s, goal {limit:.2f} s: {'met' if met else 'MISSED'}", flush=True)
    return met
