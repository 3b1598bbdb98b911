"""Reading of lists in which another release may have stored unreadable items."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from chalicelib.monitoring import log
from chalicelib.monitoring.metrics import metrics
from chalicelib.vocabulary import Metric

T = TypeVar("T")


def readable(items: Iterable[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], T], *keys: str) -> Iterator[T]:
    """Yield what ``read`` returns for each item. An unreadable item is logged with its ``keys`` and skipped."""
    for item in items:
        try:
            result = read(item)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error) as error:
            metrics.add(Metric.UNREADABLE)
            log.error("unreadable record", extra={key: item.get(key) for key in keys} | {"type": type(error).__name__})
            continue
        yield result
