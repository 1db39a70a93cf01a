"""Nothing that a program raises or names keeps an answer from being sent: text without UTF-8, without ``str``."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from simpleflow import Workflow, activity, canvas, exceptions, futures
from simpleflow.core import decisions, events, interrupts, text
from simpleflow.core.limits import DATA, REASON
from simpleflow.engine import LocalResult
from simpleflow.runtime import failures
from simpleflow.testing import environment

from .driver import Play, act

SURROGATE = "bad \udcff\udce9.txt"
A = act("a")
ALSO = act("also", raises_on_failure=True)


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class TextExits(Exception):
    def __str__(self) -> str:
        sys.exit(3)


class Stop(BaseException):
    """Some programs' own."""


class TextInterrupts(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt

    def __repr__(self) -> str:
        raise Stop


class SurrogateText(Exception):
    def __str__(self) -> str:
        return "half \ud800"


class NoClass(Exception):
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no class")


class NoCause(Exception):
    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no cause")


class NoArgs(Exception):
    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no args")


@dataclasses.dataclass
class NoHash(Exception):
    path: str


class OddReason(exceptions.TaskFailed):
    def __init__(self) -> None:
        super().__init__("x", "y")

    @property
    def reason(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no reason")

    @reason.setter
    def reason(self, value: Any) -> None: ...


def circular() -> Exception:
    error = ValueError("circular")
    error.args = (error,)
    return error


def noted() -> Exception:
    error = ValueError("noted")
    error.add_note(SURROGATE)
    return error


MADE: dict[str, Callable[[], BaseException]] = {
    "surrogate": lambda: ValueError(SURROGATE),
    "no text": NoText,
    "text exits": TextExits,
    "text interrupts": TextInterrupts,
    "surrogate text": SurrogateText,
    "circular": circular,
    "no class": NoClass,
    "no cause": NoCause,
    "no args": NoArgs,
    "no hash": lambda: NoHash(SURROGATE),
    "odd reason": OddReason,
    "noted": noted,
    "long": lambda: ValueError("x" * 100_000),
    "long surrogates": lambda: ValueError("\udcff" * 100_000),
    "group": lambda: exceptions.AggregateException([NoText(), ValueError(SURROGATE), None]),
    "in a task exception": lambda: exceptions.TaskException(None, NoText()),
    "exit": lambda: SystemExit(SURROGATE),
    "own base": lambda: BaseException(SURROGATE),
    "generator exit": lambda: GeneratorExit(SURROGATE),
    "interrupt": lambda: KeyboardInterrupt(SURROGATE),
}


def assert_sent(reason: str | None, details: str | None) -> None:
    assert reason
    assert details
    assert len(reason) <= REASON
    assert len(details) <= DATA
    (reason + details).encode()
    assert set(json.loads(details)) == {"error", "error_type", "message", "traceback"}


@pytest.mark.parametrize("kind", MADE)
def test_what_run_raises_fails_the_workflow(kind: str) -> None:
    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            self.submit(A).result
            raise MADE[kind]()

    play = Play(Program, check=False)
    play.decide()
    play.complete("activity-a-1")
    assert play.decide() == ["FailWorkflowExecution"]
    (decision,) = play.last.decisions
    assert isinstance(decision, decisions.FailWorkflowExecution)
    assert_sent(decision.reason, decision.details)
    json.dumps(decisions.to_wire(decision)).encode()


@pytest.mark.parametrize("kind", MADE)
def test_what_an_arm_a_callback_or_a_coroutine_raises_is_its_future_s(kind: str) -> None:
    class Program(Workflow):
        name, version, task_list = "w", "1", "decisions"

        def run(self) -> Any:
            def arm() -> Any:
                raise MADE[kind]()

            def callback(value: Any) -> Any:
                raise MADE[kind]()

            later = self.submit(A).then(callback)
            (raised,) = futures.gather(arm, return_exceptions=True)
            return [text.class_name(raised), text.class_name(later.exception)]

    play = Play(Program, check=False)
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    name = text.class_name(MADE[kind]())
    assert play.result == [name, name]


@pytest.mark.parametrize("kind", MADE)
def test_the_runner_s_words_for_an_activity_that_raises_it(kind: str) -> None:
    try:
        raise MADE[kind]()
    except BaseException as error:
        answer = failures.of_exception(error)
    assert_sent(answer.reason, answer.details)


def test_what_is_safe_is_readable() -> None:
    assert text.safe("café") == "café"
    assert text.safe(SURROGATE) == r"bad \udcff\udce9.txt"
    assert text.safe(NoText()) == "<NoText>"
    assert len(text.safe("x" * 1000, 256)) <= 256
    assert text.of_error(ValueError(SURROGATE)) == r"ValueError: bad \udcff\udce9.txt"
    assert failures.of_exception(ValueError(SURROGATE)).reason == r"ValueError: bad \udcff\udce9.txt"


def play_of(body: Callable[[Any], Any], **members: Any) -> Play:
    program = type(
        "Program", (Workflow,), {"name": "w", "version": "1", "task_list": "decisions", "run": body, **members}
    )
    return Play(program)


def test_fail_says_what_it_can() -> None:
    play = play_of(lambda self: self.fail(SURROGATE, NoText()))
    assert play.decide() == ["FailWorkflowExecution"]
    assert play.failure == rf"Workflow execution failed: {text.safe(SURROGATE)}"
    assert play.history.events[-1].attributes.details == "<NoText>"  # type: ignore[union-attr]


def test_names_are_sent_readable_and_found_again() -> None:
    def run(self: Any) -> Any:
        self.submit(self.record_marker(SURROGATE, "d"))
        timer = self.submit(self.start_timer(SURROGATE, 5))
        self.submit(self.signal(SURROGATE, 1, workflow_id=SURROGATE))
        wait = self.submit(self.wait_signal(SURROGATE))
        self.side_effect(SURROGATE, lambda: 1)
        self.patched(SURROGATE)
        timer.result
        return [wait.result["args"], [name for name, _ in [(m.name, m.details) for m in self.list_markers()]]]

    play = play_of(run)
    assert any(line == f"StartTimer {text.safe(SURROGATE)}" for line in play.decide())
    play.signal(text.safe(SURROGATE), 7)
    play.history.fire_timer(text.safe(SURROGATE))
    play.decide()
    assert play.result == [[7], [text.safe(SURROGATE)]]


@pytest.mark.parametrize(
    "submit",
    [
        lambda self: self.record_marker("m" * 300),
        lambda self: self.start_timer("t" * 300, 1),
        lambda self: self.signal("s" * 300),
        lambda self: self.wait_signal(""),
    ],
)
def test_names_that_swf_does_not_take_are_refused_where_they_are_given(submit: Callable[[Any], Any]) -> None:
    play = play_of(lambda self: self.submit(submit(self)).result)
    assert play.decide() == ["FailWorkflowExecution"]
    assert "256" in play.failure


def test_arguments_that_hold_themselves() -> None:
    def run(self: Any) -> Any:
        loop: list[Any] = []
        loop.append(loop)
        try:
            self.submit(A, loop)
        except TypeError as error:
            return str(error)

    play = play_of(run)
    play.decide()
    assert "arguments of a cannot be serialised" in play.result


def test_an_id_that_is_computed_from_a_result_may_raise() -> None:
    def late(value: Any) -> None: ...

    def get_task_id(workflow: Any, value: Any) -> str:
        raise NoText

    late.get_task_id = get_task_id  # type: ignore[attr-defined]
    declared = activity.with_attributes(name="late", version="1")(late)
    play = play_of(lambda self: text.class_name(self.submit(declared, self.submit(A)).exception))
    play.decide()
    play.complete("activity-a-1", 1)
    play.decide()
    assert play.result == "NoText"


@pytest.mark.parametrize("getter", ["get_task_list", "get_tag_list"])
def test_what_a_child_s_getter_raises_reaches_who_submits_it(getter: str) -> None:
    def raises(cls: Any, *args: Any) -> Any:
        raise ValueError(SURROGATE)

    child = type("Child", (Workflow,), {"name": "c", "version": "1", "task_list": "d", getter: classmethod(raises)})
    play = play_of(lambda self: self.submit(child, 1).result)
    assert play.decide() == ["FailWorkflowExecution"]
    assert "ValueError" in play.failure


def test_tags_and_lists_of_a_child_are_safe() -> None:
    members = {"name": "c", "version": "1", "tag_list": [SURROGATE], "get_task_list": lambda cls: SURROGATE}
    child = type("Child", (Workflow,), members)
    play = play_of(lambda self: self.submit(child).result)
    play.decide()
    (decision,) = play.last.decisions
    assert isinstance(decision, decisions.StartChildWorkflowExecution)
    assert decision.tag_list == (text.safe(SURROGATE),)
    assert getattr(decision.task_list, "name", "") == text.safe(SURROGATE)


def test_a_local_activity_s_result_that_no_marker_holds_fails_its_future() -> None:
    play = play_of(lambda self: text.class_name(self.submit_local(A).exception))
    play.local = _Any(LocalResult(result=json.dumps("x" * 40_000)))  # type: ignore[assignment]
    play.decide()
    assert play.result == "TaskFailed"


class _Any(dict[str, Any]):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def __getitem__(self, key: str) -> Any:
        return self._value


# -- hooks

HOOKS = ["before_replay", "after_replay", "on_failure", "on_task_failure", "should_cancel", "on_canceled"]


def exits() -> None:
    sys.exit(3)


def interrupts_itself() -> None:
    raise KeyboardInterrupt


def own_base() -> None:
    raise BaseException("mine")


@pytest.mark.parametrize("ends", [exits, interrupts_itself, own_base])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_would_end_the_decider_ends_its_workflow(hook: str, ends: Callable[[], None]) -> None:
    def run(self: Any) -> Any:
        if hook == "on_failure":
            raise ValueError("the real reason")
        return self.submit(ALSO).result

    play = play_of(run, **{hook: lambda self, *args: ends()})
    play.check = False
    made = play.decide()
    if hook == "on_task_failure":
        play.history.fail_activity("activity-also-1", reason="r")
        made = play.decide()
    elif hook in ("should_cancel", "on_canceled"):
        play.history.request_cancel()
        made = play.decide()
    assert made[-1] == "FailWorkflowExecution"
    assert f"{hook}()" in play.failure
    assert "the real reason" in play.failure or hook != "on_failure"


@pytest.mark.parametrize("hook", ["on_completed", "after_closed"])
def test_a_closing_hook_that_would_end_the_decider_is_told_by_name(hook: str) -> None:
    play = play_of(lambda self: 1, **{hook: lambda self, *args: exits()})
    with pytest.raises(exceptions.SimpleflowError, match=rf"{hook}\(\) raised SystemExit: 3"):
        play.decide()
    assert isinstance(play.history.events[-1], events.WorkflowExecutionCompleted)


def test_a_hook_s_exception_without_text_is_logged() -> None:
    def after_replay(self: Any, history: Any) -> None:
        raise NoText

    play = play_of(lambda self: 1, after_replay=after_replay)
    play.check = False
    assert play.decide() == ["CompleteWorkflowExecution"]
    assert play.last.diagnostics == ("after_replay() raised NoText: <NoText>",)


def test_decide_handled_with_what_cannot_be_submitted_fails_the_workflow() -> None:
    play = play_of(
        lambda self: self.submit(ALSO).result, on_task_failure=lambda self, context: context.decide_handled("nothing")
    )
    play.decide()
    play.history.fail_activity("activity-also-1", reason="r")
    assert play.decide() == ["FailWorkflowExecution"]
    assert "decide_handled" in play.failure


def test_ctrl_c_is_not_the_program_s() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupts_itself()
    assert not interrupts.from_outside(caught.value)
    # A handler raises it from C, between two instructions of the program.
    with pytest.raises(KeyboardInterrupt) as caught:
        signal.default_int_handler(2, None)
    assert interrupts.from_outside(caught.value)


def test_a_function_group_that_exits_fails_its_group() -> None:
    def grow(value: Any) -> Any:
        sys.exit(3)

    chain = canvas.Chain((A,), canvas.FuncGroup(grow, 1))
    play = play_of(lambda self: text.class_name(self.submit(chain).exception))
    play.decide()
    play.complete("activity-a-1")
    play.decide()
    assert play.result == "AggregateException"


@activity.with_attributes(version="1", task_list="work")
def raises_oddly(kind: str) -> None:
    raise MADE[kind]()


class Oddly(Workflow):
    name, version, task_list = "oddly", "1", "decisions"

    def run(self, kind: str) -> Any:
        return self.submit(raises_oddly, kind).exception.reason  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["surrogate", "no text", "no class", "circular", "exit"])
def test_an_activity_s_exception_reaches_the_workflow(kind: str) -> None:
    with environment.Environment() as made:
        assert text.class_name(MADE[kind]()) in made.run(Oddly, kind)


@pytest.mark.parametrize("unit", ["\ud800", "\n", " at 0x7f00"])
@pytest.mark.parametrize("where", ["text", "cause", "note", "member"])
def test_the_work_for_an_endless_text_is_bounded(unit: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []

    class Counting:
        @staticmethod
        def sub(_: str, content: str) -> str:
            looked_at.append(len(content))
            return content

    long = ValueError(unit * (2 << 20))
    error: BaseException = long
    if where == "cause":
        error = RuntimeError("short")
        error.__cause__ = long
    elif where == "note":
        error = RuntimeError("short")
        error.add_note(unit * (2 << 20))
    elif where == "member":
        error = ExceptionGroup("several", [long])
    monkeypatch.setattr(text, "_ADDRESS", Counting)
    details = json.loads(text.details(error))
    assert max(looked_at) < (1 << 20) * len(text.encodable(unit[0])) + 100_000  # a surrogate is written with six
    assert details["traceback"].startswith("Traceback")
    assert "characters left out" in details["message"] or where in ("cause", "note", "member")
    assert len(text.safe(long, REASON)) <= REASON
    assert text.shown(long).endswith("…")
