"""Random calls and decisions, a moving clock, and restarts at any moment; what must hold holds after each step."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import machine_checks
import msgspec
import pytest
from hypothesis import stateful
from hypothesis import strategies as st

from simpleflow.core import clock as clocks
from simpleflow.core import limits
from simpleflow.server import service
from simpleflow.server.requests import errors
from simpleflow.server.state import polls
from simpleflow.server.store import memory, sqlite, upkeep

_DOMAIN = "machine"
_IDS = st.sampled_from(["w1", "w2", "w3", "w4", "w5", "w6"])
_NAMES = st.sampled_from(["a", "b", "c"])
_LISTS = st.sampled_from(["left", "right"])
_SECONDS = st.sampled_from(["1", "3", "20", "NONE"])
_ENDING = st.sampled_from(["10", "600", "3600"])
_POLICY = st.sampled_from(["TERMINATE", "REQUEST_CANCEL", "ABANDON"])
_TYPE = {"name": "type", "version": "1"}
_EXECUTION = {"executionStartToCloseTimeout": "3600", "taskStartToCloseTimeout": "20", "childPolicy": "TERMINATE"}
#: a failure of a hundred steps is shrunk with SIMPLEFLOW_SHRINK=1 only: that takes minutes
_PHASES = [
    phase
    for phase in (hypothesis.Phase.generate, hypothesis.Phase.shrink)
    if phase is hypothesis.Phase.generate or os.environ.get("SIMPLEFLOW_SHRINK")
]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def _decision(kind: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    member = f"{kind[0].lower()}{kind[1:]}DecisionAttributes"
    return st.fixed_dictionaries(members).map(lambda made: {"decisionType": kind, member: made})


_OPTIONS = {
    "taskList": st.fixed_dictionaries({"name": _LISTS}),
    "executionStartToCloseTimeout": _ENDING,
    "taskStartToCloseTimeout": _SECONDS,
    "childPolicy": _POLICY,
}
_WORK = st.one_of(
    _decision("StartTimer", timerId=_NAMES, startToFireTimeout=st.sampled_from(["0", "1", "5", "60"])),
    _decision("StartChildWorkflowExecution", workflowId=_IDS, workflowType=st.just(_TYPE), **_OPTIONS),
    _decision(
        "ScheduleActivityTask",
        activityId=_NAMES,
        activityType=st.sampled_from([_TYPE, _TYPE, {"name": "unknown", "version": "1"}]),
        taskList=st.fixed_dictionaries({"name": _LISTS}),
        scheduleToStartTimeout=_SECONDS,
        scheduleToCloseTimeout=_SECONDS,
        startToCloseTimeout=_SECONDS,
        heartbeatTimeout=_SECONDS,
    ),
)
_GOING_ON = st.one_of(
    _decision("RequestCancelActivityTask", activityId=_NAMES),
    _decision("CancelTimer", timerId=_NAMES),
    _decision("RecordMarker", markerName=_NAMES),
    _decision("SignalExternalWorkflowExecution", workflowId=_IDS, signalName=_NAMES),
    _decision("RequestCancelExternalWorkflowExecution", workflowId=_IDS),
    _decision("ScheduleLambdaFunction", id=_NAMES, name=_NAMES),
)
_CLOSING = st.one_of(
    _decision("CompleteWorkflowExecution"),
    _decision("FailWorkflowExecution"),
    _decision("CancelWorkflowExecution"),
    _decision("ContinueAsNewWorkflowExecution", **_OPTIONS),
)
_DECISIONS = st.builds(
    lambda first, last: [*first, *last],
    st.lists(st.one_of(_WORK, _GOING_ON), min_size=1, max_size=6),
    st.integers(0, 9).flatmap(lambda roll: st.lists(_CLOSING, min_size=1, max_size=1) if roll == 9 else st.just([])),
)


class Machine(stateful.RuleBasedStateMachine):
    """A service in memory; ``OnDisk`` is the same over SQLite, and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = clocks.VirtualClock()
        self.service = self.open()
        #: task token -> whether it was answered, of decisions and of activities
        self.tokens: dict[str, dict[str, bool]] = {"decision": {}, "activity": {}}
        #: run id -> (workflow id, its history as read last)
        self.known: dict[str, tuple[str, machine_checks.Reading]] = {}
        days = {"workflowExecutionRetentionPeriodInDays": "90"}
        self.call("RegisterDomain", name=_DOMAIN, **days)
        self.call("RegisterWorkflowType", domain=_DOMAIN, **_TYPE)
        self.call("RegisterActivityType", domain=_DOMAIN, **_TYPE)
        for workflow_id, name in (("w1", "left"), ("w2", "right"), ("w3", "left")):
            options = {**_EXECUTION, "taskList": {"name": name}}
            self.call("StartWorkflowExecution", domain=_DOMAIN, workflowId=workflow_id, workflowType=_TYPE, **options)

    def open(self) -> service.Service:
        return service.Service(memory.open_memory(), self.clock)

    def call(self, action: str, **request: Any) -> dict[str, Any]:
        """Call the service; a poll that finds nothing is taken back and answered empty."""
        answer = self.service.call(action, request)
        if isinstance(answer, polls.Waiter):
            assert self.service.withdraw(answer)
            return answer.empty()
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer))
        return found

    def attempt(self, action: str, **request: Any) -> dict[str, Any] | None:
        """Call the service, which may know nothing of it."""
        try:
            return self.call(action, **request)
        except errors.Fault as fault:
            if fault.code not in ("UnknownResourceFault", "WorkflowExecutionAlreadyStartedFault", "LimitExceededFault"):
                raise
            return None

    # -- what may happen

    #: how often each operation comes; one rule draws them, for hypothesis would leave out some rules of every run
    operations: ClassVar[dict[str, int]] = {
        "start": 3,
        "decide": 16,
        "poll_decision": 3,
        "poll_activity": 8,
        "respond_decision": 3,
        "respond_activity": 8,
        "heartbeat": 2,
        "signal": 5,
        "cancel": 1,
        "terminate": 1,
        "wait": 5,
    }

    @stateful.rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """Do one thing."""
        weighted = [name for name, weight in self.operations.items() for _ in range(weight)]
        name = data.draw(st.sampled_from(weighted), label="operation")
        getattr(self, name)(data.draw)

    def start(self, draw: Draw) -> None:
        workflow_id, options = draw(_IDS), draw(st.fixed_dictionaries(_OPTIONS))
        there = any(known == workflow_id and not read.closed for known, read in self.known.values())
        made = self.attempt(
            "StartWorkflowExecution", domain=_DOMAIN, workflowId=workflow_id, workflowType=_TYPE, **options
        )
        full = sum(not read.closed for _, read in self.known.values()) >= limits.OPEN_EXECUTIONS
        assert (made is None) == (there or full)

    def poll_decision(self, draw: Draw) -> str:
        name = draw(_LISTS)
        expected = self._decisions_on(name)
        task = self.call("PollForDecisionTask", domain=_DOMAIN, taskList={"name": name})
        if expected and not task["taskToken"]:
            # the start of a task may be the event for which its history has no room
            self.everything_holds()
            expected = self._decisions_on(name)
        assert bool(task["taskToken"]) == bool(expected)
        if task["taskToken"]:
            assert task["taskToken"] not in self.tokens["decision"]
            assert [event["eventId"] for event in task["events"]] == list(range(1, task["startedEventId"] + 1))
            self.tokens["decision"][task["taskToken"]] = False
        found: str = task["taskToken"]
        return found

    def poll_activity(self, draw: Draw) -> None:
        name = draw(_LISTS)
        expected = self._activities_on(name)
        task = self.call("PollForActivityTask", domain=_DOMAIN, taskList={"name": name})
        if expected and not task["taskToken"]:
            self.everything_holds()
            expected = self._activities_on(name)
        assert bool(task["taskToken"]) == bool(expected)
        if task["taskToken"]:
            assert task["taskToken"] not in self.tokens["activity"]
            self.tokens["activity"][task["taskToken"]] = False

    def _decisions_on(self, name: str) -> int:
        return sum(read.waiting_decisions()[name] for _, read in self.known.values() if not read.started)

    def _activities_on(self, name: str) -> int:
        return sum(read.waiting_activities()[name] for _, read in self.known.values())

    def decide(self, draw: Draw) -> None:
        """Poll, and answer at once."""
        if token := self.poll_decision(draw):
            self._respond("decision", token, "RespondDecisionTaskCompleted", **self._decisions(draw))

    def respond_decision(self, draw: Draw) -> None:
        """Answer any decision task there ever was."""
        if self.tokens["decision"]:
            token = draw(st.sampled_from(list(self.tokens["decision"])[::-1]))
            self._respond("decision", token, "RespondDecisionTaskCompleted", **self._decisions(draw))

    def respond_activity(self, draw: Draw) -> None:
        """Answer any activity task there ever was; mostly one that was not answered yet."""
        tokens = self.tokens["activity"]
        fresh = [token for token, answered in tokens.items() if not answered]
        if tokens:
            token = draw(st.sampled_from(fresh if fresh and draw(st.integers(0, 3)) else list(tokens)))
            how = draw(st.sampled_from(["Completed", "Failed", "Canceled"]))
            self._respond("activity", token, f"RespondActivityTask{how}")

    def _decisions(self, draw: Draw) -> dict[str, Any]:
        sticky = draw(st.sampled_from([None, None, "1", "30"]))
        more = {} if sticky is None else {"taskList": {"name": "left"}, "taskListScheduleToStartTimeout": sticky}
        return {"decisions": draw(_DECISIONS), **more}

    def _respond(self, kind: str, token: str, action: str, **more: Any) -> None:
        served = self.attempt(action, taskToken=token, **more) is not None
        assert not (self.tokens[kind][token] and served), "a token served twice"
        self.tokens[kind][token] |= served

    def heartbeat(self, draw: Draw) -> None:
        if self.tokens["activity"]:
            token = draw(st.sampled_from(list(self.tokens["activity"])[::-1]))
            self.attempt("RecordActivityTaskHeartbeat", taskToken=token, details="beat")

    def signal(self, draw: Draw) -> None:
        self.attempt("SignalWorkflowExecution", domain=_DOMAIN, workflowId=draw(_IDS), signalName="s")

    def cancel(self, draw: Draw) -> None:
        self.attempt("RequestCancelWorkflowExecution", domain=_DOMAIN, workflowId=draw(_IDS))

    def terminate(self, draw: Draw) -> None:
        policy = draw(st.one_of(st.none(), _POLICY))
        more = {} if policy is None else {"childPolicy": policy}
        self.attempt("TerminateWorkflowExecution", domain=_DOMAIN, workflowId=draw(_IDS), **more)

    def wait(self, draw: Draw) -> None:
        self.clock.advance(draw(st.sampled_from([0.001, 0.2, 0.5, 1.0, 1.0, 4.0, 30.0])))
        for _ in range(1_000):
            if not self.service.fire_due():
                break
        due = self.service.next_deadline()
        assert due is None or due > self.clock.now()

    # -- what must hold

    @stateful.invariant()
    def everything_holds(self) -> None:
        every = {"startTimeFilter": {"oldestDate": 0}}
        still = self.call("ListOpenWorkflowExecutions", domain=_DOMAIN, **every)["executionInfos"]
        closed = self.call("ListClosedWorkflowExecutions", domain=_DOMAIN, **every)["executionInfos"]
        assert self.call("CountOpenWorkflowExecutions", domain=_DOMAIN, **every)["count"] == len(still)
        assert self.call("CountClosedWorkflowExecutions", domain=_DOMAIN, **every)["count"] == len(closed)
        assert len(still) <= limits.OPEN_EXECUTIONS
        ids = Counter(info["execution"]["workflowId"] for info in still)
        assert all(count == 1 for count in ids.values()), "two open executions of one id"
        for info in (*still, *closed):
            self._read(info)
        runs = {info["execution"]["runId"] for info in (*still, *closed)}
        assert runs >= self.known.keys(), "an execution has gone"
        self._children({info["execution"]["runId"] for info in still})
        for name in ("left", "right"):
            self._pending(name)

    def _read(self, info: dict[str, Any]) -> None:
        execution = info["execution"]
        run_id = execution["runId"]
        described = self.call("DescribeWorkflowExecution", domain=_DOMAIN, execution=execution)
        assert described["executionInfo"] == info
        before = self.known.get(run_id)
        where = {"domain": _DOMAIN, "execution": execution}
        last = self.call("GetWorkflowExecutionHistory", **where, reverseOrder=True, maximumPageSize=1)["events"][0]
        if before is None or len(before[1].events) != last["eventId"]:
            events = self.call("GetWorkflowExecutionHistory", **where)["events"]
            if before is not None:
                assert events[: len(before[1].events)] == before[1].events, "history was rewritten"
            self.known[run_id] = (execution["workflowId"], machine_checks.Reading(events))
        read = self.known[run_id][1]
        assert (info["executionStatus"] == "CLOSED") == bool(read.closed)
        assert info.get("closeStatus", "") == machine_checks.CLOSED.get(read.closed, "")
        assert not read.outgoing or read.closed, "a signal or cancel request was never delivered"
        overdue = read.overdue(self.clock.now())
        assert not overdue or self._late(), (overdue, execution, self.service.next_deadline(), self.clock.now())
        if not read.closed:
            counts = described["openCounts"]
            assert counts == read.counts()
            assert counts["openActivityTasks"] <= limits.OPEN_ACTIVITIES
            assert counts["openTimers"] <= limits.OPEN_TIMERS
            assert counts["openChildWorkflowExecutions"] <= limits.OPEN_CHILDREN
        assert len(read.events) <= limits.HISTORY_EVENTS

    def _late(self) -> bool:
        """Whether something became due just now, by a clock that moved: only ``wait`` fires deadlines."""
        due = self.service.next_deadline()
        return due is not None and due <= self.clock.now()

    def _children(self, still: set[str]) -> None:
        for _, read in self.known.values():
            if not read.closed:
                for run_id in read.children.values():
                    family = self._line(run_id)
                    assert still & family, "a parent waits for a child that is closed"
            elif read.closed in ("WorkflowExecutionTerminated", "WorkflowExecutionTimedOut"):
                last = machine_checks.attributes(read.events[-1])
                for run_id in filter(None, read.children.values()):
                    family = self._line(run_id)
                    # the end of a child may be the event for which its parent's history had no room
                    if still & family or last.get("cause") != "EVENT_LIMIT_EXCEEDED":
                        self._policy(last["childPolicy"], family, still)

    def _policy(self, policy: str, family: set[str], still: set[str]) -> None:
        """A child that was open when its parent was terminated or timed out got what the policy says."""
        events = [event for run_id in family for event in self.known[run_id][1].events]
        causes = {(event["eventType"], machine_checks.attributes(event).get("cause")) for event in events}
        if policy == "TERMINATE":
            assert not still & family, "a child outlived the policy TERMINATE"
        elif policy == "REQUEST_CANCEL" and ("WorkflowExecutionTerminated", "EVENT_LIMIT_EXCEEDED") not in causes:
            assert ("WorkflowExecutionCancelRequested", "CHILD_POLICY_APPLIED") in causes

    def _line(self, run_id: str) -> set[str]:
        """Return this run and those that it continued as."""
        found = {run_id}
        last = self.known[run_id][1].events[-1]
        while last["eventType"] == "WorkflowExecutionContinuedAsNew":
            successor = machine_checks.attributes(last)["newExecutionRunId"]
            found.add(successor)
            last = self.known[successor][1].events[-1]
        return found

    def _pending(self, name: str) -> None:
        where = {"domain": _DOMAIN, "taskList": {"name": name}}
        reads = [read for _, read in self.known.values()]
        waiting = sum(read.waiting_activities()[name] for read in reads)
        assert self.call("CountPendingActivityTasks", **where)["count"] == waiting
        most = sum(read.waiting_decisions()[name] for read in reads)
        least = sum(read.waiting_decisions()[name] for read in reads if not read.started)
        assert least <= self.call("CountPendingDecisionTasks", **where)["count"] <= most

    def snapshot(self) -> Any:
        """Return everything that can be asked."""
        found: list[Any] = []
        for which, by in (("Open", "startTimeFilter"), ("Closed", "closeTimeFilter")):
            answer = self.call(f"List{which}WorkflowExecutions", domain=_DOMAIN, **{by: {"oldestDate": 0}})
            for info in answer["executionInfos"]:
                where = {"domain": _DOMAIN, "execution": info["execution"]}
                found += [info, self.call("DescribeWorkflowExecution", **where)]
                found.append(self.call("GetWorkflowExecutionHistory", **where)["events"])
        for name in ("left", "right"):
            where = {"domain": _DOMAIN, "taskList": {"name": name}}
            found += [self.call("CountPendingActivityTasks", **where), self.call("CountPendingDecisionTasks", **where)]
        found.append(self.service.next_deadline())
        return found

    def teardown(self) -> None:
        for which in ("Open", "Closed"):
            whole = self._listed(which)
            assert self._listed(which, maximumPageSize=2) == whole
            assert self._listed(which, maximumPageSize=3, reverseOrder=True) == whole[::-1]
        self.service.close()

    def _listed(self, which: str, **more: Any) -> list[dict[str, Any]]:
        request = {"domain": _DOMAIN, "startTimeFilter": {"oldestDate": 0}, **more}
        found: list[dict[str, Any]] = []
        while True:
            page = self.call(f"List{which}WorkflowExecutions", **request)
            found += page["executionInfos"]
            if "nextPageToken" not in page:
                return found
            request["nextPageToken"] = page["nextPageToken"]


