"""Pictures of a comparison (SVG): cost against time, and for one policy the machines and the queue over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import NamedTuple

from . import world

#: width of all pictures, and the room for the numbers of their scales
WIDTH, _LEFT, _RIGHT = 1060, 64, 24
_HEIGHT, _QUEUE_HEIGHT, _TOP, _GAP = 120, 44, 8, 14
#: most points of a curve; with more passes a point stands for several
_POINTS = 500
#: pictures share a scale unless one would be squeezed to less than this part of it
_SQUEEZED = 1 / 3
#: steps of a time scale in seconds
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
#: pixels between two dots below which they get one name
_NEAR = 12.0

#: area -> what it shows, in the order of the legend; the colours are those of the page's style
AREAS = {
    "busy": "machines at work",
    "up": "up, without a task",
    "boot": "booting",
    "leaving": "draining",
    "queue": "tasks that wait for a machine",
}


_Value = Callable[[world.Moment], float]


class Dot(NamedTuple):
    """One policy of the comparison."""

    name: str
    cost: float
    #: mean seconds from a run's begin to its end
    seconds: float
    money: str
    #: the cluster file as it is
    present: bool


def shared(values: Sequence[float]) -> list[float]:
    """Return the end of each picture's scale: one for all, unless that squeezes some to a stripe."""
    ends = [0.0] * len(values)
    left = sorted(range(len(values)), key=lambda place: -values[place])
    while left:
        longest = values[left[0]]
        group = [place for place in left if values[place] >= longest * _SQUEEZED]
        for place in group:
            ends[place] = longest
        left = left[len(group) :]
    return ends


def trade(dots: Sequence[Dot]) -> str:
    """Return the picture of cost against time: what is further left is faster, what is lower is cheaper."""
    height, bottom = 230, 190
    far, dear = max(each.seconds for each in dots) * 1.08 or 1.0, max(each.cost for each in dots) * 1.15 or 1.0
    inner = WIDTH - _LEFT - _RIGHT

    def x(seconds: float) -> float:
        return _LEFT + seconds / far * inner

    def y(cost: float) -> float:
        return bottom - cost / dear * (bottom - _TOP)

    parts = [_time_scale(far, x, bottom, _TOP)]
    for value in _round_values(dear):
        parts.append(_line("grid", _LEFT, x(far), y(value)) + _text(_LEFT - 8, y(value) + 4, "end", f"{value:g}"))
    for near in _grouped(dots, lambda each: (x(each.seconds), y(each.cost))):
        first = near[0]
        for each in near:
            kind = "present" if each.present else "dot"
            told = escape(f"{each.name}: {each.money}, a run takes {span(each.seconds)}")
            parts.append(
                f'<circle class="{kind}" cx="{x(each.seconds):.1f}" cy="{y(each.cost):.1f}" r="6">'
                f"<title>{told}</title></circle>"
            )
        names = ", ".join(each.name for each in near)
        end = x(first.seconds) > WIDTH - 260
        place = x(first.seconds) + (-12 if end else 12)
        parts.append(_text(place, y(first.cost) - 9, "end" if end else "start", names, "name"))
    parts.append(_text(x(far), bottom + 34, "end", "mean time of a run"))
    return _svg("".join(parts), height, "cost of each policy against the mean time of a run")


