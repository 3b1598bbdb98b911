"""Medians and spread of the rounds, and the goals that they meet."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from infra.bench.peers.processes import Sample
from infra.bench.peers.scenes import GOALS, LIMIT, PROCESSOR_GOALS, SHOVEL

Rounds = Mapping[str, Mapping[str, Sequence[Sample]]]
"""Samples by scene and contender, one for each round."""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of one or more values."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def ratios(samples: Mapping[str, Sequence[Sample]], contender: str, of: str = LIMIT) -> Spread:
    """Return the ratio of two rates in the same round: a machine that slows down slows both."""
    return spread([own.rate / other.rate for own, other in zip(samples[contender], samples[of], strict=True)])


def summary(rounds: Rounds) -> dict[str, Any]:
    """Return scene, contender, then ``rate``, ``ratio`` and ``microseconds`` of CPU, each with median and quartiles."""
    return {
        scene: {
            contender: {
                "rate": asdict(spread([sample.rate for sample in own])),
                "ratio": asdict(ratios(samples, contender)),
                # The shovel runs in the broker, so that its CPU is unknown.
                "microseconds": None if contender == SHOVEL else asdict(spread([each.processor for each in own])),
            }
            for contender, own in samples.items()
        }
        for scene, samples in rounds.items()
    }


def judged(rounds: Rounds) -> list[dict[str, Any]]:
    """Return each goal whose scene and contenders were measured, with the median and whether it is met."""
    verdicts: list[dict[str, Any]] = []
    for goal in GOALS:
        samples = rounds.get(goal.scene, {})
        if goal.contender in samples and goal.of in samples:
            reached = ratios(samples, goal.contender, goal.of).median
            verdicts.append({**asdict(goal), "reached": reached, "met": reached >= goal.minimum})
    for limit in PROCESSOR_GOALS:
        samples = rounds.get(limit.scene, {})
        if limit.contender in samples:
            used = spread([sample.processor for sample in samples[limit.contender]]).median
            verdicts.append({**asdict(limit), "reached": used, "met": used <= limit.maximum})
    return verdicts
