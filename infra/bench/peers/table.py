"""The results as text for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.bench.peers.scenes import CONTENDERS, LIMIT

_NAME, _COLUMN = 20, 16


def written_table(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of two tables: rates as ratios to the limit with their quartiles, and own CPU per message."""
    scenes = results["scenes"]
    versions = ", ".join(results["versions"].values())
    yield f"publish and confirm, messages of {results['messageBytes']:,} bytes, {results['rounds']} interleaved rounds"
    yield f"{results['machine']}; Python {versions}"
    yield _row("ratio to the limit", list(scenes))
    for name, label in CONTENDERS.items():
        if all(name in samples for samples in scenes.values()):
            cells = [_rate(samples[name]) if name == LIMIT else _ratio(samples[name]) for samples in scenes.values()]
            yield _row(label, cells)
    yield _row("own CPU, µs/message", list(scenes))
    for name, label in CONTENDERS.items():
        if all(name in samples for samples in scenes.values()):
            yield _row(label, [_processor(samples[name]) for samples in scenes.values()])


def verdict_lines(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each goal that is missed, and one with the number of goals that are met."""
    goals = results["goals"]
    for goal in goals:
        if goal["met"]:
            continue
        who = CONTENDERS[goal["contender"]]
        if "maximum" in goal:
            yield f"MISSED: {who}, {goal['scene']}: {goal['reached']:.0f} µs of CPU, goal {goal['maximum']:.0f} µs"
        else:
            of = CONTENDERS[goal["of"]]
            yield f"MISSED: {who}, {goal['scene']}: {goal['reached']:.2f} of {of}, goal {goal['minimum']:g}"
    yield f"goals met: {sum(goal['met'] for goal in goals)} of {len(goals)}"


def _row(label: str, cells: list[str]) -> str:
    return f"{label:<{_NAME}}" + "".join(f"{cell:>{_COLUMN}}" for cell in cells)


def _rate(figures: Mapping[str, Any]) -> str:
    return f"{figures['rate']['median']:,.0f}/s"


def _ratio(figures: Mapping[str, Any]) -> str:
    ratio = figures["ratio"]
    return f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"


def _processor(figures: Mapping[str, Any]) -> str:
    used = figures["microseconds"]
    return "-" if used is None else f"{used['median']:.0f} ({used['low']:.0f}-{used['high']:.0f})"
