"""The reading and acting commands over a transport that answers from a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from simpleflow.cli import context, main
from simpleflow.core import errors, events
from simpleflow.swf import errors as swf_errors
from simpleflow.testing.replaying import replay

TYPE = {"name": "a.f", "version": "1"}
LIST = {"name": "heavy"}


def _event(number: int, kind: str, **attributes: Any) -> dict[str, Any]:
    member = kind[0].lower() + kind[1:] + "EventAttributes"
    return {"eventId": number, "eventTimestamp": 1767225600.0 + number, "eventType": kind, member: attributes}


HISTORY = events.from_builtins(
    [
        _event(
            1,
            "WorkflowExecutionStarted",
            childPolicy="TERMINATE",
            taskList={"name": "decisions"},
            workflowType={"name": "W", "version": "1"},
            input='{"args":[1]}',
            executionStartToCloseTimeout="60",
            taskStartToCloseTimeout="10",
            tagList=["a"],
        ),
        _event(
            2,
            "ActivityTaskScheduled",
            activityType=TYPE,
            activityId="a-1",
            taskList=LIST,
            decisionTaskCompletedEventId=1,
        ),
        _event(3, "ActivityTaskStarted", scheduledEventId=2, identity="worker-1"),
        _event(
            4, "ActivityTaskFailed", scheduledEventId=2, startedEventId=3, reason="bad row", details='{"message":"7"}'
        ),
        _event(
            5,
            "ActivityTaskScheduled",
            activityType=TYPE,
            activityId="a-1",
            taskList=LIST,
            decisionTaskCompletedEventId=1,
        ),
        _event(6, "ActivityTaskStarted", scheduledEventId=5, identity="worker-2"),
        _event(7, "ActivityTaskCompleted", scheduledEventId=5, startedEventId=6, result="[42]"),
        _event(8, "TimerStarted", timerId="nap", startToFireTimeout="3", decisionTaskCompletedEventId=1),
        _event(9, "TimerFired", timerId="nap", startedEventId=8),
        _event(10, "WorkflowExecutionCompleted", result='{"answer":42}', decisionTaskCompletedEventId=1),
    ]
)


def _info(workflow_id: str, *, status: str = "CLOSED", tags: list[str] | None = None, name: str = "W") -> Any:
    return SimpleNamespace(
        execution=SimpleNamespace(workflow_id=workflow_id, run_id=f"run-of-{workflow_id}"),
        workflow_type=SimpleNamespace(name=name, version="1"),
        execution_status=status,
        close_status="COMPLETED" if status == "CLOSED" else None,
        start_timestamp=1767225600.0,
        close_timestamp=1767225610.0 if status == "CLOSED" else None,
        tag_list=tags,
    )


class Table:
    """A transport: one closed execution ``wf``, two open ones, pages of three events."""

    def __init__(self) -> None:
        self.acted: list[tuple[str, dict[str, Any]]] = []

    def call(self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: object = None) -> Any:
        wanted = request.get("executionFilter", {}).get("workflowId")
        if action.startswith("List"):
            open_ = [_info("o1", status="OPEN", tags=["x"]), _info("o2", status="OPEN", tags=["y"], name="Other")]
            infos = open_ if "Open" in action else [_info("wf", tags=["a"])]
            infos = [i for i in infos if wanted in (None, i.execution.workflow_id)]
            return SimpleNamespace(execution_infos=infos, next_page_token=None)
        if action == "DescribeWorkflowExecution":
            name = request["execution"]["workflowId"]
            configuration = SimpleNamespace(task_list=SimpleNamespace(name="decisions"))
            return SimpleNamespace(
                execution_info=_info(name, status="OPEN" if name.startswith("o") else "CLOSED", tags=["a"]),
                execution_configuration=configuration,
                latest_execution_context='{"blocked_on":["activity-parse-1"]}' if name.startswith("o") else "",
            )
        if action == "GetWorkflowExecutionHistory":
            ordered = HISTORY[::-1] if request.get("reverseOrder") else HISTORY
            begin = int(request.get("nextPageToken") or 0)
            end = begin + 3
            return SimpleNamespace(events=ordered[begin:end], next_page_token=str(end) if end < len(ordered) else None)
        if request.get("workflowId") == "wf":
            raise swf_errors.UnknownResourceFault("wf is closed")
        self.acted.append((action, dict(request)))
        return None


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    connection = SimpleNamespace(transport=made, domain="default", endpoint_url="unix:///none")
    monkeypatch.setattr(context.State, "connect", lambda self, domain=None, **given: connection)
    return made


def call(*argv: str) -> tuple[int, str]:
    result = CliRunner().invoke(main.cli, list(argv), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return int(result.return_value or 0), result.stdout


def rows(*argv: str) -> Any:
    return json.loads(call(*argv, "--format", "json")[1])


def test_info_shows_type_tags_and_input(table: Table) -> None:
    shown = rows("workflow.info", "wf")
    assert (shown["status"], shown["task_list"], shown["tag_list"]) == ("COMPLETED", "decisions", "a")
    assert shown["input"] == {"args": [1]}
    assert shown["execution_time"] == 10.0
    assert "blocked_on" not in shown
    assert rows("workflow.info", "o1")["blocked_on"] == ["activity-parse-1"]


def test_every_event_of_every_page_is_shown_with_its_zone(table: Table) -> None:
    shown = rows("workflow.history", "wf", "run")["events"]
    assert [event["eventId"] for event in shown] == list(range(1, 11))
    assert all(event["eventTimestamp"].endswith("+00:00") for event in shown)
    assert len(call("workflow.history", "wf", "-o", "events", "--format", "csv")[1].splitlines()) == 10


def test_a_dump_is_what_a_replay_reads(table: Table, tmp_path: Path) -> None:
    call("workflow.dump", "wf", "run", str(tmp_path / "saved.json"))
    saved = replay.read(tmp_path / "saved.json")
    assert (saved.workflow_id, saved.run_id) == ("wf", "run")
    assert list(saved.events) == HISTORY
    dumped = json.loads(call("workflow.dump", "wf", "run", "-")[1])
    assert dumped["events"][0]["eventTimestamp"] == "2026-01-01T00:00:01+00:00"
    with pytest.raises(errors.UsageError, match="cannot be written"):
        call("workflow.dump", "wf", str(tmp_path / "no" / "folder"))


def test_a_retry_is_a_task_of_its_own(table: Table) -> None:
    shown = rows("workflow.tasks", "wf")
    assert [(t["id"], t["state"], t["reason"]) for t in shown] == [
        ("a-1", "failed", "bad row"),
        ("a-1", "completed", None),
        ("nap", "fired", None),
    ]
    assert len(rows("workflow.tasks", "wf", "-n", "1")) == 1


def test_task_info_shows_the_last_attempt_with_its_details(table: Table) -> None:
    shown = rows("task.info", "wf", "a-1", "--details")
    assert (shown["state"], shown["attempts"], shown["worker"], shown["result"]) == ("completed", 2, "worker-2", [42])
    with pytest.raises(errors.SimpleflowError, match="a-9"):
        call("task.info", "wf", "a-9")


def test_the_profile_begins_with_the_longest(table: Table) -> None:
    shown = rows("workflow.profile", "wf")
    assert [row["ran_s"] for row in shown] == sorted((row["ran_s"] for row in shown), reverse=True)
    assert shown[0]["percent"] == pytest.approx(100 / 9, abs=0.01)


def test_a_filter_returns_what_matches_every_criterion(table: Table) -> None:
    assert [row["workflow_id"] for row in rows("workflow.list")] == ["o1", "o2"]
    assert [row["workflow_id"] for row in rows("workflow.filter", "--workflow-type-name", "Other")] == ["o2"]
    assert rows("workflow.filter", "--workflow-type-name", "Other", "--tag", "x") == []
    assert [row["workflow_id"] for row in rows("workflow.filter", "-c", "COMPLETED")] == ["wf"]
    with pytest.raises(errors.UsageError, match="--from-date"):
        call("workflow.filter", "--from-date", "yesterday")


def test_wait_and_result_print_the_result(table: Table) -> None:
    assert call("workflow.wait", "wf") == (0, '{"answer":42}\n')
    assert call("workflow.result", "wf") == (0, '{"answer":42}\n')
    with pytest.raises(errors.SimpleflowError, match=r"workflow\.wait"):
        call("workflow.result", "o1")


def test_signals_go_to_one_or_to_all_that_match(table: Table) -> None:
    call("workflow.signal", "go", "o1", "-i", "[1]")
    said = {"domain": "default", "workflowId": "o1", "signalName": "go", "input": "[1]"}
    assert table.acted.pop()[1] == said  # no run id: whatever run is open
    call("workflow.signal", "go", "o1", "--run-id", "r7", "-i", "[1]")
    assert table.acted.pop()[1] == {**said, "runId": "r7"}
    assert call("workflow.signal", "go", "--tag", "y", "--dry-run")[1] == "o2 run-of-o2\n"
    assert table.acted == []
    call("workflow.cancel", "--type", "W")
    assert [request["workflowId"] for _, request in table.acted] == ["o1"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["workflow.signal", "go"], "no execution named"),
        (["workflow.signal", "go", "o1", "--tag", "x"], "exclude"),
        (["workflow.signal", "go", "o1", "-i", "{"], "not JSON"),
        (["workflow.info", "a", "b", "c", "d"], "positional"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_done(table: Table, argv: list[str], message: str) -> None:
    with pytest.raises(errors.UsageError, match=message):
        call(*argv)
    assert table.acted == []


def test_what_is_not_there_is_an_error(table: Table) -> None:
    with pytest.raises(errors.SimpleflowError, match="no execution 'nobody'"):
        call("workflow.info", "nobody")
    with pytest.raises(errors.SimpleflowError, match="no open execution 'wf'"):
        call("workflow.terminate", "wf")
