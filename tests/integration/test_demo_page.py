"""The demo's page and its options: what a stranger reads is complete, and a mistake is told before anything runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.stdlib_report import report, timeline

ROOT = Path(__file__).resolve().parents[2]
RESULT = {
    "modules": 2,
    "lines": 30,
    "functions": 3,
    "most_imported": [["os", 2]],
    "most_complex": [[9, 20, "a", "f<b>", 4]],
    "near_duplicates": [],
}


def drawn(*outcomes: str) -> timeline.Timeline:
    tasks = [
        timeline.Task(
            id=f"t-{n}", name="m.work", worker="n-1", scheduled=10.0 + n, started=10.5 + n, ended=11.0 + n, outcome=each
        )
        for n, each in enumerate(outcomes)
    ]
    nodes = [
        timeline.Node(id="n-1", profile="small", launched=10.0, ready=10.4, marked=14.0, ended=15.0, billed=20.0,
                      cost=0.000278, terms="per 20 s, at least 20 s, 0.05 USD/h"),
        timeline.Node(id="n-2", profile="large", launched=10.0, billed=20.0, cost=0.002223,
                      terms="per 20 s, at least 20 s, 0.4 USD/h"),
    ]  # fmt: skip
    return timeline.Timeline(tasks=tasks, nodes=nodes)


def test_the_page_says_what_every_mark_means_and_adds_the_money_up() -> None:
    page = report.page(RESULT, drawn("completed"), python="3.11", ran_on="here", currency="USD")
    for word in ("a node boots", "it is up", "it is marked to drain", "0.4 USD/h", "never ready", "0.002501"):
        assert word in page, word
    assert "not completed" not in page
    assert "f&lt;b&gt;" in page
    assert "not completed" in report.page(RESULT, drawn("failed"), python="3.11", ran_on="here")


def test_tasks_that_a_worker_took_together_are_drawn_one_after_another() -> None:
    def task(number: int, started: float, ended: float) -> timeline.Task:
        return timeline.Task(id=f"t-{number}", name="w", worker="n", scheduled=0.0, started=started, ended=ended)

    together = [task(n, 1.0, 1.5 + n / 2) for n in range(6)]
    later = [task(6, 5.0, 6.0), task(7, 5.2, 7.0)]
    found = timeline.in_turn([*together, *later], 2)
    assert len(timeline.lanes(found)) == 2
    assert [(each.started, each.ended) for each in found] == [
        (1.0, 1.5), (1.0, 2.0), (1.5, 2.5), (2.0, 3.0), (2.5, 3.5), (3.0, 4.0), (5.0, 6.0), (5.2, 7.0),
    ]  # fmt: skip


def test_the_mark_of_a_drain_has_no_colour_of_a_task() -> None:
    (rule,) = [line for line in report.STYLE.splitlines() if "svg .mark" in line]
    assert not [colour for colour in timeline.PALETTE if colour in rule.partition("svg .bad")[0]]


@pytest.mark.needs_processes
@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["--output", "/proc/nope"], 1, ("/proc/nope", "--output")),
        (["--limit", "0"], 2, ("--limit", "below 1")),
    ],
)
def test_a_wrong_option_is_told_before_anything_runs(argv: list[str], code: int, words: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "examples.stdlib_report", *argv],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env=dict(os.environ),
    )
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    for word in words:
        assert word in ended.stderr
