"""Python's collector of cyclic garbage."""

import gc

_ALLOCATIONS = 5000
"""Allocations between two collections, instead of Python's 700."""


def collect_less_often() -> None:
    """Collect cyclic garbage less often in this process.

    A drain holds up to 1,000 reports with all that belongs to them, and each collection looks at them again without
    finding garbage. It took 7 % of a drain's processor time.
    """
    gc.set_threshold(_ALLOCATIONS)
