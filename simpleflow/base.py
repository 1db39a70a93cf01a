"""What ``Workflow.submit`` accepts."""

from __future__ import annotations

import abc
from typing import Any, Protocol

from simpleflow.engine.program import futures


class Owner(Protocol):
    """What submits: a workflow, as what it submits sees it."""

    @property
    def executor(self) -> Any: ...


def workflow_of(given: Any) -> Any:
    """Return the workflow of what a container is given to submit itself to: a workflow, or its executor."""
    return given if hasattr(given, "executor") else given.workflow


class Submittable(abc.ABC):
    """Something that one submission turns into one future."""

    @abc.abstractmethod
    def submit_to(self, executor: Any, *, priority: Any = None, raises: bool | None = None) -> futures.Future[Any]:
        """Submit it to the engine; ``priority`` and ``raises`` override what it declares."""

    def propagate_attribute(self, attr: str, val: Any) -> None:
        """Set an attribute on what it runs, where that has one."""
        if hasattr(self, attr):
            setattr(self, attr, val)


class SubmittableContainer(abc.ABC):
    """Something that is made of submissions: a group, a chain, a step."""

    @abc.abstractmethod
    def submit(self, workflow: Owner) -> futures.Future[Any]:
        """Submit what it is made of."""

    @abc.abstractmethod
    def propagate_attribute(self, attr: str, val: Any) -> None:
        """Set an attribute on everything that it is made of."""
