"""``dir()`` and ``help()`` show the public names, and say what each is."""

from __future__ import annotations

import importlib
import inspect
import pydoc
from typing import Any

import pytest

import simpleflow
from simpleflow import Workflow

PUBLIC = {
    "simpleflow.activity": ["Activity", "RetryPolicy", "ActivityTask", "NonPythonicActivityTask"],
    "simpleflow.base": ["Submittable", "SubmittableContainer"],
    "simpleflow.canvas": ["Chain", "ChainFuture", "FuncGroup", "Group", "GroupFuture"],
    "simpleflow.client": ["Client", "Failed"],
    "simpleflow.exceptions": ["AggregateException", "TaskCanceled", "TaskFailed", "TaskTerminated", "TimeoutError"],
    "simpleflow.futures": ["DoneAndNotDone", "Future"],
    "simpleflow.history": ["History"],
    "simpleflow.local": ["Executor"],
    "simpleflow.marker": ["Marker"],
    "simpleflow.metrology": ["MetrologyTask", "MetrologyWorkflow"],
    "simpleflow.signal": ["WaitForSignal"],
    "simpleflow.step.submittable": ["Step"],
    "simpleflow.step.workflow": ["WorkflowStepMixin"],
    "simpleflow.task": ["ChildWorkflowTask", "MarkerTask", "SignalTask", "TaskFailureContext", "TimerTask"],
    "simpleflow.testing": ["Environment", "HistoryBuilder", "Run"],
    "simpleflow.workflow": ["Workflow"],
}
BUILTIN = (BaseException, list, tuple)


def undocumented(cls: type) -> list[str]:
    """Public names of a class that neither have a text nor are named in that of the class."""
    said = " ".join(inspect.cleandoc(base.__doc__ or "") for base in cls.__mro__)
    found = [] if cls.__doc__ else ["the class"]
    for name in dir(cls):
        if name.startswith("_") or any(name in vars(base) for base in BUILTIN):
            continue
        value: Any = inspect.getattr_static(cls, name)
        value = getattr(value, "__func__", value)
        if inspect.isfunction(value) or isinstance(value, property):
            if not inspect.getdoc(value):
                found.append(name)
        elif name not in said:
            found.append(name)
    return found


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in PUBLIC.items() for name in names])
def test_help_says_what_each_public_name_is(module: str, name: str) -> None:
    assert undocumented(getattr(importlib.import_module(module), name)) == []


def test_help_of_a_workflow_tells_every_attribute_that_a_class_may_have() -> None:
    shown = pydoc.plain(pydoc.render_doc(Workflow))
    for attribute in (
        "name", "version", "task_list", "task_priority", "retry", "raises_on_failure", "tag_list", "execution_timeout",
        "decision_tasks_timeout", "child_policy", "idempotent", "max_open_activity_count", "get_workflow_id",
        "propagate_signals_to_parent", "strict", "on_divergence", "resumable",
    ):  # fmt: skip
        assert attribute in shown


def test_dir_shows_the_public_names() -> None:
    names = dir(simpleflow)
    assert {"Activity", "Workflow", "WaitForSignal", "futures", "canvas"} <= set(names)
    assert not [name for name in names if name.startswith("_") and not name.startswith("__")]
