"""Random programs with what is rarer: other kinds of tasks under one name, values in blobs, markers and sent signals
that are held, local activities, children that start again, timers of one id; and a world that refuses for good.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st

from simpleflow import Workflow, activity, engine, exceptions, task
from simpleflow.testing.histories import builder as histories

from . import random_programs
from .driver import act


@activity.with_attributes(name="a", version="1", task_list="list")
class Named:
    """Shares its name with a plain one; its id comes from its argument."""

    @staticmethod
    def get_task_id(workflow: Any, value: Any) -> str:
        return f"of-{value}"

    def __init__(self, value: Any) -> None:
        self.value = value

    def execute(self) -> None:
        raise AssertionError


#: all of one name
KINDS = {
    "plain": act("a"),
    "idempotent": act("a", idempotent=True),
    "meta": act("a", meta={"m": 1}),
    "policy": act("a", retry=activity.RetryPolicy(max_attempts=2, initial=1)),
    "named": Named,
}
LOCAL = act("local")


class Again(Workflow):
    name, version, task_list, retry = "again", "1", "decisions", 1

    def run(self, value: Any) -> Any:
        return value


class Fixed(Again):
    name = "fixed"

    @classmethod
    def get_workflow_id(cls, value: Any) -> str:
        return f"fixed-{value}"


class Interpreter(random_programs.Interpreter):
    def do_kind(self, place: str, kind: str, value: int) -> None:
        self.opened.append(self.workflow.submit(KINDS[kind], value))

    def do_kind_of(self, place: str, kind: str, number: int) -> None:
        future = self.future(number)
        if future is not None:
            self.opened.append(self.workflow.submit(KINDS[kind], future))

    def do_foreign(self, place: str, number: int) -> None:
        future = self.future(number)
        if future is not None:
            self.opened.append(self.workflow.submit(task.NonPythonicActivityTask(random_programs.ACTS["b"], future)))

    def do_children(self, place: str, fixed: bool, value: int) -> None:
        self.opened.append(self.workflow.submit(Fixed if fixed else Again, value))

    def do_held_marker(self, place: str, value: int) -> None:
        self.opened.append(self.workflow.submit(self.workflow.record_marker(f"h{value}", self.log[-1:])))

    def do_send(self, place: str, value: int) -> None:
        self.opened.append(self.workflow.submit(self.workflow.signal("x", value, workflow_id=f"other-{value}")))

    def do_same_timer(self, place: str) -> None:
        try:
            self.opened.append(self.workflow.submit(self.workflow.start_timer("same", 2)))
        except exceptions.Misuse:
            self.log.append("one is open")

    def do_cancel_timer(self, place: str, read: bool) -> None:
        cancelled = self.workflow.submit(self.workflow.cancel_timer("same"))
        if read:
            self.log.append(self.outcome(cancelled))

    def do_local(self, place: str, value: int, read: bool) -> None:
        self.opened.append(self.workflow.submit_local(LOCAL, value, self.log[-1:]))
        if read:
            self.log.append(self.outcome(self.opened[-1]))


class Wide(random_programs.Program):
    name = "wide"

    def interpreter(self) -> Interpreter:
        return Interpreter(self, "")


class WideHooked(random_programs.Hooked):
    name = "wide-hooked"

    def interpreter(self) -> Interpreter:
        return Interpreter(self, "")


_kind = st.sampled_from(sorted(KINDS))
_places = random_programs.places
_more = st.one_of(
    *[st.tuples(st.just("kind"), _kind, st.integers(0, 1))] * 2,
    st.tuples(st.just("kind_of"), _kind, _places),
    st.tuples(st.just("foreign"), _places),
    st.tuples(st.just("children"), st.booleans(), st.integers(0, 1)),
    st.tuples(st.just("held_marker"), st.integers(0, 1)),
    st.tuples(st.just("send"), st.integers(0, 1)),
    st.tuples(st.just("same_timer")),
    st.tuples(st.just("cancel_timer"), st.booleans()),
    st.tuples(st.just("local"), st.integers(0, 1), st.booleans()),
)
_one = st.one_of(_more, _more, random_programs.opening, random_programs.reading, random_programs.reading)
_flat = st.lists(_one, min_size=1, max_size=4)
_nesting = st.one_of(
    st.tuples(st.just("arms"), st.lists(_flat, min_size=1, max_size=2)), st.tuples(st.just("scope"), _flat)
)
programs = st.builds(
    lambda first, rest: json.loads(json.dumps([*first, *rest])),
    st.lists(_more, min_size=2, max_size=4),
    st.lists(st.one_of(_one, _one, _nesting), min_size=1, max_size=9),
)


class World(random_programs.World):
    """Answers what the engine needs; its workers fail in more ways."""

    refusals = (
        *random_programs.REFUSALS,
        ("ScheduleActivityTask", "OPERATION_NOT_PERMITTED"),
        ("StartTimer", "OPERATION_NOT_PERMITTED"),
        ("StartChildWorkflowExecution", "WORKFLOW_ALREADY_RUNNING"),
        ("CancelTimer", "TIMER_ID_UNKNOWN"),
    )

    def events(self) -> list[Callable[[], None]]:
        built: histories.HistoryBuilder = self.history
        found = super().events()
        for one in list(built.open.activities):
            found += [
                lambda one=one: built.complete_activity(one, f"simpleflow+file:///blobs/{len(built.events)} 3"),
                lambda one=one: built.complete_activity(one, "no json {"),
                lambda one=one: built.complete_activity(one, None),
                lambda one=one: built.time_out_activity(one),
                lambda one=one: built.fail_activity(one, "simpleflow.node.interrupted"),
                lambda one=one: built.start_activity(one),
            ]
        for child in list(built.open.children):
            found += [lambda one=child: built.terminate_child(one), lambda one=child: built.cancel_child(one)]
        return found

    def answered(self, running: engine.Engine, task: engine.DecisionTask) -> engine.Decided:
        for _ in range(60):
            decided = running.decide(task)
            if isinstance(decided, engine.Decided):
                return decided
            if decided.history:
                task = self.history.task(whole=True)
            task = msgspec.structs.replace(
                task,
                blobs={**task.blobs, **dict.fromkeys(decided.blobs, '"x"')},
                local={**task.local, **{one.key: engine.LocalResult(result="5") for one in decided.local}},
            )
        raise random_programs.Difference("the engine asks again and again")
