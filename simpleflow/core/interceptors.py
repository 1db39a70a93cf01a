"""What may stand around the calls of clients, deciders and workers.

One frozen input object per call: a new field never changes a signature. Interceptors are called in the order in
which they were mounted; the first is the outermost. Mounting is the business of a root (the command line, a test).
Middleware, tracing, metrics, rate limits and the publishing of demand are interceptors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from . import documents


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


class ActivityCall(msgspec.Struct, frozen=True, kw_only=True):
    """A task runner is about to run one activity task. ``context`` is what the activity sees as its ``context``."""

    name: str
    version: str
    task_list: str
    context: dict[str, Any]


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
