"""Activities: functions and classes that workers run.

    @activity.with_attributes(task_list="render", retry=2, raises_on_failure=True)
    def render(scene: str, frame: int) -> str: ...

Outside ``run()`` an activity is called like a function, for unit tests.
"""

from __future__ import annotations

import abc
import copy
import datetime
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from simpleflow import base, registry, settings
from simpleflow.base import Result
from simpleflow.core import attempt, errors, interrupts, numbers
from simpleflow.engine import api, declared
from simpleflow.engine.program import futures, run
from simpleflow.engine.tasks import failures, tasks

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
#: seconds as a number or as decimal text, or a timedelta; None or 0: the key is left out
Timeout = numbers.Duration | None

#: the task says nothing about its priority: the workflow's holds
PRIORITY_NOT_SET: Any = tasks.UNSET
RetryPolicy = failures.RetryPolicy
_KEEP: Any = object()

#: what the code of an activity calls while it runs; see docs/how-to/activities.md
heartbeat = attempt.heartbeat
last_heartbeat = attempt.last_heartbeat
cancel_requested = attempt.cancel_requested
task_token = attempt.task_token
complete_later = attempt.complete_later
CompletedLater = attempt.CompletedLater
#: raised in the code of an activity that shall end: its cancellation is requested, or its worker ends
Interruption = interrupts.Interruption


class _Setting:
    """Stands for the value that a setting has when an activity is declared."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"settings.{self.name}"


_VERSION: Any = _Setting("ACTIVITY_DEFAULT_VERSION")
_TASK_LIST: Any = _Setting("ACTIVITY_DEFAULT_TASK_LIST")
_START_TO_CLOSE: Any = _Setting("ACTIVITY_START_TO_CLOSE_TIMEOUT")
_SCHEDULE_TO_CLOSE: Any = _Setting("ACTIVITY_SCHEDULE_TO_CLOSE_TIMEOUT")
_SCHEDULE_TO_START: Any = _Setting("ACTIVITY_SCHEDULE_TO_START_TIMEOUT")
_HEARTBEAT: Any = _Setting("ACTIVITY_HEARTBEAT_TIMEOUT")


class Activity(Generic[P, R]):
    """A callable and the attributes of its activity type. Called outside a workflow it just runs, for unit tests."""

    def __init__(
        self,
        callable: Callable[P, R],
        name: str | None = None,
        version: str | None = None,
        task_list: str | None = None,
        retry: int | failures.RetryPolicy = 0,
        raises_on_failure: bool = False,
        start_to_close_timeout: Timeout = None,
        schedule_to_close_timeout: Timeout = None,
        schedule_to_start_timeout: Timeout = None,
        heartbeat_timeout: Timeout = None,
        task_priority: Any = PRIORITY_NOT_SET,
        idempotent: bool | None = None,
        meta: Mapping[str, Any] | None = None,
        cleanup: Callable[..., object] | None = None,
        survives_close: bool = False,
    ) -> None:
        self._callable = callable
        self._name = name
        self.name = self._full_name()
        self.version = version
        self.task_list = task_list
        self.retry = retry
        self.raises_on_failure = raises_on_failure
        self.task_start_to_close_timeout = start_to_close_timeout
        self.task_schedule_to_close_timeout = schedule_to_close_timeout
        self.task_schedule_to_start_timeout = schedule_to_start_timeout
        self.task_heartbeat_timeout = heartbeat_timeout
        self.task_priority = task_priority
        self.idempotent = idempotent
        self.meta = dict(meta) if meta else None
        #: called with the activity's arguments, in a process of its own, when a task was ended from outside
        self.cleanup = cleanup
        #: a task that is closed at the service runs on to its end
        self.survives_close = survives_close
        self.__doc__ = getattr(callable, "__doc__", None)
        #: timeout -> the setting that it was left to
        self.default_timeouts: dict[str, str] = {}
        self.register()

    if not TYPE_CHECKING:  # type checkers would let every attribute be assigned

        def __setattr__(self, name: str, value: Any) -> None:
            # One place for the constructor, options(), propagate_attribute() and plain assignments.
            check = _CHECKS.get(name)
            if check is not None:
                check(f"{_FIELDS.get(name, name)} of activity {self.__dict__.get('name', '')}", value)
            if name in _FIELDS and isinstance(value, datetime.timedelta):
                value = value.total_seconds()
            if name in self.__dict__.get("default_timeouts", ()):
                others = {key: setting for key, setting in self.default_timeouts.items() if key != name}
                super().__setattr__("default_timeouts", others)
            super().__setattr__(name, value)

    def _full_name(self) -> str:
        if self._name is not None:
            return self._name
        target: Any = self._callable
        own = target.__dict__.get("name") if isinstance(target, type) else getattr(target, "name", None)
        if isinstance(own, str):
            return own
        named = target if hasattr(target, "__qualname__") else type(target)
        module = getattr(target, "__module__", None) or named.__module__
        return f"{module}.{getattr(named, '__name__', type(target).__name__)}"

    @property
    def callable(self) -> Callable[P, R]:
        """The function or class itself."""
        return self._callable

    @property
    def context(self) -> Any:
        """The task that the worker runs now, as it described it to the callable."""
        return getattr(self._callable, "context", None)

    def register(self) -> None:
        """Add it to ``registry.registry``; the constructor does so already."""
        registry.registry.register(self)

    def propagate_attribute(self, attr: str, val: Any) -> None:
        """Set one of the attributes."""
        if not hasattr(self, attr):
            raise errors.Misuse(f"an activity has no attribute {attr!r}")
        setattr(self, attr, val)

    def options(
        self,
        *,
        task_list: str | None = _KEEP,
        version: str | None = _KEEP,
        retry: int | failures.RetryPolicy = _KEEP,
        raises_on_failure: bool = _KEEP,
        start_to_close_timeout: Timeout = _KEEP,
        schedule_to_close_timeout: Timeout = _KEEP,
        schedule_to_start_timeout: Timeout = _KEEP,
        heartbeat_timeout: Timeout = _KEEP,
        task_priority: Any = _KEEP,
        idempotent: bool | None = _KEEP,
        meta: Mapping[str, Any] | None = _KEEP,
    ) -> Activity[P, R]:
        """Return a copy for one submission: ``submit(render.options(task_list="gpu"), scene)``."""
        given = {
            "task_list": task_list,
            "version": version,
            "retry": retry,
            "raises_on_failure": raises_on_failure,
            "task_start_to_close_timeout": start_to_close_timeout,
            "task_schedule_to_close_timeout": schedule_to_close_timeout,
            "task_schedule_to_start_timeout": schedule_to_start_timeout,
            "task_heartbeat_timeout": heartbeat_timeout,
            "task_priority": task_priority,
            "idempotent": idempotent,
            "meta": meta,
        }
        other = copy.copy(self)
        for name, value in given.items():
            if value is not _KEEP:
                setattr(other, name, value)
        return other

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it; inside ``run()`` return what can be submitted instead: ``self.submit(Foo(bar))``."""
        if run.current() is not None:
            bound: Any = ActivityTask[R](self, *args, **kwargs)
            return bound  # type: ignore[no-any-return]  # typed as what a unit test gets
        target: Any = self._callable
        if isinstance(target, type):
            instance: Any = target(*args, **kwargs)
            result: R = instance.execute()
            if hasattr(instance, "post_execute"):
                instance.post_execute()
            return result
        called: R = target(*args, **kwargs)
        return called

    def __eq__(self, other: object) -> bool:
        """A copy with other options, such as a group makes for its members, is the same activity."""
        return isinstance(other, Activity) and self._callable is other._callable and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Activity(name={self.name}, version={self.version}, task_list={self.task_list}, retry={self.retry})"


