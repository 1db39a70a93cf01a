"""The comparison in words and as a page: what is cheapest and fastest, a table, and pictures (pictures.py)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from simpleflow.core import text
from simpleflow.nodes import billing, config

from . import pictures, scenarios, work
from .pictures import span

#: the colours of areas are some that people with any colour vision tell apart (Okabe and Ito 2008)
_STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #8881; --faint: #777; --busy: #0072B2; --up: #56B4E9;
  --boot: #999999; --leaving: #E69F00; --queue: #D55E00; --good: #00785a; --bad: #b3450a }
@media (prefers-color-scheme: dark) { :root { --faint: #aaa; --good: #3ecfa5; --bad: #ff9c5b } }
* { box-sizing: border-box }
body { font: 15px/1.55 system-ui, sans-serif; max-width: 1120px; margin: 2.5rem auto; padding: 0 1.2rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem } h2 { font-size: 1.1rem; margin: 2.4rem 0 .4rem }
h3 { font-size: 1rem; margin: 0 } p { margin: .3rem 0 } .faint { color: var(--faint) }
.verdict { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0 }
.verdict div { flex: 1 1 15rem; background: var(--soft); border-radius: .6rem; padding: .8rem 1rem }
.verdict b { display: block; font-size: 1.25rem } .good { color: var(--good) } .bad { color: var(--bad) }
table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); white-space: nowrap }
th { font-weight: 600; cursor: help; text-decoration: underline dotted var(--faint); text-underline-offset: .3em }
th:first-child, td:first-child { text-align: left; font-weight: 600 } tr:first-of-type td { color: var(--faint) }
td { font-variant-numeric: tabular-nums } td small { display: inline-block; min-width: 3.4em }
.wide { overflow-x: auto } .best { font-weight: 700 }
svg { display: block; width: 100%; min-width: 760px; height: auto; font: 11.5px system-ui, sans-serif }
svg text { fill: var(--faint) } svg .name { fill: currentColor; font-weight: 600 }
.grid { stroke: var(--line) } .axis { stroke: var(--faint) }
.dot { fill: var(--busy) } .present { fill: none; stroke: var(--queue); stroke-width: 2.5 }
.busy { fill: var(--busy) } .up { fill: var(--up) } .boot { fill: var(--boot) } .leaving { fill: var(--leaving) }
.queue { fill: var(--queue) }
.legend { position: sticky; top: 0; background: Canvas; padding: .5rem 0; z-index: 1 }
.legend span { margin-right: 1.2rem; white-space: nowrap }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: .2em; margin-right: .4em }
section { margin: 1.1rem 0 1.6rem } dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem }
dt { font-weight: 600 } dd { margin: 0 }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem }
"""

#: column -> what it says
_MEANINGS = {
    "POLICY": "the rule by which machines are launched and ended; the first row is the cluster file as it is",
    "COST": "of all machines, in whole billing periods",
    "SLOWDOWN": "a run's time divided by its critical path and one boot; geometric mean",
    "MEAN": "time of a run from its begin to its end, on average",
    "MAKESPAN": "from the first begin to the last end",
    "PEAK": "most machines at once",
    "HOURS": "of all machines together",
    "IN USE": "share of the machines' slots in which a task ran",
    "WAITED": "time that a task waited for a machine, on average",
    "INTERRUPTED": "tasks that lost their machine by a notice and ran again",
}

_FOOT = "Written by <code>sfnodes simulate</code>, which runs the manager's own passes in virtual time."
_SCALES = "All pictures have the same scales, but for those that these would squeeze to a stripe."
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


def remarks(results: Sequence[scenarios.Result], source: Source) -> list[str]:
    """Return remarks on the table: the changes, runs that did not end, seconds between passes."""
    said = [f"all rows but the first: {source.what_if}"] if source.what_if else []
    for each in results:
        said += [f"{each.name}: {note}" for note in each.outcome.notes]
        if each.outcome.lost:
            lost = text.count(each.outcome.lost, "task")
            said.append(f"{each.name}: lost with machines that the manager ended: {lost}")
        if each.outcome.cancelled:
            cancelled = text.count(each.outcome.cancelled, "machine")
            said.append(f"{each.name}: not wanted any more before the end of the boot: {cancelled}")
    steps = dict.fromkeys(f"{each.outcome.step:.3g}" for each in sorted(results, key=lambda each: each.outcome.step))
    return [*said, f"a pass of the manager every {' or '.join(steps)} s of virtual time"]


