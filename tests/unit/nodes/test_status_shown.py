"""What `sfnodes status` and `watch` show: tables on a terminal, once or live, and JSON elsewhere."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from simpleflow.cli import sfnodes, sfnodes_show, sfnodes_watch
from simpleflow.core import documents
from simpleflow.nodes import stores
from simpleflow.nodes.cluster import cluster
from simpleflow.nodes.manager import report


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cluster.Cluster:
    """A cluster that is down, with one machine that control.json remembers and one decision."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMPLEFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SIMPLEFLOW_RUNTIME_DIR", str(tmp_path / "run"))
    run("init", "--name", "demo")
    made = cluster.load("cluster.yaml")
    store = stores.open_store(made.paths.store)
    row = documents.Row(
        instance="n-1",
        profile="small",
        attempt="demo-a",
        price=50_000,
        since=time.time() - 30,
        until=0.0,
        reason="the reason",
    )
    store.put(documents.CONTROL_KEY, msgspec.json.encode(documents.Control(cluster="demo", rows=(row,))))
    decided = documents.Decision(at=time.time(), kind="launch", profile="small", units=2, reason="12 tasks wait")
    document = documents.DecisionsDocument(cluster="demo", decisions=(decided,))
    store.put(documents.DECISIONS_KEY, msgspec.json.encode(document))
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sfnodes.cli, list(arguments))


def test_elsewhere_than_on_a_terminal_it_is_json(target: cluster.Cluster) -> None:
    [node] = json.loads(run("status").stdout)["nodes"]
    assert (node["node"], node["paid_until"] - node["launched"]) == ("n-1", 60.0)
    text = run("status", "--text").stdout
    assert "NODE\tPROFILE\tSTATE\tTASKS\tAGE\tPAID UNTIL\tCOST\tWHY\n" in text
    assert run("status", "--text", "--json").exit_code == 64


@pytest.mark.needs_processes
@pytest.mark.parametrize("arguments", [["status"], ["watch", "--interval", "0.1"]])
def test_on_a_terminal_it_is_a_table(target: cluster.Cluster, arguments: list[str]) -> None:
    ours, theirs = pty.openpty()
    shown = b""
    child = subprocess.Popen(
        [sys.executable, "-m", "simpleflow.cli.sfnodes", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )
    os.close(theirs)
    try:
        while b"1 node, " not in shown:
            shown += os.read(ours, 4096)
        assert b"PAID UNTIL" in shown
        assert b"n-1: the reason" in shown, "where the table has no room for it"
        if arguments == ["status"]:
            assert child.wait(60) == 0
        else:
            child.send_signal(2)
            assert child.wait(60) == 130
    finally:
        child.kill()
        child.wait()
        os.close(ours)


def test_the_live_screen_shows_what_was_decided_last_and_a_look_that_fails(target: cluster.Cluster) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    look = sfnodes_watch._Look(target, True)
    console.print(sfnodes_watch._screen(look))
    shown = console.export_text()
    assert "launch 2 small: 12 tasks wait" in shown
    assert "the reason" in shown
    stores.open_store(target.paths.store).put(documents.CONTROL_KEY, b"{")
    console.print(sfnodes_watch._screen(look))
    assert "it cannot be looked at now: control.json" in console.export_text()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "0 s"), (119.4, "119 s"), (3600.0, "60 min"), (7200.0, "2.0 h"), (200_000.0, "2.3 d")]
)
def test_spans_are_short(seconds: float, said: str) -> None:
    assert sfnodes_show.span(seconds) == said


@pytest.mark.parametrize("seconds", [1e18, -1e18, float("nan"), float("inf")])
def test_a_moment_that_no_calendar_has_hides_nothing_else(seconds: float) -> None:
    assert sfnodes_show.moment(seconds, "%H:%M:%S") == "?"


@pytest.mark.parametrize(("columns", "whole"), [("40", True), ("71", True), ("100", False)])
def test_a_terminal_without_room_for_a_table_gets_whole_lines(
    columns: str, whole: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", columns)
    sfnodes_show.table(["NODE", "STATE", "COST"], [["demo-540d66879d-1", "working", "0.0008 USD"]])
    shown = capsys.readouterr().out
    assert ("demo-540d66879d-1\tworking\t0.0008 USD" in shown) is whole
    assert all(each in shown for each in ("demo-540d66879d-1", "working", "0.0008 USD"))


def test_machines_of_two_versions_are_told_apart_while_they_roll() -> None:
    def machine(name: str, version: str, *, profile: str = "small", ended: float | None = None) -> report.NodeStatus:
        return report.NodeStatus(
            node=name, profile=profile, state="working", launched=0.0, age=1.0, first_poll=None, busy=(), drained=None,
            ended=ended, running=(), reason="", health="ok", billed=60.0, cost=0, terms="", version=version,
        )  # fmt: skip

    old, new = "c9b3f391e617-166f4e71891bc9", "c9b3f391e617-77aa01bc2d0000"
    same = (
        machine("n-1", old),
        machine("n-2", old),
        machine("g-1", new, profile="gpu"),
        machine("n-0", "x", ended=1.0),
    )
    assert sfnodes_show.facts(report.Work(nodes=same)) == []
    rolls = (*same, *(machine(f"m-{number}", new) for number in range(7)), machine("m-9", ""))
    assert sfnodes_show.facts(report.Work(nodes=rolls)) == [
        "profile 'small', version c9b3f391-166f4e71: n-1, n-2",
        "profile 'small', version c9b3f391-77aa01bc: m-0, m-1, m-2, m-3, m-4 and 2 more",
    ]


def test_down_of_a_cluster_whose_supervisor_is_gone_names_the_machines_that_it_had(
    target: cluster.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on ssh: its machines are elsewhere, and whether they live is not known here."""
    monkeypatch.setattr(cluster.Cluster, "_listed", lambda self, node: None)
    done = run("down")
    assert done.exit_code == 64
    assert "is not up, and nobody ends what it had (n-1): `sfnodes up cluster.yaml`, then `sfnodes down" in done.stderr


@pytest.mark.parametrize("width", [60, 80])
def test_why_has_whole_lines_for_its_reasons_on_a_narrow_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "3 tasks on 'light' wait or run, 0 places are free or begun; a machine takes 2 at once and boots in 95 s"
    made = documents.Decision(
        at=0.0, kind="launch", profile="small", units=2, attempt="demo-5d0c2a91f3", instances=("i-0abc",), reason=reason
    )
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    sfnodes_show.why((made,), as_json=False)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.endswith("  launch 2  small  i-0abc")
    assert all(len(each) <= width and each.startswith("    ") for each in lines)
    assert " ".join(each.strip() for each in lines) == reason
    assert len(lines) <= len(reason) // (width - 16) + 1, "the room is used"