def _check_priority(field: str, value: Any) -> None:
    if value is not PRIORITY_NOT_SET:
        numbers.priority(field, value)


_TIMEOUTS = ("start_to_close", "schedule_to_close", "schedule_to_start", "heartbeat")
#: attribute -> the check of its numbers
_CHECKS: Mapping[str, Callable[[str, Any], object]] = {
    "name": declared.check_text,
    "version": declared.check_version,
    "task_list": declared.check_text,
    "retry": declared.check_retry,
    "task_priority": _check_priority,
    **{f"task_{kind}_timeout": numbers.timeout for kind in _TIMEOUTS},
}
#: attribute -> its name in messages, where another one is given
_FIELDS = {f"task_{kind}_timeout": f"{kind}_timeout" for kind in _TIMEOUTS}


class Decorator:
    """What ``with_attributes`` returns: makes an Activity of a function or a class."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._attributes = attributes

    @overload
    def __call__(self, target: Callable[P, base.Executes[R]]) -> Activity[P, R]: ...

    @overload
    def __call__(self, target: Callable[P, R]) -> Activity[P, R]: ...

    def __call__(self, target: Any) -> Activity[Any, Any]:
        left = {name: value.name for name, value in self._attributes.items() if isinstance(value, _Setting)}
        made = Activity(target, **{**self._attributes, **{name: getattr(settings, of) for name, of in left.items()}})
        made.default_timeouts = {f"task_{name}": of for name, of in left.items() if name.endswith("_timeout")}
        return made


def with_attributes(
    name: str | None = None,
    version: str | None = _VERSION,
    task_list: str | None = _TASK_LIST,
    task_priority: Any = PRIORITY_NOT_SET,
    retry: int | failures.RetryPolicy = 0,
    raises_on_failure: bool = False,
    start_to_close_timeout: Timeout = _START_TO_CLOSE,
    schedule_to_close_timeout: Timeout = _SCHEDULE_TO_CLOSE,
    schedule_to_start_timeout: Timeout = _SCHEDULE_TO_START,
    heartbeat_timeout: Timeout = _HEARTBEAT,
    idempotent: bool | None = None,
    meta: Mapping[str, Any] | None = None,
    cleanup: Callable[..., object] | None = None,
    survives_close: bool = False,
) -> Decorator:
    """Make an activity of a function, or of a class with ``execute()``.

    Args:
        name: name of the activity type; default: the dotted name of the function or class.
        version: version of the activity type.
        task_list: the task list of its workers.
        task_priority: a whole number; higher ones are handed out first.
        retry: attempts after the first one, or a RetryPolicy.
        raises_on_failure: whether a failure is raised where ``result`` is read; otherwise ``result`` is None, and
            ``exception`` has the failure.
        start_to_close_timeout, schedule_to_close_timeout, schedule_to_start_timeout, heartbeat_timeout: seconds, or
            timedeltas, of one attempt.
        idempotent: whether submissions with equal arguments in one run are one task.
        meta: JSON that travels with the input of each task, such as the programs that it needs.
        cleanup: a function that is called with the same arguments when a task was ended from outside: timed out,
            cancelled, closed, its process killed.
        survives_close: whether a task that the service has closed runs to its end; nobody gets its result.

    Raises BadNumber for a timeout, priority or retry that the service would refuse.
    """
    return Decorator(
        {
            "name": name,
            "version": version,
            "task_list": task_list,
            "task_priority": task_priority,
            "retry": retry,
            "raises_on_failure": raises_on_failure,
            "start_to_close_timeout": start_to_close_timeout,
            "schedule_to_close_timeout": schedule_to_close_timeout,
            "schedule_to_start_timeout": schedule_to_start_timeout,
            "heartbeat_timeout": heartbeat_timeout,
            "idempotent": idempotent,
            "meta": meta,
            "cleanup": cleanup,
            "survives_close": survives_close,
        }
    )


def get_actual_value(value: Any) -> Any:
    """Return the result of a future, any other value as it is."""
    return value.result if isinstance(value, futures.Future) else value


class Task(base.Submittable[Result]):
    """One submission."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """As it stands in ids and messages."""

    @staticmethod
    def resolve_args(*args: Any) -> list[Any]:
        """Return the arguments with the results of futures in their places."""
        return [get_actual_value(value) for value in args]

    @staticmethod
    def resolve_kwargs(**kwargs: Any) -> dict[str, Any]:
        """Return the keyword arguments with the results of futures in their places."""
        return {key: get_actual_value(value) for key, value in kwargs.items()}


class ActivityTask(Task[Result]):
    """An activity with its arguments, which may be futures that are not done yet, in lists and dictionaries too.

    ``plain``: whether the arguments are sent without the envelope of args and kwargs.
    """

    @overload
    def __init__(
        self: ActivityTask[T], activity: Activity[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any
    ) -> None: ...

    @overload
    def __init__(self, activity: Activity[..., Result], *args: Any, **kwargs: Any) -> None: ...

    def __init__(self, activity: Activity[..., Any], *args: Any, **kwargs: Any) -> None:
        # 0.36 reserves these for workers.
        self.context = kwargs.pop("context", None)
        self.simpleflow_middlewares = kwargs.pop("simpleflow_middlewares", None)
        self.activity = activity
        self.args = list(args)
        self.kwargs = kwargs

    @property
    def name(self) -> str:
        """``activity-`` and the name of the type."""
        return f"activity-{self.activity.name}"

    @property
    def idempotent(self) -> bool | None:
        """Whether equal arguments are one task."""
        return self.activity.idempotent

    def propagate_attribute(self, attr: str, val: Any) -> None:
        self.activity = activity_with(self.activity, attr, val)

    def execute(self) -> Any:
        """Run it here and now."""
        return self.activity(*self.resolve_args(*self.args), **self.resolve_kwargs(**self.kwargs))

    def submit_to(
        self, executor: Any, *, priority: Any = tasks.UNSET, raises: bool | None = None
    ) -> futures.Future[Result]:
        return api.activity(
            executor, self.activity, self.args, self.kwargs, priority=priority, raises=raises, plain=self.plain
        )

    #: sent without the envelope
    plain = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.activity.name}, args={self.args}, kwargs={self.kwargs})"


class NonPythonicActivityTask(ActivityTask[Result]):
    """An activity of a worker in another language: its input is the bare list, or the bare object, of arguments."""

    plain = True

    def __init__(self, activity: Activity[..., Result], *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError("positional or keyword arguments, not both: the input is one list or one object")
        super().__init__(activity, *args, **kwargs)


def activity_with(declared: Activity[Any, Any], attr: str, val: Any) -> Activity[Any, Any]:
    """Return a copy of an activity with one attribute changed: the shared object stays as it is."""
    other = copy.copy(declared)
    other.propagate_attribute(attr, val)
    return other
