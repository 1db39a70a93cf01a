"""Canvas: groups, chains and functions that become submissions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from simpleflow import activity, base, task
from simpleflow.core import numbers
from simpleflow.engine import api, groups
from simpleflow.engine.program import futures, run
from simpleflow.engine.tasks import tasks
from simpleflow.engine.tasks.members import Member, Members

GroupFuture = groups.GroupFuture
ChainFuture = groups.ChainFuture


def is_workflow(value: Any) -> bool:
    """Whether it is a Workflow class; asked by what one has, so that this module needs none."""
    return isinstance(value, type) and hasattr(value, "get_run_context") and hasattr(value, "run")


def submit(
    owner: base.Owner,
    submittable: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    raises: bool | None = None,
) -> futures.Future[Any]:
    """Do what ``Workflow.submit`` says."""
    executor = owner.executor
    if isinstance(submittable, base.SubmittableContainer):
        return submittable.submit(owner if isinstance(submittable, Group | FuncGroup) else executor)
    if not isinstance(executor, run.Run):
        return _here(executor, submittable, args, kwargs, raises)
    priority = tasks.UNSET
    if "__priority" in kwargs:
        kwargs = dict(kwargs)
        priority = kwargs.pop("__priority")
        if priority is False:  # says nothing, as with 0.36
            priority = tasks.UNSET
        if priority is not tasks.UNSET:
            numbers.priority("__priority", priority)
    if isinstance(submittable, activity.Activity):
        return api.activity(executor, submittable, args, kwargs, priority=priority, raises=raises)
    if is_workflow(submittable):
        return api.child(executor, submittable, args, kwargs, priority=priority, raises=raises)
    if isinstance(submittable, base.Submittable):
        return submittable.submit_to(executor, priority=priority, raises=raises)
    raise TypeError(
        f"{submittable!r} of type {type(submittable).__name__} cannot be submitted: pass an Activity (decorate it with "
        "activity.with_attributes), a Workflow class, a task, or a group, chain or step"
    )


def _here(
    executor: Any, submittable: Any, args: Sequence[Any], kwargs: Mapping[str, Any], raises: bool | None
) -> futures.Future[Any]:
    """Hand it to an executor that is none of the engine's: it runs what it gets, as it likes."""
    if raises is not None and isinstance(submittable, task.ActivityTask):
        submittable = copy.copy(submittable)
        submittable.propagate_attribute("raises_on_failure", raises)
    submitted: futures.Future[Any] = executor.submit(submittable, *args, **kwargs)
    return submitted


class Group(base.SubmittableContainer[list[Any]]):
    """Members side by side. Its future's result is the list of theirs, in order, None for unfinished ones.

    ``raises_on_failure`` applies to the members inside this group only. ``max_parallel`` caps those that are pending
    or running; None and 0 mean no limit. A failed member makes the group raise AggregateException unless
    ``bubbles_exception_on_failure`` is False; with ``raises_on_failure=True`` it also cancels its open siblings.
    ``kind`` is ``group`` or ``chain``.
    """

    kind = "group"

    def __init__(
        self,
        *activities: Any,
        max_parallel: int | None = None,
        raises_on_failure: bool | None = None,
        bubbles_exception_on_failure: bool = True,
        future_class: Any = groups.GroupFuture,
    ) -> None:
        numbers.parallel(f"max_parallel of a {self.kind}", max_parallel)
        self.activities: list[Any] = []
        self.max_parallel = max_parallel
        self.raises_on_failure = raises_on_failure
        self.bubbles_exception_on_failure = bubbles_exception_on_failure
        self.future_class = future_class
        self.extend(activities)

    def append(self, submittable: Any, *args: Any, **kwargs: Any) -> None:
        """Add one member."""
        entry = member(submittable, args, kwargs)
        if self.raises_on_failure is not None:
            _show(entry, self.raises_on_failure)
        self.activities.append(entry)

    def extend(self, iterable: Iterable[Any]) -> None:
        """Add members; a tuple is something to submit and its arguments."""
        for entry in iterable:
            if isinstance(entry, tuple):
                self.append(*entry)
            else:
                self.append(entry)

    def __iadd__(self, iterable: Iterable[Any]) -> Self:
        self.extend(iterable)
        return self

    def propagate_attribute(self, attr: str, val: Any) -> None:
        """Set an attribute on every member, and on this."""
        if attr == "raises_on_failure":
            self.raises_on_failure = val
            return
        for entry in self.activities:
            entry.propagate_attribute(attr, val)

    def submit(self, executor: Any) -> Any:
        """Submit its members; ``executor`` is the workflow's, or the workflow."""
        return self.submit_with(base.workflow_of(executor), None)

    def submit_with(self, workflow: base.Owner, raises: bool | None) -> Any:
        """Submit it inside something whose members raise or do not."""
        chosen = self.raises_on_failure if self.raises_on_failure is not None else raises
        members = [_member(workflow, entry, chosen) for entry in self.activities]
        return self._future(workflow, Members(self.activities, members, chosen))

    def _future(self, workflow: base.Owner, members: Members) -> Any:
        return self.future_class(members, workflow, self.max_parallel, self.bubbles_exception_on_failure)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} activities={self.activities!r}>"


