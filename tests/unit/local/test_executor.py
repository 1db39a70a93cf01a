"""The local executor raises what the workflow raised."""

from __future__ import annotations

from typing import Any

import pytest

from simpleflow import Workflow, activity, exceptions
from simpleflow.local.executor import Executor, WorkflowFailed


class Odd(Exception):
    """The program's own."""


@activity.with_attributes(raises_on_failure=True)
def breaks() -> None:
    raise KeyError("k")


class Base(Workflow):
    version, task_list = "1", "d"


class Raises(Base):
    name = "raises"

    def run(self, what: str) -> Any:
        if what == "own":
            raise Odd(what)
        if what == "fail":
            self.fail("no luck")
        return self.submit(breaks).result


class Parent(Base):
    name = "parent"

    def run(self, what: str) -> Any:
        return self.submit(Raises, what).result


def test_run_raises_the_programs_own_exception() -> None:
    executor = Executor(Raises)
    with pytest.raises(Odd, match="own"):
        executor.run({"args": ["own"]})
    assert "Odd(own)" in str(executor.reason)


@pytest.mark.parametrize("program", [Raises, Parent])
def test_run_raises_the_failure_of_a_task(program: type) -> None:
    with pytest.raises(exceptions.TaskFailed) as raised:
        Executor(program).run({"args": ["task"]})
    assert "KeyError" in str(raised.value.reason)


def test_a_workflow_that_says_that_it_fails_raises_workflow_failed() -> None:
    with pytest.raises(WorkflowFailed, match="no luck"):
        Executor(Raises).run({"args": ["fail"]})
