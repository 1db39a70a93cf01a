"""Canvas: groups, chains and functions that become submissions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from simpleflow import activity, base, task
from simpleflow.core import numbers
from simpleflow.engine import api, groups
from simpleflow.engine.program import futures
from simpleflow.engine.tasks import tasks

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
    priority = tasks.UNSET
    if "__priority" in kwargs:
        kwargs = dict(kwargs)
        priority = kwargs.pop("__priority")
        if priority is not tasks.UNSET:
            numbers.priority("__priority", priority)
    run_now = getattr(executor, "execute", None)
    if isinstance(submittable, activity.Activity):
        if run_now is not None:
            return _now(run_now, submittable, args, kwargs)
        return api.activity(executor, submittable, args, kwargs, priority=priority, raises=raises)
    if is_workflow(submittable):
        return api.child(executor, submittable, args, kwargs, priority=priority, raises=raises)
    if isinstance(submittable, base.Submittable):
        if run_now is not None and isinstance(submittable, task.ActivityTask):
            return _now(run_now, submittable.activity, submittable.args, submittable.kwargs)
        return submittable.submit_to(executor, priority=priority, raises=raises)
    if isinstance(submittable, base.SubmittableContainer):
        return submittable.submit(owner)
    raise TypeError(
        f"{submittable!r} of type {type(submittable).__name__} cannot be submitted: pass an Activity (decorate it with "
        "activity.with_attributes), a Workflow class, a task, or a group, chain or step"
    )


def _now(run: Callable[..., Any], declared: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> futures.Future[Any]:
    # Outside an evaluation, with a local executor: at once, through the worker's own task function.
    values = [task.get_actual_value(value) for value in args]
    named = {key: task.get_actual_value(value) for key, value in kwargs.items()}
    try:
        return futures.Future.settled(run(declared.name, *values, **named))
    except Exception as error:
        return futures.Future.settled(error=error, raises=bool(declared.raises_on_failure))


class Group(base.SubmittableContainer):
    """Members side by side. Its future's result is the list of theirs, in order, None for unfinished ones.

    ``raises_on_failure`` applies to the members inside this group only. ``max_parallel`` caps those that are pending
    or running; None and 0 mean no limit. A failed member makes the group raise AggregateException unless
    ``bubbles_exception_on_failure`` is False; with ``raises_on_failure=True`` it also cancels its open siblings.
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
        self.activities.append(member(submittable, args, kwargs))

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

    def submit(self, workflow: base.Owner) -> Any:
        return self.submit_with(workflow, None)

    def submit_with(self, workflow: base.Owner, raises: bool | None) -> Any:
        """Submit it inside something whose members raise or do not."""
        chosen = self.raises_on_failure if self.raises_on_failure is not None else raises
        members = [_member(workflow, entry, chosen) for entry in self.activities]
        return self._future(workflow, members, chosen)

    def _future(self, workflow: base.Owner, members: list[groups.Member], chosen: bool | None) -> Any:
        made = self.future_class(self.activities, workflow, self.max_parallel, self.bubbles_exception_on_failure)
        return made.start(members, raises=chosen)


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

    def _future(self, workflow: base.Owner, members: list[groups.Member], chosen: bool | None) -> Any:
        made = self.future_class(
            self.activities,
            workflow,
            self.max_parallel,
            self.bubbles_exception_on_failure,
            send_result=self.send_result,
            break_on_failure=self.break_on_failure,
        )
        return made.start(members, raises=chosen)


class FuncGroup(base.SubmittableContainer):
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

    def propagate_attribute(self, attr: str, val: Any) -> None:
        if attr == "raises_on_failure":
            self.raises_on_failure = val
        else:
            self._attributes[attr] = val

    def submit(self, workflow: base.Owner) -> Any:
        return self.submit_with(workflow, None)

    def submit_with(self, workflow: base.Owner, raises: bool | None) -> Any:
        made = self.func(*self.args, **self.kwargs)
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
        return _submit_member(workflow, made, chosen, ())


def member(submittable: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return what a group keeps of one member."""
    if isinstance(submittable, base.Submittable | base.SubmittableContainer):
        if args or kwargs:
            raise TypeError(f"{submittable!r} has its arguments already")
        return submittable
    if isinstance(submittable, activity.Activity):
        return task.ActivityTask(submittable, *args, **kwargs)
    if is_workflow(submittable):
        return task.ChildWorkflowTask(submittable, *args, **kwargs)
    raise TypeError(f"{submittable!r} cannot be a member: pass an activity, a Workflow class, a task or a group")


def _member(workflow: base.Owner, entry: Any, raises: bool | None) -> groups.Member:
    return lambda *more: _submit_member(workflow, entry, raises, more)


def _submit_member(workflow: base.Owner, entry: Any, raises: bool | None, more: Sequence[Any]) -> futures.Future[Any]:
    if isinstance(entry, base.SubmittableContainer):
        if more and isinstance(entry, FuncGroup):
            # The function runs here and now, and computes with what it gets: the result, as with 0.36, not its future.
            entry = copy.copy(entry)
            entry.args = [*entry.args, *(task.get_actual_value(value) for value in more)]
        if isinstance(entry, Group | FuncGroup):
            inside: futures.Future[Any] = entry.submit_with(workflow, raises)
            return inside
        submitted: futures.Future[Any] = entry.submit(workflow)
        return submitted
    if more and isinstance(entry, task.ActivityTask | task.WorkflowTask):
        entry = copy.copy(entry)
        entry.args = [*entry.args, *more]
    return submit(workflow, entry, (), {}, raises)
