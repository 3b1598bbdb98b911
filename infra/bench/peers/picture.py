"""The results as an SVG picture: a bar for each contender in each scene, its length the ratio to the limit."""

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from infra.bench.peers.scenes import CONTENDERS, LIMIT, OURS

_COLUMNS = 3
_WIDTH, _MARGIN = 900, 20
_PANEL = (_WIDTH - 2 * _MARGIN) // _COLUMNS
_NAMES = 124
"""Width of the names in a panel."""
_BAR, _STEP = 13, 19
_HEAD, _TITLE = 66, 30
_STYLE = """
svg { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.paper { fill: #ffffff; stroke: #d0d7de; } text { fill: #1f2328; } .quiet { fill: #59636e; font-size: 11px; }
.title { font-size: 16px; font-weight: 600; } .scene { font-weight: 600; } .own { font-weight: 600; }
.peer { fill: #afb8c1; } .ours { fill: #0969da; } .track { fill: #f0f3f6; } .spread { stroke: #1f2328; }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117; stroke: #30363d; } text { fill: #e6edf3; } .quiet { fill: #9198a1; }
.peer { fill: #59636e; } .ours { fill: #4493f8; } .track { fill: #1c2128; } .spread { stroke: #e6edf3; }
}
"""


def draw(results: Mapping[str, Any]) -> str:
    """Return the picture. It has a background, so that it is legible on light and dark pages."""
    scenes = results["scenes"]
    names = [name for name in CONTENDERS if name != LIMIT and all(name in samples for samples in scenes.values())]
    panel_height = _TITLE + len(names) * _STEP + 18
    lines = -(-len(scenes) // _COLUMNS)
    notes = [
        f"{results['machine']}. Median and quartiles of {results['rounds']} interleaved rounds, {results['measured']}.",
        *_broken(f"Python {', '.join(results['versions'].values())}."),
    ]
    height = _HEAD + lines * panel_height + len(notes) * 16 + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="title">',
        '<title id="title">Rates of published and confirmed messages as ratios to the limit</title>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
        _text(_MARGIN, 30, "Published and confirmed messages, as a ratio to the limit", "title"),
        _text(
            _MARGIN, 50,
            f"Limit: frames encoded beforehand, one write to a socket. Messages of {results['messageBytes']:,} bytes.",
            "quiet",
        ),
    ]  # fmt: skip
    for number, (scene, samples) in enumerate(scenes.items()):
        x = _MARGIN + number % _COLUMNS * _PANEL
        y = _HEAD + number // _COLUMNS * panel_height
        rate = samples[LIMIT]["rate"]["median"]
        parts.append(_text(x, y + 18, f"Batch of {scene}", "scene"))
        parts.append(_text(x + _PANEL - 12, y + 18, f"limit {rate:,.0f}/s", "quiet", "end"))
        for row, name in enumerate(names):
            parts += _bar(x, y + _TITLE + row * _STEP, name, samples[name]["ratio"])
    for row, note in enumerate(notes):
        parts.append(_text(_MARGIN, height - 12 - (len(notes) - 1 - row) * 16, note, "quiet"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(x: int, y: int, name: str, ratio: Mapping[str, float]) -> Iterator[str]:
    ours = name in OURS
    left, length = x + _NAMES, _PANEL - _NAMES - 48
    middle = y + _BAR / 2
    low, high = (left + min(ratio[end], 1.1) * length for end in ("low", "high"))
    yield _text(left - 6, y + 11, CONTENDERS[name], "own" if ours else "", "end")
    yield f'<rect class="track" x="{left}" y="{y}" width="{length}" height="{_BAR}"/>'
    width = min(ratio["median"], 1.1) * length
    yield f'<rect class="{"ours" if ours else "peer"}" x="{left}" y="{y}" width="{width:.1f}" height="{_BAR}"/>'
    yield f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
    yield _text(left + length + 36, y + 11, f"{ratio['median']:.2f}", "own" if ours else "", "end")


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'


def _broken(text: str, width: int = 140) -> list[str]:
    """Return a text in lines of at most ``width`` characters, because SVG breaks none."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
