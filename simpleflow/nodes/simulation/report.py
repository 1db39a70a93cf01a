"""The comparison as a page: a table, and for each policy the machines and the queue over time (SVG)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

import msgspec

from simpleflow.nodes import config

from . import scenarios, work, world

#: colours that people with any colour vision tell apart (Okabe and Ito 2008)
_BUSY, _UP, _BOOT, _LEAVING, _QUEUE = "#0072B2", "#56B4E9", "#999999", "#E69F00", "#D55E00"
_WIDTH, _HEIGHT, _LEFT, _TOP = 1060, 150, 46, 8
#: most points of a picture; with more passes a point stands for several
_POINTS = 700
_STYLE = """
:root { color-scheme: light dark; --line: #8884 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1120px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.05rem; margin: 1.6rem 0 .2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left }
td, th { font-variant-numeric: tabular-nums } .wide { overflow-x: auto } .best { font-weight: bold }
svg { width: 100%; min-width: 800px; height: auto; font: 11px system-ui, sans-serif } svg text { fill: currentColor }
.tick { stroke: var(--line) } .legend span { margin-right: 1.2rem }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em }
footer { margin-top: 2rem; opacity: .7 }
"""

_COLUMNS = ("POLICY", "COST", "SLOWDOWN", "MEAN", "MAKESPAN", "PEAK", "HOURS", "IN USE", "WAITED")
#: a column that is shown only when a task was interrupted
_MORE = "INTERRUPTED"


def columns(results: Sequence[scenarios.Result]) -> list[str]:
    """Return the heads of the table: MEAN is a run's time, PEAK and HOURS are of machines, WAITED is of a task."""
    return [*_COLUMNS, _MORE] if _any_interrupted(results) else list(_COLUMNS)


def _any_interrupted(results: Sequence[scenarios.Result]) -> bool:
    return any(each.outcome.interrupted for each in results)


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What was played, in words for the page."""

    what: str
    #: the changes in all scenarios but the first, in words
    what_if: str
    runs: Sequence[work.Run]


def rows(results: Sequence[scenarios.Result], cluster: config.ClusterConfig) -> list[list[str]]:
    """Return the cells of the table."""
    more = _any_interrupted(results)
    return [
        [
            each.name,
            scenarios.money(each.outcome.cost, cluster),
            f"{each.slowdown:.2f}",
            span(each.mean_flow),
            span(each.outcome.makespan),
            str(each.outcome.peak),
            f"{each.outcome.lived / 3600:.1f}",
            f"{each.outcome.utilization:.0%}",
            span(each.outcome.waited),
            *([str(each.outcome.interrupted)] if more else []),
        ]
        for each in results
    ]


def span(seconds: float) -> str:
    """'45 s', '12 min', '3.2 h'."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def remarks(results: Sequence[scenarios.Result], source: Source) -> list[str]:
    """Return remarks on the table: the changes, runs that did not end, seconds between passes."""
    said = [f"all rows but the first: {source.what_if}"] if source.what_if else []
    for each in results:
        said += [f"{each.name}: {note}" for note in each.outcome.notes]
        if each.outcome.lost:
            said.append(f"{each.name}: {each.outcome.lost} tasks were lost with machines that the manager ended")
        if each.outcome.cancelled:
            said.append(
                f"{each.name}: {each.outcome.cancelled} machines were not wanted any more before they had booted"
            )
    steps = sorted({each.outcome.step for each in results})
    return [*said, f"a pass of the manager every {', '.join(f'{step:g}' for step in steps)} s of virtual time"]


