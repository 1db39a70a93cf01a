"""Activity tasks."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from simpleflow.core import attempt, attributes, decisions, events, limits, numbers, text, types
from simpleflow.engine import declared
from simpleflow.engine.history import identity, records
from simpleflow.engine.program import futures, run

from . import arguments, demand, tasks

#: characters of arguments that are within SWF's limit whatever ``meta`` adds
SURE = limits.DATA - 4_096


class Plan(msgspec.Struct, eq=False):
    """What each submission of an activity needs: looked up once per evaluation."""

    #: kept, so that no other activity gets its id
    activity: declared.Activity
    name: str
    #: its row of the demand
    cell: list[int]
    #: its id is its identity, or its input holds more than arguments
    special: bool
    register: records.Register
    #: characters of its ids before their number
    beside: int
    #: type of its results, where they are something else than the decoded ones
    hint: Any = None
    #: its priority is what a property of the workflow says
    computed: bool = False


class ActivityCall(tasks.TaskCall, eq=False):
    """One activity task."""

    activity: declared.Activity = None  # type: ignore[assignment]  # set by who makes it
    cell: list[int] | None = None
    priority: Any = tasks.UNSET
    #: only kept where ``get_task_id`` asks for them
    arguments: tuple[Sequence[Any], Mapping[str, Any]] | None = None
    #: without the envelope, for workers in other languages
    plain: bool = False
    #: where the demand counts it: SCHEDULED, FORESEEN or nowhere any more
    stage: int | None = None
    identified: bool = False
    #: what its attempts reported last, as text
    progress: str | None = None

    kind: ClassVar[str] = "activity"
    cap: ClassVar[str] = "activity"

    @property
    def retry(self) -> Any:
        return self.activity.retry

    def _move(self, stage: int | None) -> None:
        """Count it in another column of the demand, or in none any more."""
        cell = self.cell
        if cell is not None and self.stage != stage:
            if self.stage is not None:
                cell[self.stage] -= 1
            if stage is not None:
                cell[stage] += 1
            self.stage = stage

    @property
    def reads_blobs(self) -> bool:
        return self.plain

    @property
    def needs_values(self) -> bool:
        return self.plain or (self.identified and hasattr(self.activity.callable, "get_task_id"))

    def foreseen(self) -> None:
        if self.missing and self.stage is None and self.cell is not None:
            self.cell = self.evaluation.demand.cell(self.activity, demand.waited_for(self.dependencies or ()))
        self._move(demand.FORESEEN)

    def ready(self, arguments: str) -> None:
        self._move(demand.FORESEEN)
        tasks.TaskCall.ready(self, arguments)

    def claimed(self, record: records.Record) -> None:
        if record.scheduled:
            self._move(demand.SCHEDULED)
        tasks.TaskCall.claimed(self, record)

    def _close_record(self) -> None:
        self.done = True
        if self.stage is not None and self.cell is not None:
            self.cell[self.stage] -= 1
            self.stage = None
        if self.record is not None:
            self.evaluation.book.activities.by_id.pop(self.record.id, None)

    def _join(self, other: tasks.TaskCall) -> None:
        self._move(None)
        tasks.TaskCall._join(self, other)

    def cancel(self, future: futures.Future[Any]) -> bool:
        cancelled = tasks.TaskCall.cancel(self, future)
        if self.done:
            self._move(None)
        return cancelled

    @property
    def register(self) -> records.Register:
        register: records.Register = self.evaluation.book.activities
        return register

    def encode(self, args: Any, kwargs: Any) -> str:
        if self.plain:
            return str(self.evaluation.payloads.encode(args or kwargs))
        return tasks.TaskCall.encode(self, args, kwargs)

    def wire_input(self) -> str:
        meta = self.activity.meta
        if not meta or self.plain:
            return self.text
        return f'{self.text[:-1]},"meta":{self.evaluation.payloads.encode(meta)}}}'

    def _retried_input(self) -> str:
        """The input of an attempt that goes on from what the one before it reported, where that fits."""
        found = self.wire_input()
        if self.progress is None or self.plain:
            return found
        extra = msgspec.json.encode({"last_heartbeat": self.progress}).decode()
        longer = f'{found[:-1]},"__extra":{extra}}}'
        return longer if len(longer) <= limits.DATA else found

    def _failed(self, event: Any) -> None:
        details = event.attributes.details
        reported = details if isinstance(event, events.ActivityTaskTimedOut) else attempt.reported(details)
        if reported is not None:
            self.progress = reported
        tasks.TaskCall._failed(self, event)

    def prepare(self) -> None:
        if self.activity.meta:
            self.wire_input()

    def own_id(self) -> str | None:
        activity = self.activity
        getter = getattr(activity.callable, "get_task_id", None)
        if getter is not None:
            args, kwargs = self.arguments or ((), {})
            args, kwargs = arguments.settled(args), arguments.settled(kwargs)
            suffix = text.safe(getter(self.evaluation.instance, *args, **kwargs))
            return identity.fitting(f"activity-{self.name}-{suffix}")
        if activity.idempotent:
            return identity.fitting(f"activity-{self.name}-{identity.md5(self.text)}")
        return None

    def new_id(self) -> str:
        return identity.fitting(f"activity-{self.name}-{self.register.next_number(self.name)}")

    def decision(self) -> decisions.Decision | None:
        if self.done:
            return None
        if not self.id:
            self.id = self.new_id()
        if self.record is None:
            self.record = self.register.emitted(self, self.id, self.name)
            self.record.watched = self.watched
        self._move(demand.SCHEDULED)
        activity = self.activity
        task_list = self.activity.task_list
        return decisions.ScheduleActivityTask(
            activity_type=attributes.Type(name=activity.name, version=str(activity.version)),
            activity_id=self.id,
            control=self.own_control(),
            input=self.wire_input() if self.progress is None else self._retried_input(),
            schedule_to_close_timeout=seconds(activity.task_schedule_to_close_timeout),
            task_list=None if task_list is None else attributes.Name(name=task_list),
            task_priority=priority_of(self.evaluation, self.priority, activity),
            schedule_to_start_timeout=seconds(activity.task_schedule_to_start_timeout),
            start_to_close_timeout=seconds(activity.task_start_to_close_timeout),
            heartbeat_timeout=seconds(activity.task_heartbeat_timeout),
        )

    def cancel_decision(self) -> decisions.Decision:
        return decisions.RequestCancelActivityTask(activity_id=self.id)

    def missing_type(self) -> types.RegisteredType | None:
        if not self.type_missing:
            return None
        self.type_missing = False
        return types.RegisteredType(kind="activity", name=self.name, version=str(self.activity.version))

    @property
    def declared_timeout(self) -> Mapping[str, tuple[Any, str]]:
        activity = self.activity
        left = getattr(activity, "default_timeouts", {})
        found = {}
        for kind in ("start_to_close", "schedule_to_close", "schedule_to_start", "heartbeat"):
            name = f"task_{kind}_timeout"
            setting = left.get(name)
            origin = f"the default: {kind}_timeout of the activity, or {setting}, sets another" if setting else ""
            seconds = getattr(activity, name)
            if seconds is None:
                origin = f"the default of the registered type: {kind}_timeout of the activity sets another"
            found[kind.upper()] = (seconds, origin)
        return found


def plan(evaluation: run.Run, activity: declared.Activity) -> Plan:
    """Return what each submission of an activity needs."""
    special = bool(activity.idempotent) or bool(activity.meta) or hasattr(activity.callable, "get_task_id")
    made = evaluation.plans[id(activity)] = Plan(
        activity,
        activity.name,
        evaluation.demand.cell(activity),
        special,
        evaluation.book.activities,
        len(activity.name) + records.BESIDE,
        evaluation.payloads.result_hint(activity.callable),
        is_computed(evaluation, activity),
    )
    return made


def is_computed(evaluation: run.Run, of: object) -> bool:
    """Whether the priority of such a task is what a property of the workflow says when it is submitted."""
    computed = hasattr(type(getattr(evaluation.facts.cls, "task_priority", None)), "__get__")
    return computed and getattr(of, "task_priority", tasks.UNSET) is tasks.UNSET


def priority_of(evaluation: run.Run, given: Any, of: object) -> str | None:
    """Return the priority of a submission: what was given, else the task's own, else the workflow's."""
    for priority in (
        given,
        getattr(of, "task_priority", tasks.UNSET),
        evaluation.declared("task_priority"),
    ):
        if priority is not tasks.UNSET:
            return numbers.priority("task_priority", priority)
    return None


@functools.lru_cache(maxsize=1024)
def seconds(value: Any) -> str | None:
    """Return a declared timeout as SWF wants it; None: it is left out."""
    return numbers.timeout("timeout", value)


def of_record(evaluation: run.Run, record: records.Record, future: futures.Future[Any]) -> ActivityCall:
    """Return the call that ``submit`` did not make."""
    call = ActivityCall(evaluation, 0, record.name, record.branch, (future,))
    call.activity = record.activity
    call.ordinal = record.ordinal
    call.text = record.attributes.input
    call.id = record.id
    call.record = record
    call.done = future._kind != futures.OPEN
    if record.call is future:
        record.call = call
    return call
