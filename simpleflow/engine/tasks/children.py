"""Child workflows, and what is read from Workflow classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from simpleflow.core import attributes, decisions, numbers, text, types
from simpleflow.engine.history import identity, records
from simpleflow.engine.program import futures, run

from . import activities, arguments, tasks

#: what a class may say of a child by its arguments
_GETTERS = ("get_workflow_id", "get_task_list", "get_tag_list")


class ChildCall(tasks.TaskCall, eq=False):
    """One child workflow execution."""

    cls: Any = None
    type_name: str = ""
    priority: Any = tasks.UNSET
    task_list: str | None = None
    arguments: tuple[Sequence[Any], Mapping[str, Any]] = ((), {})
    #: what the class says of its tags by its arguments
    tags: tuple[str, ...] | None = None
    prepared: bool = False

    kind: ClassVar[str] = "workflow"
    cap: ClassVar[str] = "workflow"

    @property
    def retry(self) -> Any:
        return getattr(self.cls, "retry", 0)

    @property
    def register(self) -> records.Register:
        register: records.Register = self.evaluation.book.children
        return register

    @property
    def history_name(self) -> str:
        return self.type_name

    def _got(self, getter: str) -> Any:
        args, kwargs = self.arguments
        return got(self.cls, getter, args, kwargs)

    @property
    def needs_values(self) -> bool:
        return any(hasattr(self.cls, getter) for getter in _GETTERS)

    def wire_input(self) -> str:
        return f'{{"__extra":{{"class":{self.evaluation.payloads.encode(self.type_name)}}},{self.text[1:]}'

    def own_id(self) -> str | None:
        if self.needs_values:
            args, kwargs = self.arguments
            self.arguments = (arguments.settled(args), arguments.settled(kwargs))
        given = self._got("get_workflow_id")
        if given:
            return identity.fitting(text.safe(given))
        if getattr(self.cls, "idempotent", False):
            return identity.fitting(self._prefix() + identity.md5(self.text))
        return None

    def _prefix(self, run_id: str | None = None) -> str:
        facts = self.evaluation.facts
        return identity.child_prefix(self.name, facts.workflow_id, run_id or facts.run_id)

    def find(self, text: str, identifier: str | None) -> records.Record | None:
        record = tasks.TaskCall.find(self, text, identifier)
        if record is None and identifier is not None:
            # Of a run that was resumed: its id holds that run's.
            for run_id in self.evaluation.given.copied.runs:
                before = identity.fitting(self._prefix(run_id) + identity.md5(self.text))
                record = record or self.register.claim_by_id(before)
        return record

    def new_id(self) -> str:
        return identity.fitting(f"{self._prefix()}{self.register.next_number(self.type_name)}")

    def _close_record(self) -> None:
        tasks.TaskCall._close_record(self)
        self.evaluation.calls.children.pop(self.seq, None)

    def cancel(self, future: futures.Future[Any]) -> bool:
        done = tasks.TaskCall.cancel(self, future)
        if self.done:
            self.evaluation.calls.children.pop(self.seq, None)
        return done

    def decision(self) -> decisions.Decision | None:
        if self.done:
            return None
        if not self.id:
            self.id = self.new_id()
        if self.record is None:
            self.record = self.register.emitted(self, self.id, self.type_name)
            self.record.watched = self.watched
        cls = self.cls
        return decisions.StartChildWorkflowExecution(
            workflow_type=attributes.Type(name=self.type_name, version=str(cls.version)),
            workflow_id=self.id,
            control=self.own_control(),
            input=self.wire_input(),
            execution_start_to_close_timeout=activities.seconds(getattr(cls, "execution_timeout", None))
            or self.evaluation.given.started.execution_start_to_close_timeout,
            task_list=attributes.Name(name=self.task_list or self.evaluation.given.started.task_list.name),
            task_priority=activities.priority_of(self.evaluation, self.priority, cls),
            task_start_to_close_timeout=activities.seconds(getattr(cls, "decision_tasks_timeout", None))
            or self.evaluation.given.started.task_start_to_close_timeout,
            child_policy=getattr(cls, "child_policy", None) or "TERMINATE",
            tag_list=self.tags,
        )

    def prepare(self) -> None:
        if self.prepared:
            return
        self.prepared = True
        named = self.task_list or self._got("get_task_list") or getattr(self.cls, "task_list", None)
        self.task_list = run.check_name(f"task list of {self.name}", named) if named else None
        self.tags = self._tags()

    def _tags(self) -> tuple[str, ...] | None:
        tags = self._got("get_tag_list")
        if tags is None:
            tags = getattr(self.cls, "tag_list", None)
        if tags is not None and tags is getattr(self.cls, "INHERIT_TAG_LIST", None):
            tags = self.evaluation.given.started.tag_list
        if isinstance(tags, str):
            tags = tags.split(",")
        return tuple(text.safe(tag) for tag in tags or () if tag is not None) or None

    def cancel_decision(self) -> decisions.Decision:
        record = self.record
        # One that is about to start again has no run yet that could be named.
        run_id = record.runs[-1][2] if record is not None and record.started and record.runs else None
        return decisions.RequestCancelExternalWorkflowExecution(workflow_id=self.id, run_id=run_id)

    def missing_type(self) -> types.RegisteredType | None:
        if not self.type_missing:
            return None
        self.type_missing = False
        return types.RegisteredType(kind="workflow", name=self.type_name, version=str(self.cls.version))

    @property
    def declared_timeout(self) -> Mapping[str, tuple[Any, str]]:
        own = getattr(self.cls, "execution_timeout", None)
        if own:
            return {"START_TO_CLOSE": (numbers.seconds(own), "")}
        inherited = self.evaluation.given.started.execution_start_to_close_timeout
        origin = f"the default, its parent's: execution_timeout of {self.cls.__name__} sets another"
        return {"START_TO_CLOSE": (inherited, origin)}


def got(cls: Any, getter: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call an optional getter of a Workflow class: classmethod, staticmethod and plain function alike."""
    function = getattr(cls, getter, None)
    if function is None:
        return None
    for base in cls.__mro__:
        if getter in vars(base):
            if isinstance(vars(base)[getter], staticmethod | classmethod):
                return function(*args, **kwargs)
            return function(cls, *args, **kwargs)
    return function(*args, **kwargs)
