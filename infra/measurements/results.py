"""Figures of a measurement and their goals."""

import math
import sys
from collections.abc import Callable, Sequence

from infra.local.broker.installation import BrokerFailed, ensure_installed
from infra.local.errors import StackFailed


def percentile(delays: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return sorted(delays)[math.ceil(len(delays) * 0.99) - 1]


def goal(name: str, value: float, limit: float) -> bool:
    """Print a result in seconds with its goal; return whether it is met."""
    met = value <= limit
    print(f"{name}: {value:.2f} s, goal {limit:.2f} s: {'met' if met else 'MISSED'}", flush=True)
    return met


def exit_code(measure: Callable[[], bool]) -> int:
    """Run a measurement, which returns whether its goals are met: 0 if they are, 1 if not, 2 if it could not run."""
    try:
        ensure_installed()
        return 0 if measure() else 1
    except (StackFailed, BrokerFailed) as error:
        print(f"\nThe run failed to start or to finish: {error}", file=sys.stderr)
        return 2
