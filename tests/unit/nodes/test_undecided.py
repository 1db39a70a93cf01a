"""A run that waits on a decision task list which nobody polls is told, and not waited for in silence."""

from __future__ import annotations

import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents, interceptors
from simpleflow.nodes.manager import coordinator, demand, observe
from simpleflow.runtime import decider
from simpleflow.server import inprocess

from .world import World


def row(decision_list: str, decided: int = 0) -> documents.RunRow:
    return documents.RunRow(
        run_id="child",
        workflow_id="c",
        workflow="w",
        started_event_id=decided,
        changed=0.0,
        decision_list=decision_list,
    )


@pytest.mark.parametrize(
    ("decision_list", "decided", "told"), [("films", 0, True), ("demo", 0, False), ("films", 3, False)]
)
def test_a_child_on_a_list_that_no_decider_polls_is_told_by_status_and_log(
    decision_list: str, decided: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.coordinator.runs["child"] = observe.OpenRun(workflow_id="c", run_id="child", workflow="w")
    world.coordinator.histories["child"] = row(decision_list, decided)
    plan = world.managers["m1"].look()
    assert any("waits on decision task list 'films'" in note for note in plan.notes) is told
    for _ in range(5):
        world.tick()
    assert world.document().troubles == (), "another cluster's decider may take it"
    for _ in range(40):
        world.tick()
    said = [each for each in world.document().troubles if "films" in each]
    assert bool(said) is told
    logged = [record for record in caplog.records if "waits on decision task list" in record.message]
    assert len(logged) == int(told), "once"
    if told:
        assert "give the workflow's class task_list = 'demo', or start a decider on 'films'" in said[0]
        world.coordinator.histories["child"] = row(decision_list, 3)
        for _ in range(30):
            world.tick()
        assert world.document().troubles == ()


def test_the_list_is_read_from_the_runs_history() -> None:
    service = inprocess.open_memory(clock=clocks.RealClock(), domain="demo")
    transport = inprocess.transport(service)
    transport.call("RegisterWorkflowType", {"domain": "demo", "name": "w", "version": "1"})
    transport.call(
        "StartWorkflowExecution",
        {
            "domain": "demo",
            "workflowId": "c",
            "workflowType": {"name": "w", "version": "1"},
            "taskList": {"name": "films"},
            "executionStartToCloseTimeout": "60",
            "taskStartToCloseTimeout": "10",
            "childPolicy": "TERMINATE",
        },
    )
    reader = coordinator.SwfCoordinator(transport, "demo")
    [run] = reader.open_runs()
    found = reader.scheduled(run)
    assert (found.started_event_id, found.decision_list) == (0, "films")


def test_a_run_that_its_decider_cannot_decide_is_told_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.add("a")
    publisher = demand.DemandPublisher(world.store, "d2", world.cluster.settings, clocks.RealClock())
    publisher.polling()
    run = interceptors.Execution(
        domain="demo", workflow_id="w9", run_id="r9", workflow_name="films", workflow_version="1"
    )
    world.coordinator.runs["r9"] = observe.OpenRun(workflow_id="w9", run_id="r9", workflow="films")
    answered = interceptors.DecisionAnswered(
        execution=run, started_event_id=3, demand=(), closed=False, seconds=0.0, trouble="no module named 'films'"
    )
    publisher.answered(answered)
    publisher.stopping()
    assert "run 'w9' of workflow 'films' is not decided: no module named 'films'" in world.managers["m1"].look().notes
    world.tick()
    assert any("no module named 'films'" in each for each in world.document().troubles)
    assert "no module named 'films'" in caplog.text


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ('{"cannot_decide":"no module"}', "no module"),
        ('{"diverged":"at 7"}', "at 7"),
        ('{"blocked_on":["activity-a-1"]}', ""),
        ("the user's own words", ""),
        ("[1]", ""),
        (None, ""),
    ],
)
def test_what_a_decider_says_of_a_run_is_handed_to_interceptors(context: str | None, said: str) -> None:
    assert decider._trouble(context) == said
