"""What tasks write to stdout and stderr."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from fake_swf import FakeSwf, task
from worker_fixtures import Start, answer, start, swf

from simpleflow import log

__all__ = ["start", "swf"]
pytestmark = pytest.mark.needs_processes


def said(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if vars(record).get("action") == "output"]


def test_each_line_is_logged_with_its_task_and_never_on_stdout(
    swf: FakeSwf, start: Start, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    start()
    for number in (1, 2):
        swf.tasks.put(task("speaks", number, token=f"t{number}"))
        assert answer(swf)[0] == "RespondActivityTaskCompleted"
    for number in (1, 2):
        lines = [r for r in said(caplog) if r.activity_id == f"activity-speaks-t{number}"]
        assert [record.getMessage() for record in lines] == [
            f"printed {number}",
            f"complained {number}",
            f"program {number}",
            "\\x1b[31mred",
            "written without an end",
        ]
        assert {(r.workflow_id, r.run_id, r.event_id) for r in lines} == {("wf", "run", "6")}
    assert capfd.readouterr().out == ""
    line = log.SimpleflowFormatter().format(said(caplog)[0])
    assert "wf activity-speaks-t1 6: printed 1" in line
    assert json.loads(log.JsonFormatter().format(said(caplog)[0]))["run_id"] == "run"


def test_last_words_of_a_task_that_dies_are_logged(
    swf: FakeSwf, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    start()
    swf.tasks.put(task("speaks_and_dies"))
    assert answer(swf)[0] == "RespondActivityTaskFailed"
    assert [record.getMessage() for record in said(caplog)] == ["last words", "cut o"]


def test_more_than_a_pipe_holds(swf: FakeSwf, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    start()
    swf.tasks.put(task("speaks_much"))
    assert answer(swf)[0] == "RespondActivityTaskCompleted"
    assert len(said(caplog)) == 20_000
