"""Values over SWF's limits: pointers of ours and of simpleflow 0.36 are followed wherever a text may stand."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simpleflow import Workflow, activity, futures
from simpleflow.core import decisions
from simpleflow.data import blobs, converter, jumbo
from simpleflow.engine import Engine, Needs
from simpleflow.local import inline
from simpleflow.testing.histories import builder


@activity.with_attributes(name="big.work", version="1", task_list="t")
def work(value: Any) -> Any:
    return value


class Reads(Workflow):
    name, version, task_list = "reads", "1", "d"

    def run(self, *args: Any, **kwargs: Any) -> Any:
        done = self.submit(work, "small")
        went = self.submit(self.wait_signal("go"))
        futures.wait(done, went)
        return [list(args), done.result, went.result, went.value]


def stored(folder: Path, value: Any, name: str = "") -> str:
    """Store a value as 0.36 does: under a UUID, in a folder of the bucket; returns the pointer."""
    text = json.dumps(value)
    key = name or str(uuid.uuid4())
    blobs.open_store(f"file://{folder}/with/dir").put(key, text.encode())
    return f"simpleflow+file://{folder}/with/dir/{key} {len(text)}"


def test_pointers_of_0_36_are_followed_in_inputs_results_and_signals(tmp_path: Path) -> None:
    store = jumbo.Store(None)
    path = f"{Reads.__module__}.{Reads.__qualname__}"
    given = stored(tmp_path, {"args": ["x" * 9], "kwargs": {}, "__extra": {"class": path}})
    built = builder.HistoryBuilder(None, given)
    engine = Engine(payloads=converter.Converter())

    def decide() -> Any:
        task = built.begin_decision()
        while isinstance(answer := engine.decide(task), Needs):
            assert answer.blobs
            loaded = {pointer: store.load(pointer) for pointer in answer.blobs}
            task = msgspec.structs.replace(task, blobs={**task.blobs, **loaded})
        return answer.decisions

    first = decide()
    assert [type(each) for each in first] == [decisions.ScheduleActivityTask]
    built.respond(first)
    built.complete_activity("activity-big.work-1", stored(tmp_path, {"rows": [1, 2]}))
    built.signal("go", stored(tmp_path, {"args": [], "kwargs": {"fast": True}, "__propagate": False}))
    (last,) = decide()
    assert isinstance(last, decisions.CompleteWorkflowExecution)
    args, result, went, value = json.loads(last.result or "")
    assert (args, result) == (["x" * 9], {"rows": [1, 2]})
    assert value == {"fast": True}
    assert went["kwargs"] == {"fast": True}


def test_what_cannot_be_followed_says_why(tmp_path: Path) -> None:
    store = jumbo.Store(None)
    assert store.load("simpleflow+ is not a pointer") == "simpleflow+ is not a pointer"
    pointer = stored(tmp_path, "one")
    assert store.load(pointer) == '"one"'
    with pytest.raises(jumbo.BrokenReference, match="leads to nothing"):
        store.load(re.sub(r"/[^/]+ ", f"/{uuid.uuid4()} ", pointer))
    wrong = stored(tmp_path, "other", "a" * 64)
    with pytest.raises(jumbo.BrokenReference, match="its digest differs"):
        store.load(wrong)
    image = str(uuid.uuid4())
    blobs.open_store(f"file://{tmp_path}").put(image, b"\xff\xd8")
    with pytest.raises(jumbo.BrokenReference, match="is not UTF-8 text"):
        store.load(f"simpleflow+file://{tmp_path}/{image} 2")


class Grows(Workflow):
    name, version, task_list = "grows", "1", "d"

    def run(self, text: str, **kwargs: Any) -> int:
        if kwargs.get("child"):
            return len(text)
        child = self.submit(Grows, text + text, child=True)
        return len(text) + child.result + len(self.submit(work, text).result)


def test_a_start_input_over_the_limit_goes_to_the_store(tmp_path: Path) -> None:
    """Of a parent and of its child, whose class only the input names."""
    with inline.Inline(virtual_time=True, jumbo=f"file://{tmp_path}/blobs") as place:
        run = place.start(Grows, {"args": ["x" * 40_000], "kwargs": {}}, workflow_id="w", task_list="inline")
        run = place.run_until_closed("w", run)
        status, last = place.outcome("w", run)
        assert (status, place.load(last.result)) == ("COMPLETED", 40_000 + 80_000 + 40_000)
        request = {"domain": inline.DOMAIN, "execution": {"workflowId": "w", "runId": run}}
        history = place.connection.transport.call("GetWorkflowExecutionHistory", request)
        assert re.fullmatch(
            rf"simpleflow\+file://{tmp_path}/blobs/[0-9a-f]{{64}} \d+", history.events[0].attributes.input
        )
    assert len(list((tmp_path / "blobs").glob("[0-9a-f]*"))) >= 3