def page(results: Sequence[scenarios.Result], cluster: config.ClusterConfig, source: Source) -> str:
    """Return the page as one HTML document without links."""
    tasks = sum(len(run.tasks) for run in source.runs)
    hours = sum(run.work() for run in source.runs) / 3600
    title = f"What cluster '{cluster.cluster}' would have done"
    runs = text.count(len(source.runs), "run")
    dots = [
        pictures.Dot(
            each.name,
            each.outcome.cost / billing.MICRO,
            each.mean_flow,
            scenarios.money(each.outcome.cost, cluster),
            place == 0,
        )
        for place, each in enumerate(results)
    ]
    colours = "".join(
        f'<span><i style="background:var(--{kind})"></i>{escape(words)}</span>'
        for kind, words in pictures.AREAS.items()
    )
    parts = [
        '<!doctype html><html lang=en><meta charset=utf-8><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>",
        f'<p class="faint">{escape(source.what)}: {runs}, {text.count(tasks, "task")}, {hours:,.1f} h of work.</p>',
        _verdict(results, cluster),
        _table(results, cluster),
        *(f'<p class="faint">{escape(each)}</p>' for each in remarks(results, source)),
        f"<h2>What time costs ({escape(cluster.currency)})</h2>",
        '<p class="faint">Further left is faster, lower is cheaper. The ring is the cluster file as it is.</p>',
        pictures.trade(dots),
        f'<h2>Machines and queue over time</h2><div class="legend">{colours}</div>',
        f'<p class="faint">{_SCALES}</p>',
        *_over_time(results, cluster),
        "<footer><h3>The words of the table</h3><dl>",
        *(f"<dt>{name.capitalize()}</dt><dd>{escape(_MEANINGS[name])}</dd>" for name in columns(results)[1:]),
        f'</dl><p class="faint">{_FOOT}</p></footer></html>',
    ]
    return "\n".join(parts)


def _ended(results: Sequence[scenarios.Result]) -> list[scenarios.Result]:
    """Return the scenarios in which every run ended, or all if there is none: the others are cheap for a bad reason."""
    return [each for each in results if not each.outcome.notes] or list(results)


def _verdict(results: Sequence[scenarios.Result], cluster: config.ClusterConfig) -> str:
    """Return what is cheapest and what is fastest, beside the cluster file as it is."""
    now, ended = results[0], _ended(results)
    cheapest = min(ended, key=lambda each: (each.outcome.cost, each.mean_flow))
    fastest = min(ended, key=lambda each: (each.mean_flow, each.outcome.cost))
    told = [("As it is", now)]
    if cheapest is fastest:
        told.append((f"Cheapest and fastest: {cheapest.name}", cheapest))
    else:
        told += [(f"Cheapest: {cheapest.name}", cheapest), (f"Fastest: {fastest.name}", fastest)]
    cells = []
    for words, each in told:
        cost, seconds = _change(each.outcome.cost, now.outcome.cost), _change(each.mean_flow, now.mean_flow)
        amount = scenarios.money(each.outcome.cost, cluster)
        cells.append(
            f'<div><span class="faint">{escape(words)}</span><b>{amount} {cost}</b>'
            f"a run takes {span(each.mean_flow)} {seconds}</div>"
        )
    return f'<div class="verdict">{"".join(cells)}</div>'


def _change(value: float, before: float) -> str:
    """Return how much less or more a value is, '' for less than half a per cent."""
    if not before or round(100 * (value - before) / before) == 0:
        return ""
    if value > 3 * before:
        return f'<small class="bad">&times;{value / before:.1f}</small>'
    kind, sign = ("good", "&minus;") if value < before else ("bad", "+")
    return f'<small class="{kind}">{sign}{abs(value - before) / before:.0%}</small>'


def _table(results: Sequence[scenarios.Result], cluster: config.ClusterConfig) -> str:
    names = columns(results)
    head = "".join(f'<th title="{escape(_MEANINGS[name])}">{name.capitalize()}</th>' for name in names)
    cheapest = min(_ended(results), key=lambda each: each.outcome.cost)
    fastest = min(_ended(results), key=lambda each: each.mean_flow)
    best = {"COST": scenarios.money(cheapest.outcome.cost, cluster), "MEAN": span(fastest.mean_flow)}
    lines = []
    for each, cells in zip(results, rows(results, cluster), strict=True):
        shown = [escape(cell) for cell in cells]
        for name, value, before in (
            ("COST", each.outcome.cost, results[0].outcome.cost),
            ("MEAN", each.mean_flow, results[0].mean_flow),
        ):
            place = names.index(name)
            words = f'<span class="best">{shown[place]}</span>' if cells[place] == best[name] else shown[place]
            shown[place] = f"{words} {_change(value, before) or '<small></small>'}"
        lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in shown)}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _over_time(results: Sequence[scenarios.Result], cluster: config.ClusterConfig) -> list[str]:
    slots = sum(each.slots for each in cluster.task_lists.values()) / max(len(cluster.task_lists), 1)
    played = [each.outcome.moments for each in results]
    lengths = pictures.shared([each[-1].at if each else 1.0 for each in played])
    peaks = pictures.shared([float(max((pictures.total(one) for one in each), default=0)) for each in played])
    queues = pictures.shared([float(max((one.queued for one in each), default=0)) for each in played])
    parts = []
    for place, each in enumerate(results):
        told = f"{scenarios.money(each.outcome.cost, cluster)}, {span(each.outcome.makespan)}"
        picture = pictures.over_time(played[place], lengths[place], peaks[place], queues[place], slots)
        parts.append(f"<section><h3>{escape(each.name)} <small class=faint>{told}</small></h3>{picture}</section>")
    return parts
