"""Every verb of the client, against a service in memory."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simpleflow import settings, workflow
from simpleflow.client import Client, Failed, connect, executions
from simpleflow.core import errors, interceptors
from simpleflow.server import inprocess
from simpleflow.testing import environment


class Counting(workflow.Workflow):
    """Counts signals, and says so when it is asked."""

    name, version, task_list = "counting", "1", "decisions"

    def run(self, start: int) -> None:
        self.count = start
        while True:
            self.count += self.submit(self.wait_signal("add")).result

    def counted(self, times: int = 1) -> int:
        return self.count * times


class Drawing(workflow.Workflow):
    """Keeps what it drew."""

    name, version, task_list = "drawing", "1", "decisions"
    drawn = 0

    def run(self) -> Any:
        def draw() -> int:
            Drawing.drawn += 1
            return Drawing.drawn

        self.seen: list[Any] = [self.side_effect("draw", draw), self.patched("new"), "X"]
        return self.submit(self.wait_signal("end")).result

    def drawn_so_far(self) -> list[Any]:
        return self.seen


class Nightly(workflow.Workflow):
    name, version, task_list = "nightly", "1", "decisions"

    def run(self, *args: Any, **kwargs: Any) -> None: ...


@pytest.fixture
def connection() -> Iterator[connect.Connection]:
    service = inprocess.open_memory(domain="d")
    yield connect.Connection(transport=inprocess.transport(service), domain="d", endpoint_url=None)
    service.close()


@pytest.fixture
def client(connection: connect.Connection) -> Client:
    return Client(connection)


def decide(connection: connect.Connection, *decisions: dict[str, Any]) -> Any:
    """Answer the decision task that waits, as a decider would."""
    task = connection.transport.call("PollForDecisionTask", {"domain": "d", "taskList": {"name": "decisions"}})
    request = {"taskToken": task.task_token, "decisions": list(decisions)}
    connection.transport.call("RespondDecisionTaskCompleted", request)
    return task


def continue_as_new() -> dict[str, Any]:
    said = {
        "taskList": {"name": "decisions"},
        "taskStartToCloseTimeout": "60",
        "executionStartToCloseTimeout": "600",
        "childPolicy": "TERMINATE",
    }
    return {"decisionType": "ContinueAsNewWorkflowExecution", "continueAsNewWorkflowExecutionDecisionAttributes": said}


def complete(result: str) -> dict[str, Any]:
    return {
        "decisionType": "CompleteWorkflowExecution",
        "completeWorkflowExecutionDecisionAttributes": {"result": result},
    }


def test_a_start_says_what_the_class_and_the_options_say(client: Client, connection: connect.Connection) -> None:
    run = client.start(Nightly, 7, options={"workflow_id": "n", "tags": ["a"], "execution_timeout": 60}, deep=True)
    assert run == client.find("n") == executions.Run(domain="d", workflow_id="n", run_id=run.run_id)
    shown = client.describe(run)
    assert shown.execution_info.tag_list == ["a"]
    assert shown.execution_configuration.execution_start_to_close_timeout == "60"
    started: Any = next(client.history(run))
    assert started.attributes.input == ('{"__extra":{"class":"test_client.Nightly"},"args":[7],"kwargs":{"deep":true}}')
    with pytest.raises(errors.SimpleflowError, match="'n' is open"):
        client.start(Nightly, options={"workflow_id": "n"})
    with pytest.raises(errors.UsageError, match=r"args\[0\]"):
        client.start(Nightly, object())


def test_a_result_is_awaited_and_decoded(client: Client, connection: connect.Connection) -> None:
    run = client.start(Nightly)
    with pytest.raises(executions.StillOpen):
        client.result(run, timeout=0)
    threading.Timer(0.1, decide, (connection, complete('{"rows":[1,2]}'))).start()
    assert client.result(run, timeout=10) == {"rows": [1, 2]}
    assert client.wait(run).status == "COMPLETED"


def test_a_result_over_the_limit_is_fetched(client: Client, connection: connect.Connection, tmp_path: Path) -> None:
    settings.put_setting("SIMPLEFLOW_JUMBO_FIELDS_BUCKET", f"file://{tmp_path}")
    try:
        run = client.start(Nightly)
        client.signal(run, "big", "x" * 40_000)
        task = decide(connection)
        (signaled,) = [e for e in task.events if type(e).__name__ == "WorkflowExecutionSignaled"]
        assert signaled.attributes.input.startswith(f"simpleflow+file://{tmp_path}/")
        client.signal(run, "again")
        decide(connection, complete(signaled.attributes.input))
        assert client.result(run, timeout=5) == "x" * 40_000
    finally:
        settings.reload()


def test_signals_cancellations_and_terminations(client: Client, connection: connect.Connection) -> None:
    run = client.start(Nightly)
    client.signal(run, "go", {"fast": True})
    client.signal(run, "plain")
    client.cancel(run)
    found: list[Any] = list(client.history(run))
    assert [e.attributes.input for e in found if type(e).__name__ == "WorkflowExecutionSignaled"] == [
        '{"fast":true}',
        None,
    ]
    assert type(next(client.history(run, reverse=True))).__name__ == "WorkflowExecutionCancelRequested"
    client.terminate(run, "enough")
    with pytest.raises(Failed, match="terminated: enough") as caught:
        client.result(run)
    assert caught.value.status == "TERMINATED"
    for act in (client.terminate, client.cancel, lambda run: client.signal(run, "late")):
        with pytest.raises(executions.NotOpen, match=r"workflow\.list"):
            act(run)
    with pytest.raises(errors.SimpleflowError, match="no execution 'nobody'"):
        client.find("nobody")


def test_a_run_that_continues_as_new_is_followed(client: Client, connection: connect.Connection) -> None:
    run = client.start(Nightly)
    decide(connection, continue_as_new())
    decide(connection, complete("3"))
    assert client.find(run.workflow_id) != run
    begun = time.monotonic()
    assert client.result(run, timeout=600) == 3
    assert time.monotonic() - begun < 60


def test_the_client_speaks_of_whatever_run_is_open(client: Client, connection: connect.Connection) -> None:
    first = client.start(Nightly, options={"workflow_id": "n"})
    decide(connection, continue_as_new())
    second = client.find("n")
    assert second.run_id != first.run_id
    client.signal(first, "go", 1)
    client.signal("n", "go", 2)
    client.cancel(first)
    client.cancel("n")
    seen = [type(event).__name__ for event in client.history("n")]
    assert seen.count("WorkflowExecutionSignaled") == seen.count("WorkflowExecutionCancelRequested") == 2
    pinned = client.find("n", first.run_id)
    assert pinned == first
    for act in (lambda: client.signal(pinned, "go"), lambda: client.cancel(pinned), lambda: client.terminate(pinned)):
        with pytest.raises(executions.NotOpen, match=re.escape(first.run_id)):
            act()
    client.terminate(first, "enough")
    assert client.wait(first).status == client.wait("n").status == "TERMINATED"
    with pytest.raises(executions.NotOpen, match="'n'"):
        client.signal("n", "go")


def test_a_query_replays_and_changes_nothing(client: Client, connection: connect.Connection) -> None:
    run = client.start(Counting, 3)
    with pytest.raises(errors.SimpleflowError, match="no decision yet"):
        client.query(run, "counted")
    decide(connection)
    assert client.query(run, "counted") == 3
    client.signal(run, "add", 4)
    assert client.query(run, "counted") == 3
    decide(connection)
    before = len(list(client.history(run)))
    assert client.query(run, "counted", times=10) == 70
    assert len(list(client.history(run))) == before
    with pytest.raises(errors.Misuse, match="no_such"):
        client.query(run, "no_such")


def test_a_query_sees_what_side_effects_and_patches_were_recorded_as() -> None:
    with environment.Environment(replay=False) as made:
        begun = made.start(Drawing)
        made.settle()
        run = executions.Run(domain=made.connection.domain, workflow_id=begun.workflow_id, run_id=begun.run_id)
        with Client(made.connection) as client:
            first = client.query(run, "drawn_so_far")
            assert first == client.query(run, "drawn_so_far") == [1, True, "X"]
            assert Drawing.drawn == 1


def test_interceptors_stand_around_the_start(connection: connect.Connection) -> None:
    seen: list[Any] = []

    class Mounted:
        def before_start(self, call: interceptors.StartCall) -> None:
            seen.append(call.workflow_id)

        def after_start(self, call: interceptors.StartCall, run_id: str) -> None:
            seen.append(run_id)

    run = Client(connection, mounted=[Mounted()]).start(Nightly)
    assert seen == [run.workflow_id, run.run_id]


def test_a_client_registers_a_type_once_and_anew_when_it_was_deleted(connection: connect.Connection) -> None:
    registered = []
    call = connection.transport.call

    def counted(action: str, request: Any, **more: Any) -> Any:
        if action == "RegisterWorkflowType":
            registered.append(request["name"])
        return call(action, request, **more)

    connection.transport.call = counted  # type: ignore[method-assign]  # to count
    client = Client(connection)
    for _ in range(3):
        client.start(Nightly)
    assert registered == ["nightly"]
    kind = {"domain": client.domain, "workflowType": {"name": "nightly", "version": "1"}}
    connection.transport.call("DeprecateWorkflowType", kind)
    connection.transport.call("DeleteWorkflowType", kind)
    client.start(Nightly)
    assert registered == ["nightly"] * 2
