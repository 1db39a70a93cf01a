"""Local activities, run beside the decider."""

from __future__ import annotations

import json
import threading

import pytest

from simpleflow import engine
from simpleflow.runtime import beside, stores

TASK = engine.DecisionTask(
    domain="d",
    workflow_id="wf",
    run_id="run",
    workflow_name="W",
    workflow_version="1",
    previous_started_event_id=0,
    started_event_id=3,
    events=(),
)


def run(name: str, text: str = '{"args":[],"kwargs":{}}') -> engine.LocalResult:
    made = beside.Beside(payloads=stores.payloads(), store=stores.open_store(None))
    return made.run(engine.LocalActivity(key="k", name=f"runtime_activities.{name}", input=text), TASK)


def test_a_result_is_json_text_and_nothing_is_null() -> None:
    assert run("add", '{"args":[1,2],"kwargs":{}}') == engine.LocalResult(result="3")
    assert run("pre", '{"args":[{"name":"x"}],"kwargs":{}}') == engine.LocalResult(result="null")


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("fail", '{"args":["no"],"kwargs":{}}', "ValueError"),
        ("leave", '{"args":[],"kwargs":{}}', "SystemExit"),
        ("unserialisable", '{"args":[],"kwargs":{}}', "TypeError"),
        ("no_such_function", '{"args":[],"kwargs":{}}', "DispatchError"),
    ],
)
def test_a_failure_never_reaches_the_decider(name: str, text: str, error: str) -> None:
    ended = run(name, text)
    assert ended.result is None
    assert json.loads(ended.details or "")["error"] == error


@pytest.mark.needs_processes
@pytest.mark.parametrize(("name", "status"), [("child_returns", 0), ("child_exits", 7), ("child_raises", 1)])
def test_a_forked_child_does_not_go_on_as_a_second_decider(name: str, status: int) -> None:
    text = '{"args":[],"kwargs":{}}'
    made = beside.Beside(payloads=stores.payloads(), store=stores.open_store(None))
    ended = made.run(engine.LocalActivity(key="k", name=f"forking_activities.{name}", input=text), TASK)
    assert ended == engine.LocalResult(result=f'["parent",{status}]')


def test_it_may_run_on_any_thread() -> None:
    found: list[engine.LocalResult] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(run("add", f'{{"args":[{n},1],"kwargs":{{}}}}')))  # type: ignore[misc]  # bound per turn
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(ended.result) for ended in found) == ["1", "2", "3", "4"]
