"""Draw tasks, and the nodes they ran on, over time: one lane per task runner at work, as an SVG picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from html import escape

#: colours that people with any colour vision tell apart (Okabe and Ito 2008)
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
WIDTH, LEFT, RIGHT, LANE, BAR, TOP = 1080, 190, 14, 15, 11, 26


@dataclass(frozen=True, kw_only=True)
class Task:
    """One attempt of an activity. Times are epoch seconds."""

    id: str
    name: str
    #: who ran it: the node's id where there is one, else the worker's process
    worker: str
    scheduled: float
    started: float
    ended: float
    #: completed, failed, timed out, canceled
    outcome: str = "completed"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine. Times are epoch seconds; None: it did not happen (yet)."""

    id: str
    profile: str
    launched: float
    ready: float | None = None
    marked: float | None = None
    ended: float | None = None
    #: seconds that are billed, and what they cost in the cluster's currency, by the profile's billing model
    billed: float | None = None
    cost: float | None = None
    #: that model in words
    terms: str = ""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    tasks: Sequence[Task]
    nodes: Sequence[Node] = field(default=())

    @property
    def begin(self) -> float:
        return min([t.scheduled for t in self.tasks] + [n.launched for n in self.nodes], default=0.0)

    @property
    def end(self) -> float:
        return max([t.ended for t in self.tasks] + [n.ended or n.launched for n in self.nodes], default=1.0)


def lanes(tasks: Sequence[Task]) -> list[list[Task]]:
    """Share tasks of one worker out over as few lanes as never overlap: its slots."""
    found: list[list[Task]] = []
    for task in sorted(tasks, key=lambda t: (t.started, t.ended)):
        for lane in found:
            if lane[-1].ended <= task.started + 1e-9:
                lane.append(task)
                break
        else:
            found.append([task])
    return found


def in_turn(tasks: Sequence[Task], slots: int) -> list[Task]:
    """Let tasks of one worker begin when its slots come to them.

    A worker takes several quick tasks for a slot at once, and works them one after another; the history says when it
    took them.
    """
    free = [float("-inf")] * slots
    found = []
    for task in sorted(tasks, key=lambda t: (t.ended, t.started)):
        # The slot that was free last before the task was taken, else the one that is free first.
        ready = [each for each in free if each <= task.started]
        slot = free.index(max(ready) if ready else min(free))
        found.append(replace(task, started=max(task.started, free[slot])))
        free[slot] = task.ended
    return found


def step(seconds: float) -> float:
    """A round distance between ticks that leaves about ten of them."""
    for candidate in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600):
        if seconds / candidate <= 12:
            return candidate
    return seconds / 10


def svg(timeline: Timeline) -> str:
    """The whole picture. Text uses currentColor, so that it follows the page's light or dark scheme."""
    begin, seconds = timeline.begin, max(timeline.end - timeline.begin, 0.001)
    scale = (WIDTH - LEFT - RIGHT) / seconds
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(sorted({t.name for t in timeline.tasks}))}

    def x(moment: float) -> float:
        return LEFT + (moment - begin) * scale

    rows: list[str] = []
    y = TOP
    nodes = {node.id: node for node in timeline.nodes}
    workers = sorted({t.worker for t in timeline.tasks} - nodes.keys())
    for worker in [*nodes, *workers]:
        shared = lanes([t for t in timeline.tasks if t.worker == worker]) or [[]]
        height = LANE * len(shared)
        node = nodes.get(worker)
        label = f"{worker} · {node.profile}" if node else worker
        rows.append(f'<text x="{LEFT - 8}" y="{y + LANE - 4}" text-anchor="end">{escape(label)}</text>')
        if node:
            rows.append(band(node, x, y, height, timeline.end))
        for lane in shared:
            rows.extend(bar(task, x(task.started), y, max((task.ended - task.started) * scale, 0.6), colours, begin)
                        for task in lane)  # fmt: skip
            y += LANE
        y += 7
    ticks = "".join(
        f'<line x1="{x(begin + t):.1f}" x2="{x(begin + t):.1f}" y1="{TOP - 6}" y2="{y}" class="tick"/>'
        f'<text x="{x(begin + t):.1f}" y="{TOP - 11}" text-anchor="middle">{t:g} s</text>'
        for t in (i * step(seconds) for i in range(int(seconds / step(seconds)) + 1))
    )
    legend = "".join(
        f'<span><i style="background:{colour}"></i>{escape(name.rpartition(".")[2])}</span>'
        for name, colour in colours.items()
    )
    if timeline.nodes:
        legend += (
            '<span><i class="boot"></i>a node boots</span><span><i class="node"></i>it is up</span>'
            '<span><i class="mark"></i>it is marked to drain</span>'
        )
    if any(task.outcome != "completed" for task in timeline.tasks):
        legend += '<span><i class="bad"></i>not completed</span>'
    return (
        f'<div class="legend">{legend}</div><div class="wide"><svg viewBox="0 0 {WIDTH} {y + 4}" role="img" '
        f'aria-label="Tasks over {seconds:.1f} seconds">{ticks}{"".join(rows)}</svg></div>'
    )


def bar(task: Task, left: float, y: float, width: float, colours: dict[str, str], begin: float) -> str:
    mark = "" if task.outcome == "completed" else ' class="bad"'
    title = (
        f"{task.id}: {task.outcome}, waited {task.started - task.scheduled:.2f} s, "
        f"ran {task.ended - task.started:.2f} s from {task.started - begin:.2f} s"
    )
    return (
        f'<rect x="{left:.2f}" y="{y + 2}" width="{width:.2f}" height="{BAR}" fill="{colours[task.name]}"{mark}>'
        f"<title>{escape(title)}</title></rect>"
    )


def band(node: Node, x: Callable[[float], float], y: float, height: float, end: float) -> str:
    ready, stop = node.ready if node.ready is not None else node.ended or end, node.ended or end
    title = f"{node.id}: booted in {ready - node.launched:.1f} s, lived {stop - node.launched:.1f} s"
    drained = "" if node.marked is None else (
        f'<line x1="{x(node.marked):.1f}" x2="{x(node.marked):.1f}" y1="{y}" y2="{y + height}" class="mark">'
        f"<title>{escape(node.id)} marked to drain</title></line>"
    )  # fmt: skip
    return (
        f'<rect x="{x(node.launched):.1f}" y="{y}" width="{max(x(stop) - x(node.launched), 1):.1f}" height="{height}" '
        f'class="node"><title>{escape(title)}</title></rect>'
        f'<rect x="{x(node.launched):.1f}" y="{y}" width="{max(x(ready) - x(node.launched), 0):.1f}" '
        f'height="{height}" class="boot"><title>{escape(title)}</title></rect>{drained}'
    )