def page(results: Sequence[scenarios.Result], cluster: config.ClusterConfig, source: Source) -> str:
    """Return the page as one HTML document without links."""
    tasks = sum(len(run.tasks) for run in source.runs)
    hours = sum(run.work() for run in source.runs) / 3600
    title = f"What cluster '{cluster.cluster}' would have done"
    head = "".join(f"<th>{escape(name.capitalize())}</th>" for name in columns(results))
    cheapest = min((each.outcome.cost for each in results if not each.outcome.notes), default=None)
    body = "".join(
        f"<tr{' class=best' if each.outcome.cost == cheapest else ''}>"
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for each, cells in zip(results, rows(results, cluster), strict=True)
    )
    colours = (
        (_BUSY, "machines at work"),
        (_UP, "up, without a task"),
        (_BOOT, "booting"),
        (_LEAVING, "draining"),
        (_QUEUE, "queued tasks (line, scale at the right)"),
    )
    legend = "".join(f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for colour, name in colours)
    slots = sum(each.slots for each in cluster.task_lists.values()) / max(len(cluster.task_lists), 1)
    longest = max((each.outcome.moments[-1].at for each in results if each.outcome.moments), default=1.0)
    parts = [
        '<!doctype html><html lang=en><meta charset=utf-8><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>",
        f"<p>{escape(source.what)}: {len(source.runs):,} runs, {tasks:,} tasks, {hours:,.1f} h of work.</p>",
        f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>',
        f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in remarks(results, source))}</ul>",
        f'<div class="legend">{legend}</div>',
    ]
    for each in results:
        parts += [f"<h2>{escape(each.name)}</h2>", picture(each.outcome.moments, longest, slots)]
    parts.append(
        "<footer>Slowdown: time from a run's begin to its end, divided by its critical path and one boot; geometric "
        "mean. Written by `sfnodes simulate`, which runs the manager's own passes in virtual time.</footer></html>"
    )
    return "\n".join(parts)


def picture(moments: Sequence[world.Moment], longest: float, slots: float) -> str:
    """Return an SVG picture: machines by their state as stacked areas, and the queue as a line."""
    points = _thinned(moments)
    most = max((each.booting + each.working + each.leaving for each in points), default=0) or 1
    queue = max((each.queued for each in points), default=0) or 1
    width = _WIDTH - 2 * _LEFT

    def x(each: world.Moment) -> float:
        return _LEFT + each.at / max(longest, 1e-9) * width

    def y(value: float, top: float) -> float:
        return _TOP + _HEIGHT * (1 - value / top)

    def layer(colour: str, low: Callable[[world.Moment], float], high: Callable[[world.Moment], float]) -> str:
        upper = [f"{x(each):.1f},{y(high(each), most):.1f}" for each in points]
        lower = [f"{x(each):.1f},{y(low(each), most):.1f}" for each in reversed(points)]
        return f'<polygon fill="{colour}" points="{" ".join([*upper, *lower])}"/>'

    def busy(each: world.Moment) -> float:
        return min(each.working, each.running / max(slots, 1e-9))

    def up(each: world.Moment) -> float:
        return float(each.working)

    def booting(each: world.Moment) -> float:
        return up(each) + each.booting

    def leaving(each: world.Moment) -> float:
        return booting(each) + each.leaving

    line = " ".join(f"{x(each):.1f},{y(each.queued, queue):.1f}" for each in points)
    bottom = _TOP + _HEIGHT
    ticks = "".join(
        f'<text x="{_LEFT + part * width:.0f}" y="{bottom + 14}" text-anchor="middle">{span(longest * part)}</text>'
        for part in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        f'<div class="wide"><svg viewBox="0 0 {_WIDTH} {bottom + 20}" role="img" '
        f'aria-label="machines and queue over {span(longest)}">'
        f"{layer(_BUSY, lambda each: 0.0, busy)}{layer(_UP, busy, up)}{layer(_BOOT, up, booting)}"
        f'{layer(_LEAVING, booting, leaving)}<polyline fill="none" stroke="{_QUEUE}" points="{line}"/>'
        f'<line class="tick" x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{bottom}" y2="{bottom}"/>{ticks}'
        f'<text x="{_LEFT - 6}" y="{_TOP + 10}" text-anchor="end">{most}</text>'
        f'<text x="{_WIDTH - _LEFT + 6}" y="{_TOP + 10}">{queue}</text></svg></div>'
    )


def _thinned(moments: Sequence[world.Moment]) -> list[world.Moment]:
    """Return at most _POINTS moments, each with the maxima of the moments that it stands for."""
    size = -(-len(moments) // _POINTS) or 1
    return [_most(moments[place : place + size]) for place in range(0, len(moments), size)]


def _most(some: Iterable[world.Moment]) -> world.Moment:
    columns = list(zip(*some, strict=True))
    return world.Moment(columns[0][0], *(max(column) for column in columns[1:]))
