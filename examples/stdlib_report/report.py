"""The page that the demo writes: what was found, when each task ran and where, and what the nodes cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from . import timeline as pictures

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100% } caption { text-align: left; opacity: .75; padding-bottom: .3rem }
th, td { text-align: left; padding: .2rem 1.4rem .2rem 0; border-bottom: 1px solid var(--line) }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr.sum { font-weight: bold } .wide { overflow-x: auto }
.facts { display: flex; gap: 2.2rem; flex-wrap: wrap } .facts b { display: block; font-size: 1.5rem }
svg { width: 100%; min-width: 800px; height: auto; font: 11px system-ui, sans-serif } svg text { fill: currentColor }
svg .tick { stroke: var(--line) } svg .node { fill: var(--soft) } svg .boot { fill: var(--line) }
svg .mark { stroke: currentColor; stroke-width: 2 } svg .bad { stroke: #D00; stroke-width: 1.5 }
.legend span { margin-right: 1.2rem } .legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em }
.legend .boot { background: linear-gradient(var(--line) 0 0), var(--soft) } .legend .node { background: var(--soft) }
.legend .mark { background: currentColor; width: 2px } .legend .bad { border: 2px solid #D00; box-sizing: border-box }
footer { margin-top: 2rem; opacity: .7 }
"""


def is_number(value: object) -> bool:
    """A number, or one with the unit of seconds."""
    return isinstance(value, int | float) or (isinstance(value, str) and value.endswith(" s") and value[0].isdigit())


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]], total: Sequence[object] = ()) -> str:
    """Numbers are set right; everything is escaped. ``total`` is the last row, of what can be added up."""

    def cell(tag: str, value: object, number: bool) -> str:
        text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
        return f"<{tag}{' class=n' if number else ''}>{escape(text)}</{tag}>"

    body = [list(row) for row in rows]
    numeric = [bool(body) and all(is_number(row[i]) for row in body) for i in range(len(headings))]
    head = "".join(cell("th", h, n) for h, n in zip(headings, numeric, strict=True))
    lines = "".join(f"<tr>{''.join(cell('td', v, n) for v, n in zip(row, numeric, strict=True))}</tr>" for row in body)
    if total:
        lines += f"<tr class=sum>{''.join(cell('td', v, n) for v, n in zip(total, numeric, strict=True))}</tr>"
    whole = f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{lines}</table>"
    return f'<div class="wide">{whole}</div>'


def page(result: dict[str, Any], timeline: pictures.Timeline, *, python: str, ran_on: str, currency: str = "") -> str:
    """The whole page as one file without links to anything. ``result`` is what StdlibReport returned."""
    seconds = timeline.end - timeline.begin
    work = sum(task.ended - task.started for task in timeline.tasks)
    facts = [
        (f"{result['modules']:,}", "modules"),
        (f"{result['lines']:,}", "lines"),
        (f"{result['functions']:,}", "functions"),
        (f"{len(timeline.tasks):,}", "tasks"),
        (f"{seconds:.1f} s", f"from the first task to the last node's end, {work:.1f} s of work"),
    ]
    title = f"The standard library of Python {python}"
    parts = [
        '<!doctype html><html lang=en><meta charset=utf-8><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{escape(title)}</h1><p>{escape(ran_on)}</p>",
        f'<div class="facts">{"".join(f"<div><b>{value}</b>{escape(label)}</div>" for value, label in facts)}</div>',
        "<h2>When each task ran</h2>",
        pictures.svg(timeline),
    ]
    if timeline.nodes:
        parts.append("<h2>What the nodes did and cost</h2>")
        parts.append(table(*nodes_table(timeline, currency)))
    parts += [
        "<h2>Most imported</h2>",
        table("by modules of the library", ("package", "imported by"), result["most_imported"]),
        "<h2>Most complex</h2>",
        table(
            "decisions of all functions, plus one for each (McCabe)",
            ("module", "complexity", "lines", "worst function", "its complexity"),
            [(module, total, lines, worst, its) for total, lines, module, worst, its in result["most_complex"]],
        ),
        "<h2>Near-duplicate functions</h2>",
        table(
            "share of common three-line shingles",
            ("similarity", "lines", "one", "the other"),
            [(float(similarity), lines, left, right) for similarity, lines, left, right in result["near_duplicates"]],
        ),
        "<footer>Written by simpleflow's main job; every number was computed by activity tasks.</footer></html>",
    ]
    return "\n".join(parts)


def nodes_table(
    timeline: pictures.Timeline, currency: str
) -> tuple[str, Sequence[str], list[Sequence[object]], Sequence[object]]:
    """Caption, headings, a row for each node, and their sum."""
    rows: list[Sequence[object]] = []
    for node in timeline.nodes:
        own = [task for task in timeline.tasks if task.worker == node.id]
        lived = (node.ended or timeline.end) - node.launched
        boot = f"{node.ready - node.launched:.1f} s" if node.ready is not None else "never ready"
        busy = sum(task.ended - task.started for task in own)
        billed = f"{node.billed or 0:.0f} s"
        rows.append(
            (node.id, node.profile, boot, len(own), f"{busy:.1f} s", f"{lived:.1f} s", billed, node.cost or 0.0)
        )
    models = "; ".join(sorted({f"{node.profile}: {node.terms}" for node in timeline.nodes if node.terms}))
    money = f"cost, {currency}" if currency else "cost"
    headings = ("node", "profile", "boot", "tasks", "work", "lived", "billed", money)
    cost = round(sum(node.cost or 0.0 for node in timeline.nodes), 6)  # millionths
    total = ("all", "", "", len(timeline.tasks), "", "", "", cost)
    return models or "by the billing model of the profile", headings, rows, total
