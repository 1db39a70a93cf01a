"""``Needs``: what only the caller can get, got off the engine's thread while other executions go on."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from simpleflow import Workflow, activity, canvas, engine, exceptions, futures, task
from simpleflow.core import decisions

from .driver import Play, act, new_engine

A, B = act("a"), act("b")
POINTER = "simpleflow+file:///blobs/" + "0" * 64 + " 48213"


class Base(Workflow):
    name, version, task_list = "w", "1", "decisions"


class Reads(Base):
    def run(self) -> Any:
        return len(self.submit(A).result)


class Passes(Base):
    def run(self) -> Any:
        self.submit(B, self.submit(A)).result


def test_a_jumbo_value_is_asked_for_when_the_program_reads_it() -> None:
    play = Play(Reads)
    play.blobs[POINTER] = json.dumps("x" * 48_211)
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    play.decide()
    assert {need.blobs for need in play.needs} == {(POINTER,)}
    assert play.result == 48_211


def test_one_that_is_only_passed_on_travels_as_a_reference_and_is_never_loaded() -> None:
    play = Play(Passes)
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    play.decide()
    assert not any(need.blobs for need in play.needs)
    (made,) = play.last.decisions
    assert isinstance(made, decisions.ScheduleActivityTask)
    assert made.input == f'{{"args":[{{"$simpleflow.ref":"{POINTER}"}}],"kwargs":{{}}}}'


def test_other_executions_go_on_while_one_waits_for_its_blob() -> None:
    running = new_engine(Reads)
    first, second = (Play(Reads, check=False, options={"run_id": f"run-{number}"}) for number in (1, 2))
    first.engine = second.engine = running
    for play in (first, second):
        play.decide()
    first.history.complete_activity("activity-a-1", POINTER)
    task = first.history.begin_decision(whole=False)
    needs = running.decide(task)
    assert isinstance(needs, engine.Needs)
    second.complete("activity-a-1", "abc")
    second.decide()
    assert second.result == 3
    decided = running.decide(msgspec.structs.replace(task, blobs={POINTER: '"xy"'}))
    assert isinstance(decided, engine.Decided)
    first.history.respond(decided.decisions)
    assert first.result == 2


def test_a_jumbo_value_that_a_re_run_reads_again_is_asked_for_again() -> None:
    class Twice(Base):
        def run(self) -> Any:
            size = len(self.submit(A).result)
            self.submit(B, size).result
            return size

    play = Play(Twice)
    play.blobs[POINTER] = '"four"'
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    play.decide()
    play.evict()
    play.complete("activity-b-1")
    play.decide()
    assert play.result == 4


class Local(Base):
    def run(self) -> Any:
        first = self.submit_local(A, 1)
        value = first.result
        return [value, self.submit(B, value).result]


def test_a_local_activity_is_asked_for_and_recorded_as_a_marker() -> None:
    class Answers(dict[str, engine.LocalResult]):
        def __missing__(self, key: str) -> engine.LocalResult:
            return engine.LocalResult(result="41")

    play = Play(Local)
    play.local = Answers()
    assert play.decide() == ["RecordMarker simpleflow.local_activity", "ScheduleActivityTask activity-b-1"]
    asked = [one for need in play.needs for one in need.local]
    assert {(one.name, one.input) for one in asked} == {("a", '{"args":[1],"kwargs":{}}')}
    play.needs.clear()
    play.evict()
    play.complete("activity-b-1", 42)
    play.decide()
    # The history holds its result: nobody is asked again.
    assert not any(need.local for need in play.needs)
    assert play.result == [41, 42]


def test_a_decision_without_time_left_leaves_local_activities_to_the_next() -> None:
    class Program(Base):
        def run(self) -> Any:
            return [self.submit_local(A, number).result for number in range(3)]

    class Answers(dict[str, engine.LocalResult]):
        def __missing__(self, key: str) -> engine.LocalResult:
            return engine.LocalResult(result="41")

    play = Play(Program)
    play.local = Answers()
    play.hurried_after = 1
    assert play.decide() == ["RecordMarker simpleflow.local_activity", "StartTimer _simpleflow_wake_up_timer"]
    play.evict()
    play.hurried_after = None
    play.needs.clear()
    play.history.fire_timer("_simpleflow_wake_up_timer")
    play.decide()
    assert len({one.key for need in play.needs for one in need.local}) == 2
    assert play.result == [41, 41, 41]


def test_a_local_activity_s_limit_is_what_its_author_declared() -> None:
    class Program(Base):
        def run(self) -> Any:
            limited = activity.with_attributes(name="a", version="1", start_to_close_timeout=7)(len)
            return [self.submit_local(each, []).result for each in (A, limited, A.options(start_to_close_timeout=3))]

    class Answers(dict[str, engine.LocalResult]):
        def __missing__(self, key: str) -> engine.LocalResult:
            return engine.LocalResult(result="0")

    play = Play(Program, check=False)
    play.local = Answers()
    play.decide()
    assert [one.timeout for need in play.needs for one in need.local] == [None, 7, 3]
    assert {need.seconds for need in play.needs} == {300}


def test_a_local_activity_that_fails_fails_as_another_would() -> None:
    class Program(Base):
        def run(self) -> Any:
            return str(self.submit_local(A, 1).exception)

    class Answers(dict[str, engine.LocalResult]):
        def __missing__(self, key: str) -> engine.LocalResult:
            return engine.LocalResult(reason="ValueError: odd", details=None)

    play = Play(Program)
    play.local = Answers()
    play.decide()
    assert "odd" in play.result


def test_a_local_activity_is_tried_again_and_its_last_attempt_recorded() -> None:
    tried: dict[str, None] = {}

    class Program(Base):
        def run(self) -> Any:
            policy = activity.RetryPolicy(max_attempts=3, initial=2)
            choosy = activity.RetryPolicy(give_up_on=("ValueError",))
            second = self.submit_local(A.options(retry=1), 1).result
            return [second, *(str(self.submit_local(A.options(retry=each), 2).exception) for each in (policy, choosy))]

    class Answers(dict[str, engine.LocalResult]):
        def __missing__(self, key: str) -> engine.LocalResult:
            tried[key] = None
            well = key == f"{next(iter(tried))}#2"
            return engine.LocalResult(result="41") if well else engine.LocalResult(reason="ValueError: odd")

    play = Play(Program)
    play.local = Answers()
    assert play.decide().count("RecordMarker simpleflow.local_activity") == 3
    assert [key.partition("#")[2] for key in tried] == ["", "2", "", "2", "3", ""]
    assert {one.key: one.delay for need in play.needs for one in need.local} == dict(
        zip(tried, [0, 0, 0, 2, 4, 0], strict=True)
    )
    assert play.result[0] == 41
    assert all("odd" in said for said in play.result[1:])


def test_for_consumers_that_are_not_ours_a_reference_is_resolved_before_scheduling() -> None:
    class Program(Base):
        def run(self) -> Any:
            big = self.submit(A)
            return self.submit(task.NonPythonicActivityTask(B, big, 2)).result

    play = Play(Program)
    play.blobs[POINTER] = '"the text itself"'
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    assert any(need.blobs == (POINTER,) for need in play.needs)
    (made,) = play.last.decisions
    assert isinstance(made, decisions.ScheduleActivityTask)
    assert made.input == '["the text itself",2]'


def test_a_task_for_another_language_is_counted_where_it_is_submitted_whether_its_blob_is_here_or_not() -> None:
    """Equal ones keep their results: a re-run has read the blob before, the resumed evaluation let go of it."""

    class Program(Base):
        def run(self) -> Any:
            big, other = self.submit(A), self.submit(B)
            big.result
            other.result
            opened = [self.submit(task.NonPythonicActivityTask(B, value)) for value in (big, "xy")]
            return futures.wait(*opened)

    play = Play(Program)
    play.blobs[POINTER] = '"xy"'
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    play.decide()
    play.complete("activity-b-1")
    assert play.decide() == ["ScheduleActivityTask activity-b-2", "ScheduleActivityTask activity-b-3"]
    assert [control["ordinal"] for control in play.controls()[-2:]] == [0, 1]
    play.complete("activity-b-2", "of the first")
    play.decide()
    play.complete("activity-b-3", "of the second")
    play.decide()
    assert play.result == ["of the first", "of the second"]


def test_fetching_a_blob_is_no_wait_of_the_program() -> None:
    """A cancellation is raised at the next wait; whether a value has to be fetched the program cannot see."""

    class Program(Base):
        def run(self) -> Any:
            big, other = self.submit(A), self.submit(B)
            log = []
            futures.wait([big, other], return_when=futures.ALL_COMPLETED)
            try:
                with self.cancel_scope() as scope:
                    scope.cancel()
                    log.append(big.result)
                    self.submit(A, 2).result
            except exceptions.TaskCanceled:
                log.append("canceled")
            return log

    play = Play(Program)
    play.blobs[POINTER] = '"xy"'
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    play.complete("activity-b-1")
    play.decide()
    assert play.result == ["xy", "canceled"]


class Named(Workflow):
    """Its ids, lists and tags come from its arguments."""

    name, version, task_list = "named", "1", "decisions"

    @classmethod
    def get_workflow_id(cls, text: str) -> str:
        return f"of-{text}"

    @classmethod
    def get_task_list(cls, text: str) -> str:
        return f"list-{text}"

    def run(self, text: str) -> Any:
        return text


@activity.with_attributes(name="identified", version="1", task_list="list")
class Identified:
    @staticmethod
    def get_task_id(workflow: Any, text: str) -> str:
        return text

    def __init__(self, text: str) -> None:
        self.text = text

    def execute(self) -> str:
        return self.text


def test_an_id_that_comes_from_an_argument_waits_for_its_blob() -> None:
    class Program(Base):
        def run(self) -> Any:
            big = self.submit(A)
            return futures.wait(self.submit(Named, big), self.submit(Identified, big))

    play = Play(Program, others=(Named,))
    play.blobs[POINTER] = '"xy"'
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    assert play.decide() == ["StartChildWorkflowExecution of-xy", "ScheduleActivityTask activity-identified-xy"]
    made: Any = play.last.decisions[0]
    assert (made.task_list.name, POINTER in made.input) == ("list-xy", True)


def test_a_child_that_is_only_handed_a_large_value_loads_none() -> None:
    class Program(Base):
        def run(self) -> Any:
            return self.submit(Reads, self.submit(A)).result

    play = Play(Program, others=(Reads,))
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    assert len(play.decide()) == 1
    assert not any(need.blobs for need in play.needs)


def test_a_member_that_asks_for_a_blob_is_submitted_before_the_program_goes_on() -> None:
    """A read of a chain submits what follows; so it does where that has to wait for a value."""

    class Program(Base):
        def run(self) -> Any:
            chain = self.submit(canvas.Chain((A, 1), Identified, send_result=True))
            self.submit(B, [chain.count_finished_activities, len(chain.futures)])
            return chain.result

    play = Play(Program)
    play.blobs[POINTER] = '"xy"'
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    assert play.decide() == ["ScheduleActivityTask activity-identified-xy", "ScheduleActivityTask activity-b-2"]
    assert play.inputs()[-1]["args"] == [[1, 2]]


def test_local_activities_of_one_decision_end_in_their_order_in_a_re_run_too() -> None:
    class Program(Base):
        def run(self) -> Any:
            both = [self.submit_local(A, 1), self.submit_local(A, 2)]
            order = [both.index(future) for future in futures.as_completed(both)]
            return [order, self.submit(B, order).result]

    class Answers(dict[str, engine.LocalResult]):
        def __missing__(self, key: str) -> engine.LocalResult:
            return engine.LocalResult(result="41")

    play = Play(Program)
    play.local = Answers()
    play.decide(during=lambda: play.signal("meanwhile"))
    play.complete("activity-b-1", 7)
    play.evict()
    play.decide()
    assert play.result == [[0, 1], 7]


def test_a_group_with_a_large_member_as_an_argument_waits_for_it_too() -> None:
    class Listed(Named):
        name = "listed"

        @classmethod
        def get_workflow_id(cls, texts: list[str]) -> str:
            return f"of-{texts[0]}"

        get_task_list = None  # type: ignore[assignment]  # as a class without it

    class Program(Base):
        def run(self) -> Any:
            group = self.submit(canvas.Group((A, 1), (A, 2)))
            return futures.wait(self.submit(task.NonPythonicActivityTask(B, group)), self.submit(Listed, group))

    play = Play(Program, others=(Listed,))
    play.blobs[POINTER] = '"xy"'
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    play.complete("activity-a-2", 2)
    assert play.decide() == ["ScheduleActivityTask activity-b-1", "StartChildWorkflowExecution of-xy"]
    assert play.inputs()[-1] == [["xy", 2]]


def test_one_that_is_passed_on_after_it_was_settled_is_never_loaded_either() -> None:
    class Program(Base):
        def run(self) -> Any:
            big = self.submit(A)
            futures.wait([big], return_when=futures.ALL_COMPLETED)
            return self.submit(B, big).result

    play = Play(Program)
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    assert play.decide() == ["ScheduleActivityTask activity-b-1"]
    assert not any(need.blobs for need in play.needs)


def test_a_hook_may_submit_what_needs_a_blob() -> None:
    class Program(Base):
        big: Any = None

        def run(self) -> Any:
            self.big, failing = self.submit(A), self.submit(B)
            futures.wait([self.big, failing], return_when=futures.ALL_COMPLETED)
            return "end"

        def on_task_failure(self, context: Any) -> Any:
            self.submit(task.NonPythonicActivityTask(A, self.big))
            return context.decide_ignore()

    play = Play(Program)
    play.blobs[POINTER] = '"xy"'
    play.decide()
    play.history.complete_activity("activity-a-1", POINTER)
    play.decide()
    play.history.fail_activity("activity-b-1")
    play.decide()
    assert play.result == "end"
    assert any(need.blobs for need in play.needs)
