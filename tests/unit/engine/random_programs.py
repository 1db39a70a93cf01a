"""Programs and worlds made at random. What a program reads goes into its log, and its log into what it submits next,
so that any difference in what two evaluations read shows in what they decide.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from simpleflow import Workflow, canvas, engine, exceptions, futures
from simpleflow.testing.histories import builder as histories

from .driver import act, show

#: names are few, so that equal tasks meet
ACTS = {
    "a": act("a"),
    "b": act("b"),
    "retried": act("retried", retry=1),
    "raises": act("raises", raises_on_failure=True),
    "once": act("once", idempotent=True),
}


class Child(Workflow):
    name, version, task_list = "child", "1", "decisions"

    def run(self, value: Any) -> Any:
        return value


class Program(Workflow):
    """Interprets its argument."""

    name, version, task_list = "random", "1", "decisions"
    strict = False

    def run(self, spec: list[Any]) -> Any:
        interpreter = self.interpreter()
        interpreter.block(spec)
        # What is still open is waited for, so that few programs end before something happened.
        return [*interpreter.log, *(interpreter.outcome(future) for future in interpreter.opened)]

    def interpreter(self) -> Interpreter:
        return Interpreter(self, "")


class Hooked(Program):
    """The same, with a failure hook that submits, and answers by the attempt."""

    def on_task_failure(self, context: Any) -> Any:
        if context.attempt_number == 1 and context.task_name == "b":
            self.submit(ACTS["a"], "hook")
            return context.decide_retry()
        if context.task_name == "a":
            return context.decide_ignore()
        return context


class Async(Program):
    """Whole programs of ``async def run`` have positional reads only."""

    async def run(self, spec: list[Any]) -> Any:  # type: ignore[override]  # the engine takes both
        opened: list[Any] = []
        log: list[Any] = []
        for place, statement in enumerate(spec):
            kind, *rest = statement
            if kind in ("submit", "group", "chain"):
                opened.append(self.submit(ACTS["a" if kind != "submit" else rest[0]], [place, log]))
            elif kind == "timer":
                opened.append(self.submit(self.start_timer(f"t{place}", rest[0])))
            elif kind == "signal":
                opened.append(self.submit(self.wait_signal(rest[0], timeout=rest[1])))
            elif kind in ("any", "all") and opened:
                when = futures.FIRST_COMPLETED if kind == "any" else futures.ALL_COMPLETED
                done, pending = await futures.wait(opened, return_when=when)
                log.append([len(list(done)), len(list(pending))])
            elif kind in ("flag", "cancel", "branch") and opened:
                future = opened[rest[0] % len(opened)]
                log.append(future.finished if kind != "cancel" else future.cancel())
            elif kind in ("read", "timeout", "then") and opened:
                try:
                    log.append(await opened[rest[0] % len(opened)])
                except Exception as error:
                    log.append(type(error).__name__)
            elif kind == "now":
                log.append([self.now().timestamp(), self.cancel_requested])
        return log


class Interpreter:
    """Runs statements in one strand of a program."""

    def __init__(self, workflow: Any, path: str) -> None:
        self.workflow = workflow
        self.path = path
        self.opened: list[Any] = []
        self.log: list[Any] = []

    def block(self, spec: Sequence[Any]) -> list[Any]:
        for place, (kind, *rest) in enumerate(spec):
            getattr(self, f"do_{kind}")(f"{self.path}{place}", *rest)
        return self.log

    def future(self, number: int) -> Any | None:
        return self.opened[number % len(self.opened)] if self.opened else None

    def several(self, numbers: Sequence[int]) -> list[Any]:
        found: list[Any] = []
        for number in numbers:
            future = self.future(number)
            if future is not None and future not in found:
                found.append(future)
        return found

    @staticmethod
    def outcome(future: Any) -> Any:
        try:
            return future.result
        except exceptions.TaskCanceled:
            return "canceled"
        except Exception as error:
            return type(error).__name__

    def submit(self, name: str, *args: Any) -> Any:
        return self.workflow.submit(ACTS[name], *args)

    # --- opening

    def do_submit(self, place: str, name: str, value: int) -> None:
        self.opened.append(self.submit(name, value, list(self.log[-2:])))

    def do_nested(self, place: str, name: str, number: int) -> None:
        future = self.future(number)
        if future is not None:
            self.opened.append(self.submit(name, [{"deep": future}, 1]))

    def do_timer(self, place: str, seconds: int) -> None:
        self.opened.append(self.workflow.submit(self.workflow.start_timer(f"t{place}", seconds)))

    def do_signal(self, place: str, name: str, timeout: int | None) -> None:
        self.opened.append(self.workflow.submit(self.workflow.wait_signal(name, timeout=timeout)))

    def do_child(self, place: str, value: int) -> None:
        self.opened.append(self.workflow.submit(Child, value))

    def do_then(self, place: str, number: int, name: str) -> None:
        future = self.future(number)
        if future is not None:
            self.opened.append(future.then(lambda value: self.submit(name, 1)))

    def do_map(self, place: str, number: int) -> None:
        future = self.future(number)
        if future is not None:
            self.opened.append(future.map(lambda value: [value, self.workflow.now().timestamp()]))

    def do_group(self, place: str, names: list[str], parallel: int | None) -> None:
        members = [(ACTS[name], 1) for name in names]
        self.opened.append(self.workflow.submit(canvas.Group(*members, max_parallel=parallel)))

    def do_chain(self, place: str, names: list[str], send: bool) -> None:
        members = [(ACTS[name], 1) for name in names]
        self.opened.append(self.workflow.submit(canvas.Chain(*members, send_result=send)))

    def do_arms(self, place: str, arms: list[list[Any]]) -> None:
        def arm(number: int) -> Callable[[], Any]:
            return lambda: type(self)(self.workflow, f"{place}.{number}.").block(arms[number])

        try:
            self.log.append(futures.gather(*[arm(number) for number in range(len(arms))]))
        except exceptions.TaskCanceled:
            self.log.append("an arm was cancelled")
            raise
        except Exception as error:
            self.log.append(type(error).__name__)

    # --- waiting

    def do_read(self, place: str, number: int) -> None:
        future = self.future(number)
        if future is not None:
            self.log.append(self.outcome(future))

    def do_any(self, place: str, numbers: list[int]) -> None:
        self._wait(numbers, return_when=futures.FIRST_COMPLETED)

    def do_all(self, place: str, numbers: list[int]) -> None:
        self._wait(numbers, return_when=futures.ALL_COMPLETED)

    def do_timeout(self, place: str, number: int, seconds: int) -> None:
        self._wait([number], timeout=seconds)

    def _wait(self, numbers: list[int], **how: Any) -> None:
        fs = self.several(numbers)
        if fs:
            done, _ = futures.wait(fs, **how)
            self.log.append([self.opened.index(future) for future in done])

    def do_scope(self, place: str, block: list[Any]) -> None:
        try:
            with self.workflow.cancel_scope():
                self.log.append(type(self)(self.workflow, f"{place}.").block(block))
        except exceptions.TaskCanceled:
            self.log.append(["cancelled", self.workflow.cancel_requested])
            self.log.append(self.outcome(self.submit("a", "clean-up")))

    # --- reading

    def do_flag(self, place: str, number: int) -> None:
        future = self.future(number)
        if future is not None:
            self.log.append([future.finished, future.state])

    def do_branch(self, place: str, number: int, name: str) -> None:
        future = self.future(number)
        if future is not None and not future.done:
            self.opened.append(self.submit(name, "branch"))

    def do_cancel(self, place: str, number: int) -> None:
        future = self.future(number)
        if future is not None:
            self.log.append(future.cancel())

    def do_race(self, place: str, numbers: list[int]) -> None:
        """The first one wins, the others are cancelled."""
        fs = self.several(numbers)
        if fs:
            done, pending = futures.wait(fs, return_when=futures.FIRST_COMPLETED)
            self.log.append([len(list(done)), *(future.cancel() for future in pending)])

    def do_now(self, place: str) -> None:
        self.log.append([self.workflow.now().timestamp(), self.workflow.cancel_requested])

    def do_marker(self, place: str, number: int, read: bool) -> None:
        marker = self.workflow.submit(self.workflow.record_marker(f"m{number}", self.log[-1:]))
        if read:
            self.log.append([self.outcome(marker), [one.name for one in self.workflow.list_markers(all=True)]])

    def do_completed(self, place: str, numbers: list[int]) -> None:
        for future in futures.as_completed(self.several(numbers)):
            self.log.append([self.opened.index(future), self.outcome(future)])

    def do_effect(self, place: str) -> None:
        self.log.append(self.workflow.side_effect("effect", lambda: len(self.log)))

    def do_count(self, place: str, number: int) -> None:
        future = self.future(number)
        if future is not None and hasattr(future, "count_finished_activities"):
            self.log.append(future.count_finished_activities)

    def do_chance(self, place: str) -> None:
        self.log.append(str(self.workflow.uuid4()))


places = st.integers(0, 7)
_name = st.sampled_from(sorted(ACTS))
_names = st.lists(st.sampled_from(["a", "b", "retried"]), min_size=1, max_size=3)
opening = st.one_of(
    st.tuples(st.just("submit"), _name, st.integers(0, 1)),
    st.tuples(st.just("nested"), _name, places),
    st.tuples(st.just("timer"), st.integers(1, 3)),
    st.tuples(st.just("signal"), st.sampled_from(["s", "t"]), st.sampled_from([None, 5])),
    st.tuples(st.just("child"), st.integers(0, 1)),
    st.tuples(st.just("then"), places, _name),
    st.tuples(st.just("map"), places),
    st.tuples(st.just("group"), _names, st.sampled_from([None, 1])),
    st.tuples(st.just("chain"), _names, st.booleans()),
)
reading = st.one_of(
    st.tuples(st.just("read"), places),
    st.tuples(st.just("any"), st.lists(places, min_size=1, max_size=3)),
    st.tuples(st.just("all"), st.lists(places, min_size=1, max_size=3)),
    st.tuples(st.just("timeout"), places, st.integers(1, 5)),
    st.tuples(st.just("flag"), places),
    st.tuples(st.just("branch"), places, _name),
    st.tuples(st.just("cancel"), places),
    *[st.tuples(st.just("race"), st.lists(places, min_size=2, max_size=3))] * 2,
    st.tuples(st.just("now")),
    st.tuples(st.just("chance")),
    st.tuples(st.just("marker"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("completed"), st.lists(places, min_size=1, max_size=3)),
    st.tuples(st.just("effect")),
    st.tuples(st.just("count"), places),
)
_flat = st.lists(st.one_of(opening, opening, reading), min_size=1, max_size=4)
nesting = st.one_of(
    st.tuples(st.just("arms"), st.lists(_flat, min_size=1, max_size=2)), st.tuples(st.just("scope"), _flat)
)
#: a program begins with a few things that are open
programs = st.builds(
    lambda first, rest: json.loads(json.dumps([*first, *rest])),
    st.lists(opening, min_size=3, max_size=4),
    st.lists(st.one_of(opening, reading, reading, nesting), min_size=1, max_size=8),
)
#: each number picks what happens next, among what can happen
worlds = st.lists(st.integers(0, 10_000), min_size=25, max_size=70)

#: decisions that fail, and causes that pass
REFUSALS = [
    ("ScheduleActivityTask", "ACTIVITY_CREATION_RATE_EXCEEDED"),
    ("ScheduleActivityTask", "OPEN_ACTIVITIES_LIMIT_EXCEEDED"),
    ("ScheduleActivityTask", "ACTIVITY_TYPE_DOES_NOT_EXIST"),
    ("StartTimer", "TIMER_CREATION_RATE_EXCEEDED"),
    ("StartChildWorkflowExecution", "CHILD_CREATION_RATE_EXCEEDED"),
    ("StartChildWorkflowExecution", "WORKFLOW_TYPE_DOES_NOT_EXIST"),
    ("RequestCancelActivityTask", "ACTIVITY_ID_UNKNOWN"),
    ("SignalExternalWorkflowExecution", "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"),
]

#: how an engine is made; a mutant is another one
MakeEngine = Callable[[type], engine.Engine]


class Difference(AssertionError):
    """A resumed evaluation and one from the start decided differently."""


class World:
    """One execution of a random program in a random world, decided twice at each point."""

    refusals = REFUSALS

    def __init__(
        self, workflow: type, spec: Any, numbers: Sequence[int], make: MakeEngine, activity_limit: int = 1_000
    ) -> None:
        self.workflow = workflow
        self.make = make
        self.engine = make(workflow)
        self.history = histories.HistoryBuilder(workflow, {"args": [spec]}, activity_limit=activity_limit)
        self.numbers = iter(numbers)
        self.signals = 0
        self.propagates = True
        self.cancelled = False

    def play(self) -> None:
        """Let things happen until the numbers are used up or the execution is closed."""
        for number in self.numbers:
            if self.history.open.closed is not None:
                return
            happening = self.possible()
            if not happening:
                return
            happening[number % len(happening)]()

    def possible(self) -> list[Callable[[], None]]:
        built, found = self.history, []
        if built.decision_waits:
            # Decisions are likelier than each single event, so that some are alone and some come together.
            found += [
                self.decide,
                self.decide,
                self.decide,
                self.lose,
                self.elsewhere,
                self.busy,
                self.hang,
                self.refuse,
            ]
        found += self.events()
        return found

    def events(self) -> list[Callable[[], None]]:
        built, found = self.history, []
        for activity_id in built.open.activities:
            found += [lambda one=activity_id: built.complete_activity(one, "1")] * 2
            found.append(lambda one=activity_id: built.complete_activity(one, '{"v":2}'))
            found.append(lambda one=activity_id: built.fail_activity(one))
            if built.open.activities[activity_id].cancel_requested:
                found.append(lambda one=activity_id: built.cancel_activity(one))
        found += [lambda one=timer: built.fire_timer(one) for timer in built.open.timers]
        for child in built.open.children:
            found.append(lambda one=child: built.start_child(one) if not built.open.children[one].started else None)
            found += [lambda one=child: built.complete_child(one, "3"), lambda one=child: built.fail_child(one)]
        found += [lambda one=outgoing: built.deliver(one) for outgoing in built.open.outgoing]
        if self.signals < 4:
            found += [lambda: self.signal("s"), lambda: self.signal("t")]
        if not self.cancelled and len(self.history.events) > 25:
            found.append(self.request_cancel)
        return found

    def signal(self, name: str) -> None:
        self.signals += 1
        said = {"args": [self.signals], "kwargs": {}, "__propagate": self.propagates and name == "t"}
        self.history.signal(name, json.dumps(said))

    def request_cancel(self) -> None:
        self.cancelled = True
        self.history.request_cancel()

    def next_number(self) -> int:
        return next(self.numbers, 0)

    # --- decisions

    def decide(self) -> None:
        self._decide(acknowledge=True)

    def lose(self) -> None:
        """The response arrives, its acknowledgement does not."""
        self._decide(acknowledge=False)

    def elsewhere(self) -> None:
        """Another decider answers, with nothing cached."""
        self.engine = self.make(self.workflow)
        self._decide(acknowledge=True)

    def hang(self) -> None:
        """A decider takes the task, and is never heard of again."""
        self.history.begin_decision()
        if self.next_number() % 2:
            self.signal("s")
        self.history.time_out_decision()

    def refuse(self) -> None:
        """The service takes the response, and refuses one of its decisions for now."""
        decision, cause = self.refusals[self.next_number() % len(self.refusals)]
        self.history.refuse(decision, cause)
        self._decide(acknowledge=True)
        self.history.open.refusals.clear()

    def busy(self) -> None:
        """Something happens while the decision runs."""

        def meanwhile() -> None:
            happening = self.events()
            for _ in range(1 + self.next_number() % 2):
                if happening:
                    happening[self.next_number() % len(happening)]()
                    happening = self.events()

        self._decide(acknowledge=True, during=meanwhile)

    def _decide(self, *, acknowledge: bool, during: Callable[[], None] | None = None) -> None:
        partial = self.history.begin_decision(whole=False, overlap=self.next_number() % 3)
        whole = self.history.task(whole=True)
        resumed = self.answered(self.engine, partial)
        scratch = self.answered(self.make(self.workflow), whole)
        if resumed.divergence or scratch.divergence:
            raise Difference(f"divergence of an unchanged program: {resumed.divergence or scratch.divergence}")
        if resumed.decisions != scratch.decisions:
            raise Difference(
                f"resumed:  {self._text(resumed)}\nfrom the start: {self._text(scratch)}\n"
                f"at event {whole.started_event_id}"
            )
        for member in ("demand", "execution_context"):
            if getattr(resumed, member) != getattr(scratch, member):
                raise Difference(f"{member} of\n{resumed}\n{scratch}\nat event {whole.started_event_id}")
        if during is not None:
            during()
        self.history.respond(resumed.decisions, resumed.execution_context)
        if acknowledge:
            self.engine.acknowledged(self.history.run_id, whole.started_event_id)

    def answered(self, running: engine.Engine, task: engine.DecisionTask) -> engine.Decided:
        """Decide, with what the engine needs."""
        decided = running.decide(task)
        if isinstance(decided, engine.Needs) and decided.history:
            decided = running.decide(self.history.task(whole=True))
        if not isinstance(decided, engine.Decided):
            raise Difference(f"the engine needs {decided}")
        return decided

    @staticmethod
    def _text(decided: engine.Decided) -> str:
        return "; ".join(
            f"{line} {getattr(one, 'input', None) or getattr(one, 'result', None) or ''}"
            for line, one in zip(show(decided.decisions), decided.decisions, strict=True)
        )
