"""Thread time of an action, without the tracer that measures coverage."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def thread_seconds(spent: list[float]) -> Iterator[None]:
    """Append the seconds of processor time that the block takes in this thread."""
    tracer = sys.gettrace()
    sys.settrace(None)
    begin = time.thread_time()
    try:
        yield
    finally:
        spent.append(time.thread_time() - begin)
        sys.settrace(tracer)
