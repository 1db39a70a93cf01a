"""What goes into an engine and what comes out: one frozen object each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from simpleflow.core import decisions, documents, events, types


class DecisionTask(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one PollForDecisionTask returned, and what an earlier ``Needs`` asked for."""

    domain: str
    workflow_id: str
    run_id: str
    #: the registered type
    workflow_name: str
    workflow_version: str
    #: the DecisionTaskStarted event of the last completed decision (0: none), and of this one
    previous_started_event_id: int
    started_event_id: int
    #: in ascending order of their ids; from the first event, or from the one after the previous decision's start
    events: tuple[events.Event, ...]
    #: ``events`` begin with the execution's first event
    complete: bool = False
    #: pointer of a jumbo value -> its text
    blobs: Mapping[str, str] = {}
    #: key of a local activity -> what it returned
    local: Mapping[str, LocalResult] = {}
    #: answer with what is there: local activities that did not run yet are asked for at the next decision
    hurried: bool = False


class LocalActivity(msgspec.Struct, frozen=True, kw_only=True):
    """A local activity that the caller runs beside the decider."""

    key: str
    #: the activity's dotted name, and its input envelope as text
    name: str
    input: str
    #: the module that declares it: to be imported before the name is looked up
    module: str = ""
    #: seconds that it may take, as its author declared; None: not declared
    timeout: float | None = None
    #: the key under which the history records how its last attempt ended
    recorded: str = ""
    #: seconds to wait before it runs, as far as the decision has time: it is another attempt
    delay: float = 0.0


class LocalResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a local activity ended: ``result`` as JSON text, or ``reason`` (and ``details``) of its failure."""

    result: str | None = None
    reason: str | None = None
    details: str | None = None


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What only the caller can get; it gets it off the engine's thread and calls ``decide`` again with it."""

    #: the whole history, from the first event to this decision's start
    history: bool = False
    #: pointers of jumbo values whose text the program reads
    blobs: tuple[str, ...] = ()
    local: tuple[LocalActivity, ...] = ()
    #: with ``local``: seconds that the decision may take in all; None: no limit
    seconds: float | None = None


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one decision task."""

    decisions: tuple[decisions.Decision, ...] = ()
    #: types to register before the answer is sent: earlier scheduling failed for lack of them
    types: tuple[types.RegisteredType, ...] = ()
    #: text for people and tools; None leaves what the last decision said
    execution_context: str | None = None
    #: tasks that are scheduled, and those that the program waits to submit, by task list and activity type
    demand: tuple[documents.TaskCount, ...] = ()
    #: what to log: divergence with its diff, abandoned tasks, advice; one sentence each
    diagnostics: tuple[str, ...] = ()
    #: the program and the history diverged: the diff, as shown to people
    divergence: str | None = None
    #: they diverged, and it goes on in spite of it (``on_divergence = "warn"``): the diff
    warned: str | None = None


class NeedHistory(BaseException):
    """A hook reads the history, of which only the new part is here: the caller brings all of it."""


class NeedBlob(BaseException):
    """Values in blobs, named by its arguments, must be here before anything goes on: the caller brings them."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an evaluation ended."""

    #: completed, failed, canceled or continued_as_new
    status: str
    decision: decisions.Decision
    #: nothing else is sent with it
    alone: bool = False
    #: run() ended by a cancel request: of what is left only shielded clean-ups and markers are sent with it
    by_request: bool = False
    #: a FailWorkflowExecution for what ``run()`` raised, for the hook
    reason: str = ""
    details: str | None = None
    #: reason and details that ``run()`` gave to ``fail()``: what its hook gets
    given: tuple[str, Any] | None = None
    #: what ``run()`` or a hook raised
    error: BaseException | None = None