class Chain(Group):
    """Members one after the other.

    ``send_result`` appends each result to the next one's arguments. ``break_on_failure``: nothing follows a failure.
    """

    kind = "chain"

    def __init__(
        self,
        *activities: Any,
        send_result: bool = False,
        break_on_failure: bool = True,
        max_parallel: int | None = None,
        raises_on_failure: bool | None = None,
        bubbles_exception_on_failure: bool | None = None,
        future_class: Any = groups.ChainFuture,
    ) -> None:
        if send_result and not break_on_failure:
            raise ValueError("send_result needs break_on_failure: a failed member has no result to send on")
        if bubbles_exception_on_failure is None:
            bubbles_exception_on_failure = raises_on_failure is not False
        self.send_result = send_result
        self.break_on_failure = break_on_failure
        super().__init__(
            *activities,
            max_parallel=max_parallel,
            raises_on_failure=raises_on_failure,
            bubbles_exception_on_failure=bubbles_exception_on_failure,
            future_class=future_class,
        )

    def _future(self, workflow: base.Owner, members: Members) -> Any:
        return self.future_class(
            members,
            workflow,
            bubbles_exception_on_failure=self.bubbles_exception_on_failure,
            send_result=self.send_result,
            break_on_failure=self.break_on_failure,
        )


class FuncGroup(base.SubmittableContainer[Any]):
    """A function that is called when it is submitted, and returns what is submitted in its place."""

    def __init__(
        self,
        func: Callable[..., Any],
        *args: Any,
        raises_on_failure: bool | None = None,
        _allow_none: bool = False,
        **kwargs: Any,
    ) -> None:
        self.func = func
        self.args = list(args)
        self.kwargs = kwargs
        self.raises_on_failure = raises_on_failure
        self._allow_none = _allow_none
        self._attributes: dict[str, Any] = {}
        #: what the function returned
        self.activities: Any = None

    def propagate_attribute(self, attr: str, val: Any) -> None:
        if attr == "raises_on_failure":
            self.raises_on_failure = val
        else:
            self._attributes[attr] = val

    def submit(self, executor: Any) -> Any:
        """Call the function, and submit what it returns."""
        return self.submit_with(base.workflow_of(executor), None)

    def submit_with(self, workflow: base.Owner, raises: bool | None, more: Sequence[Any] = ()) -> Any:
        """Call the function with further arguments, inside something whose members raise or do not."""
        self.activities = made = self.func(*self.args, *more, **self.kwargs)
        if made is None and self._allow_none:
            made = Group()
        if isinstance(made, futures.Future):
            return made
        if not isinstance(made, base.Submittable | base.SubmittableContainer):
            raise TypeError(
                f"{self.func!r} returned {made!r}: a FuncGroup's function returns a Group, Chain or task to submit"
            )
        for attr, val in self._attributes.items():
            made.propagate_attribute(attr, val)
        chosen = self.raises_on_failure if self.raises_on_failure is not None else raises
        if chosen is not None:
            _show(made, chosen)
        return _submit_member(workflow, made, chosen, ())


def _show(entry: Any, raises: bool) -> None:
    """Let a member show what its group says of failures, down to the next group that says something itself."""
    if isinstance(entry, Group):
        if entry.raises_on_failure is None:
            for inner in entry.activities:
                _show(inner, raises)
    elif isinstance(entry, base.Submittable) or not isinstance(entry, FuncGroup):
        entry.propagate_attribute("raises_on_failure", raises)


def member(submittable: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return what a group keeps of one member."""
    if isinstance(submittable, base.Submittable | base.SubmittableContainer):
        if args or kwargs:
            raise ValueError(f"{submittable!r} has its arguments already")
        return submittable
    if isinstance(submittable, activity.Activity):
        return task.ActivityTask(submittable, *args, **kwargs)
    if is_workflow(submittable):
        return task.ChildWorkflowTask(submittable, *args, **kwargs)
    raise ValueError(f"{submittable!r} cannot be a member: pass an activity, a Workflow class, a task or a group")


def _member(workflow: base.Owner, entry: Any, raises: bool | None) -> Member:
    return lambda *more: _submit_member(workflow, entry, raises, more)


def _submit_member(workflow: base.Owner, entry: Any, raises: bool | None, more: Sequence[Any]) -> futures.Future[Any]:
    if isinstance(entry, FuncGroup):
        # The function runs here and now, and computes with what it gets: the result, as with 0.36, not its future.
        made: futures.Future[Any] = entry.submit_with(
            workflow, raises, [task.get_actual_value(value) for value in more]
        )
        return made
    if isinstance(entry, Group):
        inside: futures.Future[Any] = entry.submit_with(workflow, raises)
        return inside
    if more and isinstance(entry, task.ActivityTask | task.WorkflowTask):
        entry = copy.copy(entry)
        entry.args = [*entry.args, *more]
    return submit(workflow, entry, (), {}, raises)
