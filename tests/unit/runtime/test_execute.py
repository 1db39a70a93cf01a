from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import runtime_activities as acts

from simpleflow import dispatch, logging_context, settings
from simpleflow.core import errors, interceptors
from simpleflow.runtime import execute, stores, values


@pytest.fixture(autouse=True)
def _clean() -> None:
    acts.seen.clear()
    acts.posted.clear()


def task(name: str, text: str | None = None) -> values.Task:
    return values.Task(
        activity_id="activity-1",
        name=f"runtime_activities.{name}",
        version="1",
        workflow_id="wf",
        run_id="run",
        domain="d",
        task_list="tl",
        input=text,
    )


def executor(**given: Any) -> execute.Executor:
    return execute.Executor(
        dispatcher=dispatch.Dispatcher(), payloads=stores.payloads(), store=stores.open_store(None), **given
    )


def run(name: str, text: str | None = None, **given: Any) -> values.Answer:
    return executor(**given).handle(task(name, text))


def result(name: str, text: str | None = None, **given: Any) -> Any:
    answer = run(name, text, **given)
    assert isinstance(answer, values.Completed), answer
    return None if answer.result is None else json.loads(answer.result)


def test_a_function_gets_its_arguments() -> None:
    assert result("add", '{"args":[1],"kwargs":{"b":2}}') == 3


def test_a_class_is_made_executed_and_post_executed() -> None:
    assert result("Sum", '{"args":[1,2,3]}') == [6, "activity-1"]
    assert acts.posted == [(1, 2, 3)]


def test_programs_that_the_input_names_are_brought_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my-tool").write_text("#!/bin/sh\necho $1 worked\n")
    settings.put_setting("SIMPLEFLOW_BINARIES_DIRECTORY", str(tmp_path / "binaries"))
    monkeypatch.setenv("PATH", os.environ["PATH"])
    given = {"args": ["it"], "kwargs": {}, "meta": {"binaries": {"my-tool": f"file://{tmp_path}/my-tool"}}}
    try:
        assert result("my_tool", json.dumps(given)) == "it worked\n"
    finally:
        settings.reload()


def test_the_context_reaches_functions_in_both_ways() -> None:
    assert result("with_context") == "wf"
    assert result("reads_context") == "run"


@pytest.mark.parametrize("text", ["[1,2]", '{"a":1,"b":2}', '{"args":[1,2],"kwargs":{},"meta":{}}'])
def test_inputs_of_other_deciders_need_no_envelope(text: str) -> None:
    assert result("add", text) == 3


def test_middleware_runs_before_and_after_success_and_failure() -> None:
    middleware = execute.Middleware(
        ["runtime_activities.pre"], ["runtime_activities.post", "runtime_activities.post_result_only"]
    )
    result("add", "[1,2]", middleware=middleware)
    assert acts.seen == [
        ("pre", "runtime_activities.add"),
        ("post", 3, "NoneType"),
        ("post_result_only", 3),
    ]
    acts.seen.clear()
    assert isinstance(run("fail", '["x"]', middleware=middleware), values.Failed)
    assert acts.seen == [
        ("pre", "runtime_activities.fail"),
        ("post", None, "ValueError"),
        ("post_result_only", None),
    ]


@pytest.mark.parametrize("path", ["no_such_module.f", "json.nothing", "json.__doc__"])
def test_middleware_that_cannot_be_imported_is_named(path: str) -> None:
    with pytest.raises(errors.UsageError, match=path):
        execute.Middleware([path])


def test_interceptors_stand_around_the_activity_the_first_outermost() -> None:
    order: list[str] = []

    class Mounted:
        def __init__(self, name: str) -> None:
            self.name = name

        def execute(self, call: interceptors.ActivityCall, proceed: Any) -> Any:
            order.append(f"{self.name} before {call.name}")
            value = proceed()
            order.append(f"{self.name} after")
            return value * 10

    assert result("add", "[1,2]", mounted=[Mounted("outer"), Mounted("inner")]) == 300
    assert order == [
        "outer before runtime_activities.add",
        "inner before runtime_activities.add",
        "inner after",
        "outer after",
    ]


def test_the_log_knows_the_task_only_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: dict[str, str] = {}
    monkeypatch.setattr(acts, "pre", lambda context: inside.update(logging_context.items()))
    result("add", "[1,2]", middleware=execute.Middleware(["runtime_activities.pre"]))
    assert inside["activity_id"] == "activity-1"
    assert logging_context.items() == {}


def test_failure_details_always_fit() -> None:
    answer = run("fail", json.dumps(["é\n" * 60_000]))
    assert isinstance(answer, values.Failed)
    assert len(answer.reason) <= 256
    assert len(answer.details) <= 32_768
    assert set(json.loads(answer.details)) == {"error", "error_type", "message", "traceback"}
    assert json.loads(answer.details)["error_type"] == "ValueError"
    assert "left out" in json.loads(answer.details)["traceback"]


@pytest.mark.parametrize(
    ("answer", "action", "keys"),
    [
        (values.Completed(), "RespondActivityTaskCompleted", {"taskToken"}),
        (values.Completed(result="1"), "RespondActivityTaskCompleted", {"taskToken", "result"}),
        (values.Failed(reason="r", details="{}"), "RespondActivityTaskFailed", {"taskToken", "reason", "details"}),
        (values.Canceled(), "RespondActivityTaskCanceled", {"taskToken"}),
    ],
)
def test_answers_on_the_wire(answer: values.Answer, action: str, keys: set[str]) -> None:
    sent, request = values.to_request(answer, "token")
    assert sent == action
    assert set(request) == keys


@pytest.mark.parametrize(("given", "expected"), [("300", 300.0), (5, 5.0), ("NONE", None), (None, None), ("", None)])
def test_declared_timeouts(given: Any, expected: float | None) -> None:
    assert execute.seconds(given) == expected


def test_what_a_task_changes_of_the_variables_that_name_it_is_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    logging_context.set("domain", "d")
    monkeypatch.setenv(logging_context.ENV_KEYS["domain"], "another")
    monkeypatch.setenv(logging_context.ENV_KEYS["run_id"], "another")
    logging_context.mend()
    assert logging_context.items() == {"domain": "d"}
    logging_context.reset()
