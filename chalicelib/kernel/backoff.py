"""Exponential back-off."""


def backoff(attempts: int, *, first: float, longest: float, scale: float) -> int:
    """Return whole seconds to wait after the nth attempt: ``first``, doubling up to ``longest``.

    ``scale`` (TIME_SCALE) shortens the delay; it is at least one second.
    """
    return max(1, round(min(first * 2.0 ** min(attempts - 1, 10), longest) / scale))
