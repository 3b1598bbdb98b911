"""The backlog over time as an SVG, with a line for each connection and a bar for each chaos fault."""

from collections.abc import Sequence

from infra.chaos.records import Backlog, Disturbance

_WIDTH, _HEIGHT = 960, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 40, 110
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f")
_ROW = 11
_ROWS = 7
_SHORTEST = 2.0
"""Minimum length of a bar in pixels."""


def draw(backlog: Sequence[Backlog], faults: Sequence[Disturbance], connections: int) -> str:
    """The SVG. ``backlog`` has the connections' queues first."""
    start = min([look.at for look in backlog] + [fault.began for fault in faults], default=0.0)
    end = max([look.at for look in backlog] + [fault.ended for fault in faults], default=1.0)
    most = max([max(look.waiting[:connections], default=0) for look in backlog], default=0) or 1
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(moment: float) -> float:
        return _LEFT + wide * (moment - start) / max(1.0, end - start)

    def y(number: int) -> float:
        return _TOP + high * (1 - number / most)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        "<style>text{font-size:10px}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="14" style="font-size:13px">Reports waiting, by connection; below: the faults</text>',
        f'<path d="M{_LEFT} {_TOP}V{_TOP + high}H{_LEFT + wide}" fill="none" stroke="#444"/>',
        f'<text x="{_LEFT - 6}" y="{_TOP + 4}" text-anchor="end">{most}</text>',
        f'<text x="{_LEFT - 6}" y="{_TOP + high}" text-anchor="end">0</text>',
        f'<text x="{_LEFT + wide}" y="{_TOP - 6}" text-anchor="end">{end - start:.0f} s</text>',
    ]
    for index in range(connections):
        colour = _COLOURS[index % len(_COLOURS)]
        points = " ".join(f"{x(look.at):.1f},{y(look.waiting[index]):.1f}" for look in backlog)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{_LEFT + 60 * index}" y="28" fill="{colour}">connection {index}</text>')
    for number, fault in enumerate(sorted(faults, key=lambda fault: fault.began)):
        row = _TOP + high + 14 + _ROW * (number % _ROWS)
        length = max(_SHORTEST, x(fault.ended) - x(fault.began))
        label = f"{fault.kind} ({fault.target})" if fault.target else fault.kind
        parts.append(
            f'<rect x="{x(fault.began):.1f}" y="{row}" width="{length:.1f}" height="{_ROW - 3}" fill="#c44" '
            f'opacity="0.7"><title>{label}</title></rect>'
        )
        parts.append(f'<text x="{x(fault.began) + length + 2:.1f}" y="{row + 7}" style="font-size:7px">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])
