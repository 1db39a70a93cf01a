"""What others wrote is shown, not obeyed: logs, tables, errors, results."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from simpleflow import Workflow, log
from simpleflow.cli import context, entry, output, sfnodes_show, workflow_replay
from simpleflow.core import errors, text
from simpleflow.testing import environment

#: a terminal's title, its clearing, colours (7 and 8 bits), a new line, a table's cell, reversed text, a lone surrogate
STEERS = "\x1b]0;title\x07\x1b[2J\x1b[31mred\x9b1m\r\nFAKE\tcell\x00\u202egnp.exe\u2028\ud800[red]markup[/red]"
STEERED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(shown: str) -> str:
    assert not STEERED.search(shown), repr(shown)
    return shown


def test_everything_that_steers_is_written_with_backslashes() -> None:
    assert text.visible("a\x1b[31m\x9b\u202e\ud800\n\té") == "a\\x1b[31m\\x9b\\u202e\\ud800\\n\\té"
    assert text.visible("a\n\tb\r\x0b", lines=True) == "a\n\tb\\r\\x0b"
    plain = "grüße, 世界 🎬 'x'"
    assert text.visible(plain) is plain


@pytest.mark.parametrize("kind", context.FORMATS)
@pytest.mark.parametrize("header", [True, False])
def test_tables_of_every_format(kind: str, header: bool) -> None:
    rows = [["id", STEERS, {"tag": STEERS}], ["two", None, 7]]
    shown = harmless(output.render(["id", "reason", "more"], rows, kind=kind, header=header))
    assert "[red]markup[/red]" in shown
    if "json" in kind:
        decoded = json.loads(shown)
        assert decoded[0]["reason"] == STEERS
        return
    if kind == "human":
        assert len(shown.split("\n")) == 7
        return
    assert len(shown.split("\n")) == 2 + header, "one row is one line"
    if kind == "csv":
        assert next(csv.reader(io.StringIO(shown.split("\n")[int(header)])))[1] == text.visible(STEERS)
    if kind == "tsv":
        assert [line.count("\t") for line in shown.split("\n")] == [2] * (2 + header)


def test_tables_of_a_terminal_take_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    state = context.State(color="always")
    output.table(state, ["id"], [[STEERS]])
    shown = harmless(re.sub("\x1b\\[1?m|\x1b\\[0m", "", capsys.readouterr().out))
    assert "[red]markup[/red]" in shown
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    sfnodes_show.table(["NODE"], [[STEERS]])
    shown = harmless(re.sub("\x1b\\[1?m|\x1b\\[0m", "", capsys.readouterr().out))
    assert "[red]markup[/red]" in shown


def test_a_narrow_terminal_gets_whole_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = context.State(color="always")
    columns = ["id", "scheduled", "started", "reason"]
    moment = "2026-11-30T16:55:34.275+00:00"
    rows = [["activity-shop.price-1", moment, moment, "its heartbeat did not come in time"], ["two", moment, None, ""]]
    monkeypatch.setenv("COLUMNS", "80")
    output.table(state, columns, rows)
    shown = capsys.readouterr().out
    assert shown.count(moment) == 3
    assert "reason     its heartbeat did not come in time\n\nid         two\n" in shown
    monkeypatch.setenv("COLUMNS", "110")
    output.table(state, columns, rows)
    assert shown != (wide := capsys.readouterr().out)
    assert wide.count(moment) == 3, "the last column is folded, and no other"
    assert "its heartbeat did" in wide
    monkeypatch.setenv("COLUMNS", "50")
    output.table(state, ["name", "value"], [["PATH", "/usr/bin:" * 20]])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 50


class Marks(Workflow):
    name, version, task_list = "marks", "1", "d"

    def run(self) -> str:
        self.submit(self.record_marker("m", text.encodable(STEERS)))
        return "done"


def test_decisions_of_a_replay(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with environment.Environment() as place:
        run = place.start(Marks)
        place.wait(run)
        place.dump(run, tmp_path / "history.json")
    words = [f"{__name__}.Marks", "--history", str(tmp_path / "history.json")]
    assert entry.status(workflow_replay.replay, "workflow.replay", words) == 0
    shown = harmless(capsys.readouterr().out)
    assert json.loads(shown)["decisions"][0]["decisionType"] == "RecordMarker"


def test_lines_of_sfnodes(capsys: pytest.CaptureFixture[str]) -> None:
    sfnodes_show.table(["NODE", "WHY"], [["n", STEERS]])
    assert len(harmless(capsys.readouterr().out).splitlines()) == 2
    sfnodes_show.logs({"n-1": f"first\n{STEERS}"}, as_json=False)
    harmless(capsys.readouterr().out)
    sfnodes_show.logs({"n-1": "\x9b1m\u202e"}, as_json=True)
    assert json.loads(harmless(capsys.readouterr().out)) == {"n-1": "\x9b1m\u202e"}
    sfnodes_show.message({}, STEERS, as_json=False)
    harmless(capsys.readouterr().out)


@pytest.mark.parametrize("value", [STEERS.replace("\ud800", ""), 7, {"a": ["\x9b"]}])
def test_a_result_stays_json(capsys: pytest.CaptureFixture[str], value: Any) -> None:
    output.data(json.dumps(value, ensure_ascii=False))
    assert json.loads(harmless(capsys.readouterr().out)) == value


def test_a_result_that_is_not_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    output.data("plain \x1b[31m")
    assert capsys.readouterr().out == "plain \x1b[31m\n"  # for the program that reads it
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.data("plain \x1b[31m")
    assert capsys.readouterr().out == "plain \\x1b[31m\n"


def test_errors_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def broken() -> None:
        raise errors.UsageError(f"unknown {STEERS}")

    assert entry.status(broken, "broken", []) == 64
    assert "Error: unknown" in harmless(capsys.readouterr().err)


def records(formatter: logging.Formatter, *args: Any, **options: Any) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("simpleflow.test")
    logger.addHandler(handler)
    logger.error(*args, **options)
    return stream.getvalue()


class Odd:
    def __str__(self) -> str:
        return STEERS

    __repr__ = __str__


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("failed: %s", (STEERS,)),
        ("failed: %r %d %.1f", (STEERS, 1, 2.0)),
        ("failed: %s", (ValueError(STEERS),)),
        ("failed: %(reason)s", ({"reason": STEERS},)),
        ("failed: %s %r", (Odd(), Odd())),
        (f"failed: {STEERS}".replace("%", ""), ()),
    ],
)
def test_a_record_is_one_line(message: str, args: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SWF_CONTEXT_WORKFLOW_ID", "id\x1b[31m\nFAKE")
    shown = harmless(records(log.SimpleflowFormatter(), message, *args))
    assert shown.count("\n") == 1
    assert "failed: " in shown


def test_an_exception_cannot_pass_for_a_record() -> None:
    try:
        raise ValueError(f"{STEERS}\n2026-01-01T00:00:00.000Z ERROR [1] forged".replace("\ud800", ""))
    except ValueError:
        shown = harmless(records(log.SimpleflowFormatter(), "failed", exc_info=True))
    first, *rest = shown.rstrip("\n").split("\n")
    assert first.endswith("failed")
    assert any("forged" in line for line in rest)
    assert all(line.startswith("  ") for line in rest)
    shown = records(log.SimpleflowFormatter(), "its log:\n%s", text.Lines("one\n2026 ERROR forged\x1b"))
    assert shown.endswith("its log:\n  one\n  2026 ERROR forged\\x1b\n")


def test_json_records_stay_json() -> None:
    shown = records(log.JsonFormatter(), "failed: %s", STEERS.replace("\ud800", ""), extra={"reason": "\x9b"})
    assert shown.count("\n") == 1
    assert json.loads(harmless(shown))["message"] == f"failed: {STEERS}".replace("\ud800", "")
    assert json.loads(records(log.JsonFormatter(), "lone %s", "\ud800"))["message"] == "lone \ud800"