class OnDisk(Machine):
    """The same over a file; it is closed and opened again, or left as after a power cut, at any moment."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.path = self.folder / "0.db"
        super().__init__()

    def open(self) -> service.Service:
        return service.Service(sqlite.open_file(self.path, synchronous="NORMAL"), self.clock)

    operations = Machine.operations | {"restart": 2, "crash": 1}

    def restart(self, draw: Draw) -> None:
        before = self.snapshot()
        self.service.close()
        self.service = self.open()
        assert self.snapshot() == before

    def crash(self, draw: Draw) -> None:
        before = self.snapshot()
        copy = self.folder / f"{int(self.path.stem) + 1}.db"
        for suffix in ("", "-wal"):
            source = self.path.with_name(self.path.name + suffix)
            if source.exists():
                shutil.copy(source, copy.with_name(copy.name + suffix))
        old, self.path = self.service, copy
        self.service = self.open()
        old.close()
        assert self.snapshot() == before
        assert not list(upkeep.check(self.path))

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder, ignore_errors=True)


def _run(machine: Callable[[], stateful.RuleBasedStateMachine], examples: int, steps: int, *, same: bool) -> None:
    stateful.run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=same,
            database=None,
            phases=_PHASES,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )


@pytest.mark.parametrize(("machine", "examples"), [(Machine, 30), (OnDisk, 10)])
def test_what_must_hold(machine: type[Machine], examples: int) -> None:
    _run(machine, examples, 80, same=True)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that random calls run into."""
    narrowed = {"HISTORY_EVENTS": 24, "OPEN_ACTIVITIES": 2, "OPEN_TIMERS": 2, "OPEN_CHILDREN": 1, "OPEN_EXECUTIONS": 5}
    for name, value in narrowed.items():
        monkeypatch.setattr(limits, name, value)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(("machine", "examples"), [(Machine, 15), (OnDisk, 5)])
def test_what_must_hold_near_the_limits(machine: type[Machine], examples: int) -> None:
    _run(machine, examples, 80, same=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("narrow")
def test_what_must_hold_near_the_limits_for_long() -> None:
    _run(Machine, 200, 100, same=False)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("machine", "examples"), [(Machine, 400), (OnDisk, 120)])
def test_what_must_hold_for_long(machine: type[Machine], examples: int) -> None:
    _run(machine, examples, 100, same=False)
