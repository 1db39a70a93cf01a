"""The main job on a local cluster, watched: what happens is told, and what happened is shown."""

from __future__ import annotations

import collections
import json
import math
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from simpleflow.client import connect, starting
from simpleflow.core import errors, limits
from simpleflow.nodes import billing, config
from simpleflow.nodes.cluster import cluster as clusters
from simpleflow.nodes.manager import spending
from simpleflow.observe import tasklog
from simpleflow.runtime import stores
from simpleflow.swf import errors as swf_errors

from . import report, source, timeline, workflow

#: seconds between two looks, and between two lines while only the tasks change
LOOK, LINE = 0.5, 2.0
#: seconds for the whole run, and for the nodes to go when no work is left
RUN, GO = 600.0, 90.0


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a demo showed."""

    result: dict[str, Any]
    tasks: list[tasklog.Task]
    cluster: clusters.Status
    #: how many tasks a node works at a time, by its profile
    slots: Mapping[str, int]


class Demo:
    """One run. ``limit`` takes fewer modules; what happens goes to stdout, a line for each change."""

    def __init__(self, cluster: Path, environment: Mapping[str, str], *, limit: int | None = None) -> None:
        self._file = cluster
        self._environment = environment
        self._limit = limit
        self._began = time.monotonic()
        #: what the last line said of the nodes, and when
        self._last = ("", 0.0)

    def run(self) -> Shown:
        """Bring the cluster up, run the workflow, wait until every node is gone, take the cluster down.

        Raises SimpleflowError when the workflow does not complete or a node stays.
        """
        self._say("local cluster, preset local: billing period 20 s, decision and heartbeat timeouts 10 s; no node yet")
        with clusters.running(self._file, self._environment) as cluster:
            up = cluster.up
            connection = connect.connect(domain=up.domain, endpoint_url=up.endpoint)
            execution = self._start(connection, up.task_list)
            self._wait(cluster, connection, execution)
            tasks = tasklog.tasks(history(connection, execution))
            result = self._result(connection, execution)
            status = self._until_gone(cluster)
            connection.close()
        self._say("the cluster is down")
        file = config.load(self._file).config
        return Shown(
            result=result,
            tasks=[task for task in tasks if task.kind == "activity"],
            cluster=status,
            slots={name: sum(slots for _, slots in file.lists_of(name)) for name in file.profiles},
        )

    def _say(self, line: str, more: str = "") -> None:
        """Print a line when it is news; when only ``more`` changed, now and then."""
        now = time.monotonic()
        if line != self._last[0] or (more and now - self._last[1] >= LINE):
            print(f"{now - self._began:6.1f} s  {line}{more}", flush=True)
            self._last = (line, now)

    def _start(self, connection: connect.Connection, task_list: str) -> dict[str, Any]:
        path = f"{workflow.StdlibReport.__module__}.{workflow.StdlibReport.__qualname__}"
        asked = starting.request(
            workflow.StdlibReport,
            path,
            {"args": [], "kwargs": {"limit": self._limit}},
            workflow_id="stdlib-report",
            task_list=task_list,
        )
        run_id = starting.begin(connection.transport, connection.domain, asked)
        self._say("workflow stdlib-report started; the decider's first decision will ask for nodes")
        return {"domain": connection.domain, "execution": {"workflowId": "stdlib-report", "runId": run_id}}

    def _wait(self, cluster: clusters.Cluster, connection: connect.Connection, execution: dict[str, Any]) -> None:
        expected = _expected(len(source.modules(self._limit)))
        deadline = time.monotonic() + RUN
        counts: collections.Counter[str] = collections.Counter()
        seen = 0
        while time.monotonic() < deadline:
            try:
                closed = connection.transport.call("DescribeWorkflowExecution", execution).execution_info.close_status
                news = list(newest(connection, execution, seen))
            except swf_errors.TransportError:
                continue  # the supervisor brings the service back
            if news:
                seen = news[0].id
                counts.update(type(event).__name__ for event in news)
            scheduled, started, completed = (
                counts[f"ActivityTask{what}"] for what in ("Scheduled", "Started", "Completed")
            )
            status = cluster.status()
            if status.notes:
                raise errors.SimpleflowError("; ".join(status.notes))
            self._say(
                _nodes(status),
                f"; tasks: {completed} of {expected} done, {started - completed} running, {scheduled - started} queued",
            )
            if closed:
                return
            time.sleep(LOOK)
        raise errors.SimpleflowError(f"the workflow is still open after {RUN:.0f} s\n{cluster.logs()}")

    def _result(self, connection: connect.Connection, execution: dict[str, Any]) -> dict[str, Any]:
        last = list(history(connection, execution))[-1]
        if type(last).__name__ != "WorkflowExecutionCompleted":
            reason = getattr(last.attributes, "reason", None) or "no reason was given"
            raise errors.SimpleflowError(f"the workflow ended as {type(last).__name__}: {reason}")
        text = stores.open_store(stores.location(connection.endpoint_url)).load(last.attributes.result)
        value: dict[str, Any] = json.loads(text)
        return value

    def _until_gone(self, cluster: clusters.Cluster) -> clusters.Status:
        deadline = time.monotonic() + GO
        while time.monotonic() < deadline:
            status = cluster.status()
            self._say(f"no work left; {_nodes(status)}")
            if all(node.ended is not None for node in status.nodes):
                return status
            time.sleep(LOOK)
        raise errors.SimpleflowError(f"nodes stayed for {GO:.0f} s without work: {cluster.status().nodes}")


def history(connection: connect.Connection, execution: Mapping[str, Any]) -> Iterator[Any]:
    """Give every event of a run, page by page."""
    request = {**execution, "maximumPageSize": limits.PAGE_SIZE}
    while True:
        page = connection.transport.call("GetWorkflowExecutionHistory", request)
        yield from page.events
        if not page.next_page_token:
            return
        request["nextPageToken"] = page.next_page_token


def newest(connection: connect.Connection, execution: Mapping[str, Any], seen: int) -> Iterator[Any]:
    """Give the events after the one with the id ``seen``, the newest first."""
    for event in history(connection, {**execution, "reverseOrder": True}):
        if event.id <= seen:
            return
        yield event


def _expected(modules: int) -> int:
    """Tasks of a run over so many modules, as ``StdlibReport.run`` submits them with its default ranges."""
    level = math.ceil(modules / workflow.SUMMARY)
    tasks = 1 + 2 + modules + level + 1
    while level > 1:
        level = math.ceil(level / workflow.MERGE)
        tasks += level
    return tasks


def _nodes(status: clusters.Status) -> str:
    """The nodes in words: '1 small working, 1 large booting'."""
    counts = collections.Counter((node.profile, node.state) for node in status.nodes if node.ended is None)
    gone = sum(node.ended is not None for node in status.nodes)
    parts = [f"{count} {profile} {state}" for (profile, state), count in sorted(counts.items())]
    if gone:
        parts.append(f"{gone} gone")
    return f"nodes: {', '.join(parts) or 'none'}"


def _worker(identity: str | None) -> str:
    """The node's id where there is one, else the worker's process."""
    try:
        said = json.loads(identity or "{}")
    except json.JSONDecodeError:
        return identity or "unknown"
    return str(said.get("node") or f"worker {said.get('pid')}")


def picture(shown: Shown) -> timeline.Timeline:
    """Tasks and nodes as the timeline draws them."""
    tasks = [
        timeline.Task(
            id=task.id,
            name=task.name,
            worker=_worker(task.worker),
            scheduled=task.scheduled,
            started=task.started,
            ended=task.closed,
            outcome=task.state,
        )
        for task in shown.tasks
        if task.started is not None and task.closed is not None
    ]
    nodes = [
        timeline.Node(
            id=node.node,
            profile=node.profile,
            launched=node.launched,
            ready=node.first_poll,
            marked=node.drained,
            ended=node.ended,
            billed=node.billed,
            cost=node.cost / 1e6,
            terms=node.terms,
        )
        for node in shown.cluster.nodes
    ]
    profiles = {node.id: node.profile for node in nodes}
    drawn = []
    for worker in dict.fromkeys(task.worker for task in tasks):
        own = [task for task in tasks if task.worker == worker]
        slots = shown.slots.get(profiles.get(worker, ""))
        drawn += timeline.in_turn(own, slots) if slots else own
    return timeline.Timeline(tasks=drawn, nodes=nodes)


def spent(shown: Shown) -> list[tuple[str, float]]:
    """Where the money went, as `sfnodes cost` tells it, the dearest first."""
    ran = [
        spending.Ran(
            node=_worker(task.worker),
            workflow=workflow.StdlibReport.name,
            activity=task.name.rpartition(".")[2],
            started=task.started,
            ended=task.closed,
        )
        for task in shown.tasks
        if task.started is not None
    ]
    found = spending.attribute(shown.cluster.nodes, ran, time.time())
    rows = [(each.activity, each.cost) for each in found.work]
    rows += [("(boots)", found.boot), ("(waiting for work)", found.idle), ("(paid after their end)", found.unused)]
    return [(name, round(amount / billing.MICRO, 6)) for name, amount in rows if amount]


def write(shown: Shown, folder: Path) -> Path:
    """Print the tables, write the page, and return its path."""
    drawn = picture(shown)
    _print(shown, drawn)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    text = report.page(
        shown.result,
        drawn,
        python=platform.python_version(),
        ran_on=f"{len(drawn.tasks)} activity tasks on {len(drawn.nodes)} nodes that a local cluster launched and "
        "drained; billed by periods of 20 s",
        currency=shown.cluster.currency,
    )
    page.write_text(text, encoding="utf-8")
    return page


def _print(shown: Shown, drawn: timeline.Timeline) -> None:
    console, result = Console(), shown.result
    caption, headings, nodes, total = report.nodes_table(drawn, shown.cluster.currency)
    print(
        f"\n{result['modules']:,} modules, {result['lines']:,} lines, {result['functions']:,} functions; "
        f"{len(drawn.tasks)} tasks"
    )
    for title, columns, rows in (
        ("Most imported", ("package", "imported by"), result["most_imported"][:6]),
        (
            "Most complex",
            ("module", "complexity", "lines", "worst function"),
            [(name, total, lines, f"{worst} ({its})") for total, lines, name, worst, its in result["most_complex"][:6]],
        ),
        ("Near-duplicate functions", ("similarity", "lines", "one", "the other"), result["near_duplicates"][:6]),
        ("Nodes", headings, [*nodes, total]),
        ("What the money went for", ("activity", f"cost, {shown.cluster.currency}"), spent(shown)),
    ):
        table = Table(title=title, title_justify="left", header_style="bold")
        shown_columns = [place for place, column in enumerate(columns) if column != "boot"]  # 80 columns have no room
        for place in shown_columns:
            numeric = bool(rows) and all(report.is_number(row[place]) for row in rows if row[place] != "")
            table.add_column(columns[place], justify="right" if numeric else "left")
        for row in rows:
            cells = [row[place] for place in shown_columns]
            table.add_row(*(f"{cell:,}" if isinstance(cell, int) else f"{cell}" for cell in cells))
        console.print(table)
    print(f"Billing, {caption}")
