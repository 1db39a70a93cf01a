"""What may stand around the calls of clients, deciders and workers.

One frozen input object per call: a new field never changes a signature. Interceptors are called in the order in
which they were mounted; the first is the outermost. Mounting is the business of a root (the command line, a test).
Tracing, metrics and the publishing of demand are interceptors. Users derive theirs from ``Interceptor`` and name them
in the setting SIMPLEFLOW_INTERCEPTORS; see docs/how-to/observe.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import msgspec

from . import documents

T = TypeVar("T")


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a workflow, as every call that concerns it names it."""

    domain: str
    workflow_id: str
    run_id: str
    #: name and version of the registered type
    workflow_name: str
    workflow_version: str


class StartCall(msgspec.Struct, frozen=True, kw_only=True):
    """A client is about to start an execution. ``request`` is the StartWorkflowExecution request, wire names."""

    domain: str
    workflow_id: str
    task_list: str | None
    request: dict[str, Any]


class ClientCall(msgspec.Struct, frozen=True, kw_only=True):
    """A client is about to do something with one execution, or with one activity task by its token."""

    #: start, signal, cancel, terminate, query, complete_activity, fail_activity, cancel_activity or heartbeat_activity
    what: str
    domain: str
    #: '' of a call by a token
    workflow_id: str = ""
    #: '' where whatever run is open is meant
    run_id: str = ""
    #: of the workflow type that is started, the signal that is sent, or the method that is queried
    name: str = ""


class DecisionReceived(msgspec.Struct, frozen=True, kw_only=True):
    """A decision task was polled; nothing of it was evaluated yet."""

    execution: Execution
    #: id of the DecisionTaskStarted event
    started_event_id: int
    #: epoch seconds
    received: float


class DecisionAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """The service acknowledged the response to a decision task."""

    execution: Execution
    started_event_id: int
    #: what is scheduled and what the program will schedule, by task list and activity type
    demand: tuple[documents.TaskCount, ...]
    #: True when the response closed the execution (continued as new included)
    closed: bool
    #: seconds that the evaluation and the response took
    seconds: float
    #: what the response holds, as SWF names it: ScheduleActivityTask, StartTimer, ...
    decisions: tuple[str, ...] = ()
    #: epoch seconds at which the execution started; None but for its first decision
    started: float | None = None
    #: why the execution does not go on (it cannot be decided here, has diverged, is quarantined); '' when it does
    trouble: str = ""


class ActivityCall(msgspec.Struct, frozen=True, kw_only=True):
    """A task runner is about to run one activity task. ``context`` is what the activity sees as its ``context``."""

    name: str
    version: str
    task_list: str
    context: dict[str, Any]
    #: id of the ActivityTaskStarted event: which attempt this is
    started_event_id: int = 0


class TaskReceived(msgspec.Struct, frozen=True, kw_only=True):
    """A worker took an activity task."""

    domain: str
    workflow_id: str
    run_id: str
    activity_id: str
    #: name and version of the activity type
    name: str
    version: str
    task_list: str
    #: id of the ActivityTaskStarted event: which attempt this is
    started_event_id: int


class TaskAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """A worker is done with an activity task."""

    task: TaskReceived
    #: completed, failed, canceled, left_open, or dropped: nobody waits for its answer
    outcome: str
    #: why it failed, '' when it did not
    reason: str = ""
    #: seconds from its begin until its answer was acknowledged
    seconds: float = 0.0


class ClientInterceptor(Protocol):
    """Around a client's start. Both run in the calling thread; what they raise ends the call."""

    def before_start(self, call: StartCall) -> None: ...

    def after_start(self, call: StartCall, run_id: str) -> None: ...


class DeciderInterceptor(Protocol):
    """Around decision tasks. Called on the decider's polling threads: must be thread safe.

    ``polling`` is called once before the first poll. ``received`` may block: the evaluation starts after it
    returns, and what it raises leaves the task unanswered (the service hands it out again).
    """

    def polling(self) -> None: ...

    def received(self, task: DecisionReceived) -> None: ...

    def answered(self, outcome: DecisionAnswered) -> None: ...

    def stopping(self) -> None: ...


class WorkerInterceptor(Protocol):
    """Around one activity, in its task runner. Returns what the activity returns; raises what it raises."""

    def execute(self, call: ActivityCall, proceed: Callable[[], Any]) -> Any: ...


class CallInterceptor(Protocol):
    """Around what a client does, in the calling thread. Returns what the call returns; raises what it raises."""

    def call(self, call: ClientCall, proceed: Callable[[], Any]) -> Any: ...


class SlotInterceptor(Protocol):
    """Around activity tasks, in the worker's own process, on the threads of its slots: must be thread safe.

    What it raises is logged and changes nothing.
    """

    def task_received(self, task: TaskReceived) -> None: ...

    def task_answered(self, outcome: TaskAnswered) -> None: ...


class Interceptor:
    """What all of these do where nothing is wanted: derive from it, and write the methods that you need.

    One object is made in each process: a client, a decider, a worker, each of its task runners.
    """

    def before_start(self, call: StartCall) -> None:
        """A client is about to start an execution; what this raises ends the call."""

    def after_start(self, call: StartCall, run_id: str) -> None:
        """The execution is started."""

    def call(self, call: ClientCall, proceed: Callable[[], Any]) -> Any:
        """Around each call of a client."""
        return proceed()

    def polling(self) -> None:
        """A decider is about to open its first poll."""

    def received(self, task: DecisionReceived) -> None:
        """A decision task was polled; what this raises leaves it unanswered."""

    def answered(self, outcome: DecisionAnswered) -> None:
        """The response to a decision task was acknowledged."""

    def stopping(self) -> None:
        """A decider, or a task runner, is about to end; it has about a second."""

    def task_received(self, task: TaskReceived) -> None:
        """A worker took an activity task."""

    def task_answered(self, outcome: TaskAnswered) -> None:
        """A worker is done with an activity task."""

    def execute(self, call: ActivityCall, proceed: Callable[[], Any]) -> Any:
        """Around one activity, in its task runner."""
        return proceed()


def around(mounted: Iterable[CallInterceptor], call: ClientCall, proceed: Callable[[], T]) -> T:
    """Do what a client asks for within the interceptors; the first one is the outermost."""
    wrapped: Callable[[], Any] = proceed
    for interceptor in reversed(tuple(mounted)):
        wrapped = _within(interceptor, call, wrapped)
    result: T = wrapped()
    return result


def _within(interceptor: CallInterceptor, call: ClientCall, proceed: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: interceptor.call(call, proceed)
