"""Plays an execution decision by decision, and holds the resumed evaluation against one from the start each time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from simpleflow import activity, engine
from simpleflow.core import decisions, events
from simpleflow.runtime import stores
from simpleflow.testing.histories import builder as histories

#: what our tests' activities return for each name, unless the test says otherwise
NULL = "null"


def act(name: str, **options: Any) -> Any:
    """An activity of this name that nothing here ever calls."""

    def called(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"{name} was called: decisions run no activity")

    options = {"version": "1", "task_list": "list", **options}
    return activity.with_attributes(name=name, **options)(called)


def new_engine(*workflows: type, **options: Any) -> engine.Engine:
    return engine.Engine(workflows=workflows, payloads=stores.payloads(), **options)


def show(made: Iterable[decisions.Decision]) -> list[str]:
    """Decisions as short lines: ``ScheduleActivityTask activity-a-1``."""
    lines = []
    for decision in made:
        name = next(
            (
                str(getattr(decision, member))
                for member in ("activity_id", "timer_id", "marker_name", "signal_name", "workflow_id")
                if getattr(decision, member, None)
            ),
            "",
        )
        lines.append(f"{type(decision).__name__} {name}".strip())
    return lines


class Play:
    """One execution of a class: ``decide`` makes the waiting decision, ``history`` lets things happen in between.

    ``check``: make each decision again from the start with a new engine, and assert that it is the same.
    """

    def __init__(
        self,
        workflow: type,
        *args: Any,
        check: bool = True,
        strip_control: bool = False,
        options: dict[str, Any] | None = None,
        others: tuple[type, ...] = (),
        engines: Callable[..., engine.Engine] = new_engine,
        **kwargs: Any,
    ) -> None:
        self.workflows: tuple[type, ...] = (workflow, *others)
        self.history = histories.HistoryBuilder(workflow, {"args": list(args), "kwargs": kwargs}, **(options or {}))
        self.engines = engines
        self.engine = engines(*self.workflows)
        self.check = check
        self.strip_control = strip_control
        #: text of blobs, and results of local activities, that the engine may ask for
        self.blobs: dict[str, str] = {}
        self.local: dict[str, engine.LocalResult] = {}
        #: local activities of a decision after which there is no time for more
        self.hurried_after: int | None = None
        #: what the engine asked for, in order
        self.needs: list[engine.Needs] = []
        self.last: engine.Decided = engine.Decided()
        #: ids of the DecisionTaskStarted events of the decisions made
        self.started: list[int] = []

    # --- decisions

    def decide(
        self,
        during: Callable[[], None] | None = None,
        *,
        acknowledge: bool = True,
        respond: bool = True,
        overlap: int = 0,
    ) -> list[str]:
        """Make the waiting decision and let SWF take it; ``during``: what happens while it runs."""
        task = self.history.begin_decision(whole=False, overlap=overlap)
        return self.answer(task, during, acknowledge=acknowledge, respond=respond)

    def answer(
        self,
        task: engine.DecisionTask,
        during: Callable[[], None] | None = None,
        *,
        acknowledge: bool = True,
        respond: bool = True,
    ) -> list[str]:
        self.started.append(task.started_event_id)
        decided = self.resolved(self.engine, task)
        if self.check:
            assert_same(decided, self.scratch(task))
        if during is not None:
            during()
        self.last = decided
        if respond:
            made = decided.decisions
            if self.strip_control:
                made = tuple(
                    msgspec.structs.replace(decision, control=None) if hasattr(decision, "control") else decision
                    for decision in made
                )
            self.history.respond(made, decided.execution_context)
            closing = any(isinstance(decision, decisions.CLOSING) for decision in made)
            if closing and self.history.open.closed is None:
                self.engine.forget(self.history.run_id)  # the close failed: its hooks are for the one that succeeds
            elif acknowledge:
                self.engine.acknowledged(self.history.run_id, task.started_event_id)
        return show(decided.decisions)

    def scratch(self, task: engine.DecisionTask) -> engine.Decided:
        """The same decision by an engine that never heard of this execution."""
        return self.resolved(self.engines(*self.workflows), self.history.task() if task.events[0].id != 1 else task)

    def resolved(self, running: engine.Engine, task: engine.DecisionTask) -> engine.Decided:
        """Decide, answering what the engine needs as a decider would."""
        for _ in range(20):
            decided = running.decide(task)
            if isinstance(decided, engine.Decided):
                return decided
            self.needs.append(decided)
            if decided.history:
                task = msgspec.structs.replace(
                    task, events=tuple(self.history.events[: task.started_event_id]), complete=True
                )
            if decided.local and len(task.local) == self.hurried_after:
                task = msgspec.structs.replace(task, hurried=True)
                continue
            task = msgspec.structs.replace(
                task,
                blobs={**task.blobs, **{pointer: self.blobs[pointer] for pointer in decided.blobs}},
                local={**task.local, **{asked.key: self.local[asked.key] for asked in decided.local}},
            )
        raise AssertionError(f"the engine asks again and again: {decided}")

    def evict(self) -> None:
        """Another decider takes over: nothing is cached."""
        self.engine = self.engines(*self.workflows)

    def deploy(self, workflow: type, *others: type) -> None:
        """Another version of the code takes over."""
        self.workflows = (workflow, *others)
        self.evict()

    # --- what happened

    def complete(self, activity_id: str, value: Any = None) -> None:
        self.history.complete_activity(activity_id, json.dumps(value, separators=(",", ":")))

    def signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        self.history.signal(name, json.dumps({"args": list(args), "kwargs": kwargs}))

    @property
    def result(self) -> Any:
        """What the workflow returned; the last event must be its completion."""
        last = self.history.events[-1]
        assert isinstance(last, events.WorkflowExecutionCompleted), f"closed by {last}"
        return json.loads(last.attributes.result or NULL)

    @property
    def failure(self) -> str:
        """Reason of the workflow's failure; the last event must be that."""
        last = self.history.events[-1]
        assert isinstance(last, events.WorkflowExecutionFailed), f"closed by {last}"
        return last.attributes.reason or ""

    def time_of(self, number: int) -> float:
        """Epoch seconds at which the number-th decision (from 0) started."""
        return self.history.events[self.started[number] - 1].timestamp

    def inputs(self) -> list[Any]:
        """Envelopes of all scheduled activities, in order."""
        return [
            json.loads(event.attributes.input or NULL)
            for event in self.history.events
            if isinstance(event, events.ActivityTaskScheduled)
        ]

    def controls(self) -> list[Any]:
        return [
            json.loads(event.attributes.control or NULL)
            for event in self.history.events
            if isinstance(event, events.ActivityTaskScheduled)
        ]


def assert_same(resumed: engine.Decided, scratch: engine.Decided) -> None:
    """Resumed and re-run evaluations must be indistinguishable in everything that leaves the engine."""
    assert resumed.divergence is None, resumed.divergence
    assert scratch.divergence is None, scratch.divergence
    assert show(resumed.decisions) == show(scratch.decisions)
    assert resumed.decisions == scratch.decisions
    assert resumed.demand == scratch.demand
    assert resumed.execution_context == scratch.execution_context
