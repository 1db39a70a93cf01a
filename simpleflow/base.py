"""What ``Workflow.submit`` accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from simpleflow.engine.program import futures

T_co = TypeVar("T_co", covariant=True)

if TYPE_CHECKING:  # a default, so that programs may write ``task.ActivityTask`` without one
    import typing_extensions

    Result = typing_extensions.TypeVar("Result", covariant=True, default=Any)
else:
    #: what the future of a submission gives
    Result = TypeVar("Result", covariant=True)


class Owner(Protocol):
    """What submits: a workflow, as what it submits sees it."""

    @property
    def executor(self) -> Any: ...


class Runs(Protocol[T_co]):
    """A workflow class as type checkers see it: what its ``run()`` returns is the result of its future."""

    def run(self, *args: Any, **kwargs: Any) -> T_co: ...


class Executes(Protocol[T_co]):
    """A class activity as type checkers see it."""

    def execute(self) -> T_co: ...


def workflow_of(given: Any) -> Any:
    """Return the workflow of what a container is given to submit itself to: a workflow, or its executor."""
    return given if hasattr(given, "executor") else given.workflow


class Submittable(Generic[Result]):
    """Something that one submission turns into one future, of a ``Result``."""

    def submit_to(self, executor: Any, *, priority: Any = None, raises: bool | None = None) -> futures.Future[Result]:
        """Submit it to the engine; ``priority`` and ``raises`` override what it declares.

        One of a program's own has ``execute()``: it is called in each replay, beside ``run()``, so it must be a
        function of what it is made with.
        """
        execute = getattr(self, "execute", None)
        if execute is None:
            raise TypeError(f"{self!r} cannot be submitted: give {type(self).__name__} an execute() or a submit_to()")
        future: futures.Future[Result] = futures.Future()
        try:
            future.set_finished(execute())
        except Exception as error:
            future.set_exception(error)
        return future

    def propagate_attribute(self, attr: str, val: Any) -> None:
        """Set an attribute on what it runs, where that has one."""
        if hasattr(self, attr):
            setattr(self, attr, val)


class SubmittableContainer(Generic[Result]):
    """Something that is made of submissions: a group, a chain, a step. Its future is of a ``Result``."""

    def submit(self, executor: Any) -> futures.Future[Result]:
        """Submit what it is made of by ``executor.workflow.submit()``; return a future."""
        raise NotImplementedError(f"{type(self).__name__} has no submit()")

    def propagate_attribute(self, attr: str, val: Any) -> None:
        """Set an attribute on everything that it is made of; one that is made of nothing ignores it."""
