"""What ``Workflow.submit`` accepts."""

from __future__ import annotations

from typing import Any, Protocol

from simpleflow.engine.program import futures


class Owner(Protocol):
    """What submits: a workflow, as what it submits sees it."""

    @property
    def executor(self) -> Any: ...


def workflow_of(given: Any) -> Any:
    """Return the workflow of what a container is given to submit itself to: a workflow, or its executor."""
    return given if hasattr(given, "executor") else given.workflow


class Submittable:
    """Something that one submission turns into one future."""

    def submit_to(self, executor: Any, *, priority: Any = None, raises: bool | None = None) -> futures.Future[Any]:
        """Submit it to the engine; ``priority`` and ``raises`` override what it declares.

        One of a program's own has ``execute()``: it is called in each replay, beside ``run()``, so it must be a
        function of what it is made with.
        """
        execute = getattr(self, "execute", None)
        if execute is None:
            raise TypeError(f"{self!r} cannot be submitted: give {type(self).__name__} an execute() or a submit_to()")
        future: futures.Future[Any] = futures.Future()
        try:
            future.set_finished(execute())
        except Exception as error:
            future.set_exception(error)
        return future

    def propagate_attribute(self, attr: str, val: Any) -> None:
        """Set an attribute on what it runs, where that has one."""
        if hasattr(self, attr):
            setattr(self, attr, val)


class SubmittableContainer:
    """Something that is made of submissions: a group, a chain, a step."""

    def submit(self, executor: Any) -> futures.Future[Any]:
        """Submit what it is made of by ``executor.workflow.submit()``; return a future."""
        raise NotImplementedError(f"{type(self).__name__} has no submit()")

    def propagate_attribute(self, attr: str, val: Any) -> None:
        """Set an attribute on everything that it is made of; one that is made of nothing ignores it."""
