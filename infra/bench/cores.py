"""Cores of the benchmarks: the broker has other ones than its clients, as on different machines.

Beside a broker on the same cores, a client is measured by how often it waits for one: Erlang's schedulers spin on every
core that they may use.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALL = sorted(os.sched_getaffinity(0))
_HALF = len(_ALL) // 2
BROKER_CORES: frozenset[int] = frozenset(_ALL[:_HALF] or _ALL)
CLIENT_CORES: frozenset[int] = frozenset(_ALL[_HALF:])
"""The same as those of the broker on a machine with one core."""


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Run this thread on ``cores``, and the processes that it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
