"""How a run ends, and which hooks hear of it (docs/design/replay.md, "Closing")."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from simpleflow import Workflow, futures
from simpleflow.core import decisions, events

from .driver import Play, act

A, B = act("a"), act("b")
#: one object: its text names its address
NO_JSON = object()


class Told(Workflow):
    """Notes each hook that runs."""

    name, version, task_list = "w", "1", "decisions"
    called: list[str] = []

    def run(self) -> Any:
        return self.submit(A).result

    def after_replay(self, history: Any) -> None:
        self.called.append("after_replay")

    def after_closed(self, history: Any) -> None:
        self.called.append("after_closed")

    def on_completed(self, history: Any) -> None:
        self.called.append("on_completed")

    def on_failure(self, history: Any, reason: str, details: Any = None) -> None:
        self.called.append("on_failure")


def told(run: Any = None) -> tuple[Play, list[str]]:
    called: list[str] = []
    members: dict[str, Any] = {"called": called}
    if run is not None:
        members["run"] = run
    return Play(type("Program", (Told,), members), check=False), called


def test_c13_after_replay_on_each_decision_closing_hooks_once_after_the_close_was_accepted() -> None:
    play, called = told()
    play.decide()
    play.complete("activity-a-1")
    task = play.history.begin_decision(whole=False)
    decided = play.resolved(play.engine, task)
    assert "on_completed" not in called
    play.history.respond(decided.decisions)
    play.engine.acknowledged(play.history.run_id, task.started_event_id)
    assert called == ["after_replay", "after_replay", "on_completed", "after_closed"]


def test_a_close_that_was_not_acknowledged_runs_no_closing_hook() -> None:
    play, called = told()
    play.decide()
    play.complete("activity-a-1")
    play.decide(acknowledge=False)
    assert "on_completed" not in called
    play.engine.forget(play.history.run_id)
    assert "on_completed" not in called


def test_c35_a_close_that_failed_replays_and_closes_with_its_hooks_at_most_once() -> None:
    play, called = told()
    play.decide()
    play.complete("activity-a-1")
    assert play.decide(during=lambda: play.signal("late")) == ["CompleteWorkflowExecution"]
    assert play.decide() == ["CompleteWorkflowExecution"]
    assert play.history.open.closed == "WorkflowExecutionCompleted"
    assert called.count("on_completed") == 1
    assert called.count("after_closed") == 1


def test_on_failure_is_called_when_run_raises() -> None:
    def run(self: Any) -> Any:
        raise ValueError("odd")

    play, called = told(run)
    assert play.decide() == ["FailWorkflowExecution"]
    assert "on_failure" in called
    assert "on_completed" not in called


def test_a_hook_that_raises_does_not_undo_the_close_and_is_not_silent() -> None:
    def raising(self: Any, history: Any) -> None:
        raise RuntimeError("hook")

    play = Play(type("Program", (Told,), {"called": [], "on_completed": raising}), check=False)
    play.decide()
    play.complete("activity-a-1")
    with pytest.raises(RuntimeError, match="hook"):
        play.decide()
    assert play.history.open.closed == "WorkflowExecutionCompleted"


def test_run_that_returns_with_unfinished_tasks_names_what_it_abandons() -> None:
    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            self.submit(B)
            self.submit(A).result

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    assert any("activity-b-1" in line for line in play.last.diagnostics), play.last.diagnostics


def test_run_that_returns_names_what_it_submitted_last() -> None:
    """It is not even scheduled: the closing decision would end it at once."""

    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            self.submit(A).result
            self.submit(A, [self.submit(B)])
            cancelled = self.submit(A, 1)
            cancelled.cancel()

    play = Play(Program)
    play.decide()
    play.complete("activity-a-1")
    assert play.decide() == ["CompleteWorkflowExecution"]
    assert play.last.diagnostics == ("run() returned and abandons 2 unfinished: b, a",)


def test_continue_as_new_takes_positional_and_keyword_arguments() -> None:
    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self, *args: Any, **kwargs: Any) -> Any:
            return self.submit(self.continue_as_new(1, two=2)).result

    play = Play(Program)
    assert play.decide() == ["ContinueAsNewWorkflowExecution"]
    (made,) = play.last.decisions
    assert isinstance(made, decisions.ContinueAsNewWorkflowExecution)
    said = json.loads(made.input or "")
    assert (said["args"], said["kwargs"]) == ([1], {"two": 2})
    assert play.history.open.closed == "WorkflowExecutionContinuedAsNew"


def test_signals_sent_and_received() -> None:
    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            self.submit(self.signal("hello", 1, workflow_id="other", propagate=False, two=2)).result
            return "sent"

    play = Play(Program)
    assert play.decide() == ["SignalExternalWorkflowExecution hello"]
    (outgoing,) = play.history.open.outgoing
    said = json.loads(outgoing.input or "")
    assert (said["args"], said["kwargs"]) == ([1], {"two": 2})
    play.history.deliver(outgoing)
    play.decide()
    assert play.result == "sent"


def test_run_context_and_tags() -> None:
    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            return self.get_run_context()

    play = Play(Program, options={"tags": ["t1", "t2"]})
    play.decide()
    assert play.result == {
        "name": "w",
        "version": "1",
        "domain_name": "test",
        "workflow_id": "workflow-id",
        "run_id": "run-id",
        "tag_list": ["t1", "t2"],
        "continued_execution_run_id": None,
        "parent_workflow_id": None,
        "parent_run_id": None,
    }


class Retried(Workflow):
    name, version, task_list, retry = "retried", "1", "decisions", 1

    def run(self) -> Any:
        return 1


def test_a_signal_is_handed_on_to_the_run_of_a_child_that_was_open_when_it_came() -> None:
    """Whatever run of that child the history knows by now; between two runs there is none."""

    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            return self.submit(Retried).result

    play = Play(Program, others=(Retried,))
    play.decide()
    (child,) = play.history.open.children
    play.history.start_child(child)
    play.history.signal("go", '{"args":[],"__propagate":true}')
    assert play.decide() == ["SignalExternalWorkflowExecution go"]
    play.history.deliver(play.history.open.outgoing[0])
    play.history.fail_child(child)
    assert play.decide()[-1] == f"StartChildWorkflowExecution {child}"
    play.history.signal("go", '{"args":[],"__propagate":true}')
    assert play.decide() == []
    play.history.start_child(child)
    play.history.signal("go", '{"args":[],"__propagate":true}')
    play.evict()
    assert play.decide() == ["SignalExternalWorkflowExecution go"]
    runs = [
        event.attributes.run_id
        for event in play.history.events
        if isinstance(event, events.SignalExternalWorkflowExecutionInitiated)
    ]
    assert len(set(runs)) == 2
    play.history.complete_child(child, "1")
    play.evict()
    play.decide()
    assert play.result == 1


def test_a_child_that_is_about_to_start_again_is_cancelled_without_naming_the_run_that_failed() -> None:
    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            child = self.submit(Retried)
            self.submit(self.wait_signal("stop")).result
            return child.cancel()

    play = Play(Program, others=(Retried,))
    play.decide()
    (child,) = play.history.open.children
    play.history.start_child(child)
    play.history.fail_child(child)
    play.decide()
    play.signal("stop")
    play.decide()
    (made, _) = play.last.decisions
    assert isinstance(made, decisions.RequestCancelExternalWorkflowExecution)
    assert (made.workflow_id, made.run_id) == (child, None)


def test_a_child_that_was_refused_before_the_run_ended_is_not_started_with_its_close() -> None:
    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            task, _ = self.submit(A), self.submit(Retried)
            futures.wait([task, self.submit(self.wait_signal("end"))], return_when=futures.FIRST_COMPLETED)
            return "ended"

    play = Play(Program, others=(Retried,))
    play.history.refuse("StartChildWorkflowExecution", "CHILD_CREATION_RATE_EXCEEDED")
    play.decide(during=lambda: play.signal("end"))
    assert play.decide() == ["CompleteWorkflowExecution"]


def test_after_a_marker_of_ours_was_refused_the_run_fails_alone_in_a_re_run_too() -> None:
    """Whatever the program did with the value that nobody kept."""
    drawn = itertools.count()

    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            return self.submit(A, self.side_effect("n", lambda: next(drawn))).result

    play = Play(Program)
    play.history.refuse("RecordMarker", "OPERATION_NOT_PERMITTED")
    play.check = False  # each evaluation draws a number of its own
    play.decide()
    play.check = True
    assert play.decide() == ["FailWorkflowExecution"]
    assert "simpleflow.side_effect was refused" in play.failure


def test_a_result_that_is_no_json_is_named() -> None:
    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            return {"found": [1, NO_JSON]}

    play = Play(Program)
    assert play.decide() == ["FailWorkflowExecution"]
    assert "the result of w cannot be serialised: found[1] is <object" in play.failure
