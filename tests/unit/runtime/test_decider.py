from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_swf
import msgspec
import pytest

from simpleflow import engine as engines
from simpleflow.core import attributes, clock, decisions, documents, events, interceptors, types
from simpleflow.process import Stop
from simpleflow.runtime import decider, lanes, needs, stores
from simpleflow.swf import errors, shapes

OPTIONS = decider.Options(domain="d", task_list="shared", identity="{}", sticky_list="mine")
SCHEDULE = decisions.ScheduleActivityTask(
    activity_type=attributes.Type(name="a", version="1"),
    activity_id="activity-a-1",
    task_list=attributes.Name(name="heavy"),
)


def event(number: int) -> SimpleNamespace:
    return SimpleNamespace(id=number, timestamp=0.0)


def polled(
    token: str = "t1",
    *,
    run: str = "run",
    page: str | None = None,
    previous: int = 0,
    numbers: Sequence[int] = (1, 2, 3),
) -> shapes.DecisionTask:
    return shapes.DecisionTask(
        task_token=token,
        workflow_execution=attributes.Execution(workflow_id="wf", run_id=run),
        workflow_type=attributes.Type(name="W", version="1"),
        previous_started_event_id=previous,
        started_event_id=max(numbers),
        events=[event(number) for number in numbers],  # type: ignore[misc]  # their ids are enough here
        next_page_token=page,
    )


class FakeSwf(fake_swf.JoinedPolls):
    """Hands out decision tasks, pages and errors; records calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.tasks: list[Any] = []
        self.pages: dict[str | None, Any] = {}
        self.failing: list[Exception] = []
        #: action -> what it raises first
        self.struck: dict[str, list[errors.SwfError]] = {}
        self.status = "CLOSED"
        self.revoked = threading.Event()

    def call(self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: object = None) -> Any:
        self.calls.append((action, dict(request)))
        if self.struck.get(action):
            raise self.struck[action].pop(0)
        if action == "PollForDecisionTask":
            if "nextPageToken" in request:
                return self.page(request["nextPageToken"])
            if self.tasks:
                found = self.tasks.pop(0)
                if isinstance(found, Exception):
                    raise found
                return found
            self.revoked.wait(5)
            return SimpleNamespace(task_token="")
        if action == "GetWorkflowExecutionHistory":
            return self.page(request.get("nextPageToken"))
        if action == "DescribeWorkflowExecution":
            return SimpleNamespace(execution_info=SimpleNamespace(execution_status=self.status))
        if action == "RespondDecisionTaskCompleted" and self.failing:
            raise self.failing.pop(0)
        return None

    def page(self, token: str | None) -> Any:
        found = self.pages[token]
        if isinstance(found, list):  # first failures, then the page
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, Exception):
            raise found
        return found

    def revoke(self, poll_id: str) -> bool:
        self.revoked.set()
        return True

    def close(self) -> None:
        return

    def responses(self) -> list[dict[str, Any]]:
        return [request for action, request in self.calls if action == "RespondDecisionTaskCompleted"]


class FakeEngine:
    """Answers with what it was given, and records on which thread and in which order it was called."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.log: list[Any] = []
        self.hooks = False
        self.tasks: list[Any] = []
        self.threads: set[int] = set()

    def decide(self, task: Any) -> Any:
        self.threads.add(threading.get_ident())
        self.log.append(("decide", [e.id for e in task.events]))
        self.tasks.append(task)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def complete(self) -> list[bool]:
        return [task.complete for task in self.tasks]

    def acknowledged(self, run_id: str, started_event_id: int) -> None:
        self.threads.add(threading.get_ident())
        self.log.append(("acknowledged", run_id, started_event_id))

    def has_closing_hooks(self, run_id: str) -> bool:
        return self.hooks

    def forget(self, run_id: str) -> None:
        self.log.append(("forget", run_id))


def decided(**fields: Any) -> Any:
    return engines.Decided(**{"decisions": (SCHEDULE,), **fields})