def over_time(moments: Sequence[world.Moment], longest: float, most: float, queue: float, slots: float) -> str:
    """Return machines by their state as stacked areas, and below them the queue.

    ``longest``, ``most`` and ``queue`` are the ends of the scales; ``slots`` is the number of tasks of a machine.
    """
    points = thinned(moments)
    top, most, queue, longest = _TOP, most or 1.0, queue or 1.0, max(longest, 1e-9)
    floor, bottom = top + _HEIGHT, top + _HEIGHT + _GAP + _QUEUE_HEIGHT

    def x(at: float) -> float:
        return _LEFT + at / longest * (WIDTH - _LEFT - _RIGHT)

    def machines(value: float) -> float:
        return floor - value / most * _HEIGHT

    def queued(value: float) -> float:
        return bottom - value / queue * _QUEUE_HEIGHT

    def busy(each: world.Moment) -> float:
        return min(each.working, each.running / max(slots, 1e-9))

    def up(each: world.Moment) -> float:
        return float(each.working)

    def booting(each: world.Moment) -> float:
        return up(each) + each.booting

    def leaving(each: world.Moment) -> float:
        return booting(each) + each.leaving

    def area(kind: str, y: Callable[[float], float], low: _Value, high: _Value) -> str:
        upper = [f"{x(each.at):.1f},{y(high(each)):.1f}" for each in points]
        lower = [f"{x(each.at):.1f},{y(low(each)):.1f}" for each in reversed(points)]
        return f'<polygon class="{kind}" points="{" ".join([*upper, *lower])}"><title>{AREAS[kind]}</title></polygon>'

    right = WIDTH - _RIGHT
    scale = "".join(
        _line("grid", _LEFT, right, machines(value)) + _text(_LEFT - 8, machines(value) + 4, "end", f"{value:g}")
        for value in _round_values(most, whole=True)
    )
    return _svg(
        _time_scale(longest, x, bottom, top)
        + scale
        + area("busy", machines, lambda each: 0.0, busy)
        + area("up", machines, busy, up)
        + area("boot", machines, up, booting)
        + area("leaving", machines, booting, leaving)
        + area("queue", queued, lambda each: 0.0, lambda each: float(each.queued))
        + _text(_LEFT - 8, bottom - _QUEUE_HEIGHT + 9, "end", f"{queue:g}")
        + _line("axis", _LEFT, right, floor)
        + _line("axis", _LEFT, right, bottom),
        bottom + 24,
        f"machines and queue over {span(longest)}",
    )


def total(each: world.Moment) -> int:
    """Return the number of machines at a moment."""
    return each.booting + each.working + each.leaving


def thinned(moments: Sequence[world.Moment]) -> list[world.Moment]:
    """Return at most _POINTS moments: of some that follow each other the one with the most machines, and the longest
    queue of them."""
    size = -(-len(moments) // _POINTS) or 1
    return [_peak(moments[place : place + size]) for place in range(0, len(moments), size)]


def _peak(some: Sequence[world.Moment]) -> world.Moment:
    return max(some, key=total)._replace(at=some[0].at, queued=max(each.queued for each in some))


def span(seconds: float) -> str:
    """'45 s', '12 min', '3.2 h'."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _grouped(dots: Iterable[Dot], place: Callable[[Dot], tuple[float, float]]) -> list[list[Dot]]:
    """Return dots that lie on each other together."""
    found: list[list[Dot]] = []
    for dot in dots:
        (across, down), home = place(dot), None
        for group in found:
            first = place(group[0])
            if abs(first[0] - across) < 6 * _NEAR and abs(first[1] - down) < _NEAR:
                home = group
                break
        if home is None:
            found.append([dot])
        else:
            home.append(dot)
    return found


def _round_values(most: float, *, whole: bool = False) -> list[float]:
    """Return two to six round values from 0 to ``most``; ``whole``: none between two numbers that count things."""
    step = 1.0 if whole else 1e-6
    if whole and most <= 5:
        return [float(each) for each in range(int(most) + 1)]
    while most / step > 5:
        for factor in (1, 2, 5):
            if most / (step * factor) <= 5:
                return [each * step * factor for each in range(int(most / (step * factor)) + 1)]
        step *= 10
    return [0.0, most]


def _time_scale(longest: float, x: Callable[[float], float], bottom: float, top: float) -> str:
    step = float(next((each for each in _STEPS if longest / each <= 7), 0))
    if not step:
        step = 86_400.0
        while longest / step > 7:
            step *= 2
    parts = []
    for number in range(int(longest / step) + 1):
        place = x(number * step)
        parts.append(f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(_text(place, bottom + 17, "middle", _moment(number * step)))
    return "".join(parts)


def _moment(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0 and not (unit == "d" and seconds == size):
            return f"{seconds / size:g} {unit}"
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds:g} s" if seconds else "0"


def _line(kind: str, begin: float, end: float, y: float) -> str:
    return f'<line class="{kind}" x1="{begin:.1f}" x2="{end:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _text(x: float, y: float, anchor: str, words: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(content: str, height: float, label: str) -> str:
    return (
        f'<div class="wide"><svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">'
        f"{content}</svg></div>"
    )
