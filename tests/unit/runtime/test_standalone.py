from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simpleflow.client import starting
from simpleflow.core import errors, interceptors
from simpleflow.data import jumbo
from simpleflow.runtime import standalone
from simpleflow.swf import errors as swf_errors


def test_a_broken_module_is_named_before_any_task_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_on_import.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(errors.UsageError, match=r"broken_on_import.*no licence"):
        standalone.check_worker(standalone.WorkerSpec(task_list="t", modules=("broken_on_import",)))
    with pytest.raises(errors.UsageError, match="no_such_module_at_all"):
        standalone.check_worker(standalone.WorkerSpec(task_list="t", modules=("no_such_module_at_all",)))
    standalone.check_worker(standalone.WorkerSpec(task_list="t", modules=("json", "json.JSONDecoder")))


@pytest.mark.needs_processes
def test_a_child_that_cannot_work_says_so_once_and_is_not_started_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    place = standalone.Place(endpoint_url="unix:///nowhere/swf.sock", domain="default")
    with standalone.Group(place, log=log, env={"PYTHONPATH": os.environ.get("PYTHONPATH", "")}) as group:
        supervisor = group.worker(task_list="t", modules=("no_such_module_at_all",))
        supervisor.join(30)
        assert supervisor.status == 64
        assert group.pids == []
    (line,) = log.read_text().splitlines()
    assert line.startswith("Error: --modules 'no_such_module_at_all' cannot be imported (ModuleNotFoundError: ")


@pytest.mark.needs_processes
def test_a_child_whose_service_is_away_says_so_and_waits(tmp_path: Path) -> None:
    log = tmp_path / "log"
    place = standalone.Place(endpoint_url=f"unix://{tmp_path}/swf.sock", domain="default")
    with standalone.Group(place, log=log, env={"PYTHONPATH": os.environ.get("PYTHONPATH", "")}) as group:
        group.decider(task_list="t")
        deadline = time.monotonic() + 120
        while not log.exists() or "it is repeated until it is answered" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
    assert "nobody answers at unix://" in log.read_text()
    assert "Error: " not in log.read_text()
    assert "Traceback" not in log.read_text()


class W:
    """What is read of a workflow class."""

    name = "w"
    version = 3
    task_list = "decisions"
    execution_timeout = 60
    task_priority = 5

    @staticmethod
    def get_workflow_id(number: int) -> str:
        return f"w-{number}"

    def get_tag_list(cls, number: int) -> list[str]:
        return [f"n{number}"]


def test_a_start_request_takes_what_the_class_declares() -> None:
    asked = starting.request(W, "mod.W", {"args": [7], "kwargs": {}})
    assert asked == {
        "workflowId": "w-7",
        "workflowType": {"name": "w", "version": "3"},
        "taskList": {"name": "decisions"},
        "input": '{"__extra":{"class":"mod.W"},"args":[7],"kwargs":{}}',
        "executionStartToCloseTimeout": "60",
        "taskStartToCloseTimeout": "300",
        "childPolicy": "TERMINATE",
        "tagList": ["n7"],
        "taskPriority": "5",
    }


def test_what_was_given_wins_and_six_tags_are_refused() -> None:
    asked = starting.request(W, "mod.W", {"args": [7], "kwargs": {}}, workflow_id="mine", tags=["a", "b"])
    assert (asked["workflowId"], asked["tagList"]) == ("mine", ["a", "b"])
    with pytest.raises(errors.UsageError, match="6 tags"):
        starting.request(W, "mod.W", {"args": [7], "kwargs": {}}, tags=list("abcdef"))


def test_arguments_that_cannot_travel_are_refused() -> None:
    with pytest.raises(errors.UsageError, match="cannot be serialised"):
        starting.request(W, "mod.W", {"args": [object()], "kwargs": {}}, workflow_id="mine", tags=[])
    asked = starting.request(W, "mod.W", {"args": ["x" * 40_000], "kwargs": {}}, workflow_id="mine", tags=[])
    says = "the input of 'mine' holds 400.* over SWF's limit of 32768.*SIMPLEFLOW_JUMBO_FIELDS_BUCKET"
    with pytest.raises(jumbo.ValueTooLarge, match=says):
        starting.begin(Service(), "default", asked)


class Service:
    """Answers a start, or refuses it."""

    def __init__(self, refuse: bool = False) -> None:
        self.refuse = refuse

    def call(self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: object = None) -> Any:
        if action == "StartWorkflowExecution" and self.refuse:
            raise swf_errors.WorkflowExecutionAlreadyStartedFault("open")
        return SimpleNamespace(run_id="run")

    def revoke(self, poll_id: str) -> bool:
        return False

    def close(self) -> None:
        return


def test_interceptors_stand_around_a_start() -> None:
    seen: list[Any] = []

    class Mounted:
        def before_start(self, call: interceptors.StartCall) -> None:
            seen.append(("before", call.workflow_id, call.task_list))

        def after_start(self, call: interceptors.StartCall, run_id: str) -> None:
            seen.append(("after", run_id))

    asked = starting.request(W, "mod.W", {"args": [7], "kwargs": {}})
    assert starting.begin(Service(), "default", asked, mounted=[Mounted()]) == "run"
    assert seen == [("before", "w-7", "decisions"), ("after", "run")]
    with pytest.raises(errors.SimpleflowError, match="w-7"):
        starting.begin(Service(refuse=True), "default", asked)