def make(
    swf: FakeSwf,
    engine: FakeEngine,
    options: decider.Options = OPTIONS,
    local: needs.RunLocal | None = None,
    **more: Any,
) -> decider.Decider:
    resolver = needs.Resolver(
        swf, domain="d", load=lambda pointer: f"loaded {pointer}", local=local, wait=lambda seconds: None
    )
    return decider.Decider(
        swf,
        engine,  # type: ignore[arg-type]  # a double
        options,
        resolver=resolver,
        time=clock.VirtualClock(),
        **more,
    )


def page(*numbers: int, token: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(events=[event(number) for number in numbers], next_page_token=token)


def test_all_pages_come_from_the_poll_before_the_engine_is_asked() -> None:
    swf, engine = FakeSwf(), FakeEngine(decided())
    swf.tasks = [polled(page="p2")]
    swf.pages = {"p2": [errors.TransportError("no answer"), page(4, token="p3")], "p3": page(5)}
    step = make(swf, engine)
    answer = step.poll("mine")
    assert step.handle(answer)
    assert engine.log[0] == ("decide", [1, 2, 3, 4, 5])
    assert engine.complete == [True]
    polls = [request for action, request in swf.calls if action == "PollForDecisionTask"]
    assert [request.pop("nextPageToken", None) for request in polls] == [None, "p2", "p2", "p3"]
    assert all(request == polls[0] for request in polls)


def test_a_sticky_poll_hands_on_what_followed_the_previous_decision() -> None:
    swf, engine = FakeSwf(), FakeEngine(decided())
    make(swf, engine).handle(polled(previous=3, numbers=(3, 4, 5, 6)))
    assert engine.log[0] == ("decide", [4, 5, 6])
    assert engine.complete == [False]


def test_a_history_that_lags_is_read_again_and_joined_with_what_the_poll_brought() -> None:
    swf, engine = FakeSwf(), FakeEngine(engines.Needs(history=True), decided())
    swf.pages = {None: [page(1, 2), page(1, 2, 3, 4)]}
    make(swf, engine).handle(polled(previous=3, numbers=(4, 5, 6)))
    assert engine.log[1] == ("decide", [1, 2, 3, 4, 5, 6])
    assert engine.complete == [False, True]
    swf.pages = {None: page(1, 2)}
    with pytest.raises(needs.HistoryGap, match="before 6"):
        make(swf, FakeEngine(engines.Needs(history=True))).handle(polled(previous=3, numbers=(4, 5, 6)))


def test_blobs_and_local_activities_are_got_for_the_engine() -> None:
    ran: list[str] = []

    def local(activity: engines.LocalActivity, task: engines.DecisionTask) -> engines.LocalResult:
        ran.append(activity.name)
        return engines.LocalResult(result=f'"{activity.key}"')

    wanted = tuple(engines.LocalActivity(key=key, name=f"m.{key}", input="{}") for key in ("a", "b"))
    swf = FakeSwf()
    engine = FakeEngine(engines.Needs(blobs=("p1",), local=wanted), engines.Needs(local=wanted[:1]), decided())
    make(swf, engine, local=local).handle(polled())
    task = engine.tasks[-1]
    assert task.blobs == {"p1": "loaded p1"}
    assert {key: ended.result for key, ended in task.local.items()} == {"a": '"a"', "b": '"b"'}
    assert sorted(ran) == ["m.a", "m.a", "m.b"]


def test_values_over_a_limit_are_put_away_when_the_answer_is_sent(tmp_path: Path) -> None:
    swf, long = FakeSwf(), "x" * 40_000
    closing = decisions.CompleteWorkflowExecution(result=long)
    store = stores.open_store(f"file://{tmp_path}")
    engine = FakeEngine(decided(decisions=(closing,)))
    make(swf, engine, store=store).handle(polled())
    ((sent,),) = [response["decisions"] for response in swf.responses()]
    pointer = sent["completeWorkflowExecutionDecisionAttributes"]["result"]
    assert pointer.startswith(f"simpleflow+file://{tmp_path}/")
    assert store.load(pointer) == long
    assert engine.log[-1][0] == "acknowledged"


def test_a_value_that_fits_nowhere_fails_the_execution_and_says_so() -> None:
    swf = FakeSwf()
    scheduled = msgspec.structs.replace(SCHEDULE, input="x" * 40_000)
    engine = FakeEngine(decided(decisions=(SCHEDULE, scheduled)))
    make(swf, engine).handle(polled())
    ((sent,),) = [response["decisions"] for response in swf.responses()]
    failed = sent["failWorkflowExecutionDecisionAttributes"]
    for words in ("input of ScheduleActivityTask 'activity-a-1'", "40000", "32768", "SIMPLEFLOW_JUMBO_FIELDS_BUCKET"):
        assert words in failed["details"]
    assert len(failed["reason"]) <= 256
    assert engine.log[-1] == ("forget", "run")


def test_the_engine_hears_of_an_acknowledged_response_only() -> None:
    swf, engine = FakeSwf(), FakeEngine(decided())
    step = make(swf, engine)
    assert step.handle(polled())
    swf.failing = [errors.UnknownResourceFault("gone")]
    assert not step.handle(polled("t2", run="run2"))
    assert [entry[:2] for entry in engine.log] == [
        ("decide", [1, 2, 3]),
        ("acknowledged", "run"),
        ("decide", [1, 2, 3]),
        ("forget", "run2"),
    ]


@pytest.mark.parametrize(("status", "last"), [("CLOSED", "acknowledged"), ("OPEN", "forget")])
def test_closing_hooks_run_when_the_service_says_closed(status: str, last: str) -> None:
    swf, engine = FakeSwf(), FakeEngine(decided(decisions=(decisions.CompleteWorkflowExecution(),)))
    engine.hooks = True
    swf.status = status
    make(swf, engine).handle(polled())
    assert engine.log[-1][0] == last
    engine.hooks = False
    swf.calls.clear()
    make(swf, engine).handle(polled("t2"))
    assert engine.log[-1][0] == "acknowledged"
    assert [action for action, _ in swf.calls] == ["RespondDecisionTaskCompleted"]


@pytest.mark.parametrize(
    ("newest", "expected"), [("DecisionTaskCompleted", True), ("DecisionTaskTimedOut", False), ("Other", False)]
)
def test_a_response_whose_acknowledgement_was_lost_counts_when_the_history_has_it(
    newest: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simpleflow.core.retries.sleep", lambda seconds: False)
    swf, engine = FakeSwf(), FakeEngine(decided())
    swf.failing = [errors.TransportError("cut"), errors.ThrottlingException("slow"), errors.UnknownResourceFault("t")]
    found = type(newest, (SimpleNamespace,), {})(id=5, attributes=SimpleNamespace(started_event_id=3))
    if newest == "Other":
        found.attributes.started_event_id = 4
    swf.pages = {None: SimpleNamespace(events=[found, *(event(n) for n in (4, 3))], next_page_token=None)}
    assert make(swf, engine).handle(polled()) is expected
    assert len(swf.responses()) == 3
    assert engine.log[-1][0] == ("acknowledged" if expected else "forget")


def test_the_answer_to_a_task_that_took_the_place_of_one_that_a_power_cut_took_is_not_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simpleflow.core.retries.sleep", lambda seconds: False)
    swf, engine = FakeSwf(), FakeEngine(decided())
    swf.failing = [errors.TransportError("cut"), errors.UnknownResourceFault("t")]
    found = type("DecisionTaskCompleted", (SimpleNamespace,), {})(id=4, attributes=SimpleNamespace(started_event_id=3))
    started = SimpleNamespace(id=3, timestamp=7.0)  # it was 0.0 in the task that is answered
    swf.pages = {None: SimpleNamespace(events=[found, started], next_page_token=None)}
    assert not make(swf, engine).handle(polled())
    assert engine.log[-1] == ("forget", "run")


@pytest.mark.parametrize("fault", [errors.ThrottlingException("slow"), errors.OddAnswer("403"), errors.NotSent("dns")])
def test_registration_and_the_look_at_the_close_are_repeated(
    fault: errors.SwfError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simpleflow.core.retries.sleep", lambda seconds: False)
    kind = types.RegisteredType(kind="activity", name="a", version="1")
    swf, engine = FakeSwf(), FakeEngine(decided(decisions=(decisions.CompleteWorkflowExecution(),), types=(kind,)))
    engine.hooks = True
    swf.struck = {"RegisterActivityType": [fault] * 3, "DescribeWorkflowExecution": [fault] * 3}
    assert make(swf, engine).handle(polled())
    assert engine.log[-1][0] == "acknowledged"
    assert [action for action, _ in swf.calls] == [
        *["RegisterActivityType"] * 4,
        "RespondDecisionTaskCompleted",
        *["DescribeWorkflowExecution"] * 4,
    ]


def test_a_close_that_nobody_can_look_at_leaves_the_decision_answered(caplog: pytest.LogCaptureFixture) -> None:
    swf, engine = FakeSwf(), FakeEngine(decided(decisions=(decisions.CompleteWorkflowExecution(),)))
    engine.hooks = True
    swf.struck = {"DescribeWorkflowExecution": [errors.UnknownResourceFault("no such domain")]}
    assert make(swf, engine).handle(polled())
    assert "on_completed and after_closed are not run" in caplog.text


def test_sticky_responses_name_list_and_timeout_and_a_drain_gives_the_original_back() -> None:
    swf, engine = FakeSwf(), FakeEngine(decided())
    step = make(swf, engine)
    step.handle(polled())
    step.drain()
    step.handle(polled("t2"))
    kept, given_back = swf.responses()
    assert kept["taskList"] == {"name": "mine"}
    assert kept["taskListScheduleToStartTimeout"] == "10"
    assert given_back["taskList"] == {"name": "shared"}
    assert "taskListScheduleToStartTimeout" not in given_back


def test_only_the_sticky_list_is_polled_for_new_events_alone() -> None:
    swf = FakeSwf()
    swf.tasks = [polled(), polled()]
    step = make(swf, FakeEngine(decided()))
    step.poll("shared")
    step.poll("mine")
    assert [request.get("startAtPreviousStartedEvent") for _, request in swf.calls] == [None, True]


def test_standalone_sends_every_task_to_its_own_list() -> None:
    swf, engine = FakeSwf(), FakeEngine(decided())
    make(swf, engine, decider.Options(domain="d", task_list="tl", identity="{}", override_list="mine")).handle(polled())
    (response,) = swf.responses()
    assert response["decisions"][0]["scheduleActivityTaskDecisionAttributes"]["taskList"] == {"name": "mine"}
    assert "taskList" not in response


def test_interceptors_see_the_decision_before_and_after() -> None:
    seen: list[Any] = []

    class Mounted:
        def polling(self) -> None:
            seen.append("polling")

        def received(self, task: interceptors.DecisionReceived) -> None:
            seen.append(("received", task.execution.run_id, task.started_event_id))

        def answered(self, outcome: interceptors.DecisionAnswered) -> None:
            seen.append(("answered", outcome.demand, outcome.closed))

        def stopping(self) -> None:
            seen.append("stopping")

    demand = (documents.TaskCount(task_list="heavy", activity="a", state="scheduled", count=1),)
    closing = decisions.CompleteWorkflowExecution()
    step = make(FakeSwf(), FakeEngine(decided(decisions=(closing,), demand=demand)), mounted=[Mounted()])
    step.polling()
    step.handle(polled())
    step.stopping()
    assert seen == ["polling", ("received", "run", 3), ("answered", demand, True), "stopping"]


def test_a_lane_survives_what_it_does_not_understand(monkeypatch: pytest.MonkeyPatch) -> None:
    swf, engine = FakeSwf(), FakeEngine(decided())
    swf.tasks = [events.UnknownEvent("event 7 is of type 'WorkflowExecutionSlept'"), polled()]
    stop = Stop()
    monkeypatch.setattr(lanes.DeciderProcess, "_rest", lambda self, seconds: None)
    step = make(swf, engine)
    handle = step.handle

    def once(answer: Any, **more: Any) -> bool:
        done = handle(answer, **more)
        stop.request()
        return done

    monkeypatch.setattr(step, "handle", once)
    lanes.DeciderProcess(swf, step, stop=stop, lanes=1).run()
    assert len(swf.responses()) == 1


def test_a_drain_ends_local_activities_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "DRAIN_SECONDS", 0.05)
    swf, stop, ended = FakeSwf(), Stop(), threading.Event()
    swf.tasks = [polled()]
    step = make(swf, FakeEngine(decided()))

    def hangs(answer: Any, **more: Any) -> bool:
        stop.request()
        assert ended.wait(60)
        return True

    monkeypatch.setattr(step, "handle", hangs)
    lanes.DeciderProcess(swf, step, stop=stop, lanes=1, end_local=ended.set).run()
    assert ended.is_set()


def test_the_loops_call_the_engine_on_one_thread_and_drain() -> None:
    swf, engine = FakeSwf(), FakeEngine(decided())
    swf.tasks = [polled(f"t{n}", run=f"run{n}") for n in range(20)]
    stop = Stop()
    answered: list[Callable[[], None]] = []

    class Counting:
        def polling(self) -> None: ...
        def received(self, task: interceptors.DecisionReceived) -> None: ...
        def stopping(self) -> None: ...

        def answered(self, outcome: interceptors.DecisionAnswered) -> None:
            answered.append(lambda: None)
            if len(answered) == 20:
                stop.request()

    lanes.DeciderProcess(swf, make(swf, engine, mounted=[Counting()]), stop=stop, lanes=3).run()
    assert engine.threads == {threading.get_ident()}
    assert len(swf.responses()) == 20
    assert sum(entry[0] == "acknowledged" for entry in engine.log) == 20


@pytest.mark.needs_processes
def test_a_child_that_run_forked_decides_nothing() -> None:
    thread = lanes.EngineThread()
    pid = os.getpid()

    def fork() -> int:
        child = os.fork()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 99

    statuses: list[Any] = []
    threading.Thread(target=lambda: statuses.append(thread.call(fork)), daemon=True).start()
    thread.run(lambda: bool(statuses) or os.getpid() != pid)
    assert os.getpid() == pid
    assert statuses == [0]


def test_what_cannot_be_decided_here_goes_back_to_all_with_a_timer() -> None:
    class Broken(FakeEngine):
        def decide(self, task: Any) -> Any:
            raise ImportError("no module 'shop'")

    swf, engine = FakeSwf(), Broken()
    assert make(swf, engine).handle(polled())
    (sent,) = swf.responses()
    (timer,) = sent["decisions"]
    assert timer["startTimerDecisionAttributes"] == {"timerId": "_simpleflow_diverged", "startToFireTimeout": "1"}
    assert "no module 'shop'" in sent["executionContext"]
    assert sent["taskList"] == {"name": "shared"}
    assert engine.log == [("forget", "run")]


def test_a_blob_that_cannot_be_read_is_answered_too() -> None:
    swf, engine = FakeSwf(), FakeEngine(engines.Needs(blobs=("simpleflow+s3://gone/x 9",)))

    def load(pointer: str) -> str:
        raise ValueError(f"{pointer}: there is no such bucket")

    step = decider.Decider(
        swf,
        engine,  # type: ignore[arg-type]  # a double
        OPTIONS,
        resolver=needs.Resolver(swf, domain="d", load=load, wait=lambda seconds: None),
    )
    assert step.handle(polled())
    assert "no such bucket" in swf.responses()[0]["executionContext"]


def test_a_call_that_the_service_refused_leaves_the_decision_to_others() -> None:
    class Refused(FakeEngine):
        def decide(self, task: Any) -> Any:
            raise errors.UnknownResourceFault("closed")

    swf = FakeSwf()
    with pytest.raises(errors.UnknownResourceFault):
        make(swf, Refused()).handle(polled())
    assert swf.responses() == []
