"""Service, decider and worker as step functions in one thread, in a stated order.

Each step does the first that can be done: what is due by the clock, one decision, one activity. Task lists are looked
at in alphabetical order, tasks of a list in the order in which they were scheduled. When nobody can run, time passes:
a virtual clock jumps to the next moment at which something is due.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import heapq
import itertools
import time as real_time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from simpleflow import dispatch, logging_context, utils
from simpleflow import engine as engines
from simpleflow.client import connect, inputs, starting
from simpleflow.core import attempt, clock, errors, interceptors
from simpleflow.data.blobs import memory
from simpleflow.process import signals
from simpleflow.runtime import beside, bounds, decider, execute, failures, needs, stores, values
from simpleflow.server import inprocess as local_service
from simpleflow.swf import errors as swf_errors
from simpleflow.swf.transport import base

from . import latency, watching

#: seconds between two heartbeats of an inline activity that takes time
HEARTBEAT = 1.0
DOMAIN = "default"
#: seconds for which activities of a local run may hold up a decision
PATIENCE = 0.05
#: tasks of types that take less than so many seconds are taken so many at a time, where activities go before decisions
QUICK, TOGETHER = 0.003, 16
#: what is done with the answer to a task, by its token
Respond = Callable[[values.Completed | values.Failed | values.Canceled, str], object]


class Stuck(errors.SimpleflowError):
    """Nothing can run and nothing is due: the execution would wait for ever."""


class Service(Protocol):
    """A service that somebody else opened and will close, whose time is told by the clock given to ``Inline``.

    Each poll returns at once. If no task waits, the answer is empty.
    """

    @property
    def connection(self) -> connect.Connection:
        """The way to its domain ``DOMAIN``, which is registered."""

    def fire_due(self) -> object:
        """Fire the deadlines that have passed; return something true when there were any."""

    def next_deadline(self) -> float | None:
        """Return the moment of the next deadline, in seconds since the epoch; None when nothing will be due."""


class Inline:
    """One service in memory with deciders and workers for every task list that its decisions name.

    ``virtual_time``: time stands still while anything runs, and jumps when nothing does. ``strict``: as of the engine,
    for classes that do not say. ``patience``: run activities for so many seconds before the next decision,
    which may cost more than they do. ``opened``: makes another service than the one in memory, for the clock that it
    gets. A context manager.
    """

    def __init__(
        self,
        *,
        virtual_time: bool = False,
        workflows: Sequence[type] = (),
        dispatcher: execute.Dispatcher | None = None,
        pre: Sequence[str] = (),
        post: Sequence[str] = (),
        mounted: Sequence[interceptors.Interceptor] = (),
        jumbo: str | None = None,
        strict: bool = False,
        patience: float = 0.0,
        opened: Callable[[clock.Clock], Service] | None = None,
    ) -> None:
        self._mounted = tuple(mounted)
        self._patience, self._decide_at = patience, 0.0
        #: run id -> what the program of a run that failed raised
        self.raised: dict[str, BaseException] = {}
        self.clock: clock.Clock = clock.VirtualClock() if virtual_time else clock.RealClock()
        self._service = (opened or _Memory)(self.clock)
        self._other_service = opened is not None
        self._decision_lists: set[str] = set()
        self._activity_lists: set[str] = set()
        transport = watching.Watching(self._service.connection.transport, self._decision_lists, self._activity_lists)
        self.connection = dataclasses.replace(self._service.connection, transport=transport)
        # In one process, memory is where values over a limit may go: they travel as they do elsewhere.
        blobs = memory.MemoryStore()
        self._store = store = (
            stores.open_store(jumbo)
            if jumbo
            else stores.Store(blobs.url, opener=lambda url: blobs, codec=stores.codecs())
        )
        self._payloads = payloads = stores.payloads()
        self._transport = transport
        self._decider = decider.Decider(
            transport,
            engines.Engine(
                workflows=workflows,
                payloads=payloads,
                offloads=store.offloads,
                strict=strict,
                bounds=bounds.of_settings(),
                failed=self.raised.__setitem__,
            ),
            decider.Options(domain=DOMAIN, task_list="inline", identity="inline", alone=True, declines=False),
            resolver=needs.Resolver(
                transport,
                domain=DOMAIN,
                load=store.load,
                pause=(lambda seconds: None) if virtual_time else real_time.sleep,
                local=beside.Inline(
                    execute.Executor(dispatcher=dispatcher or dispatch.Dispatcher(), payloads=payloads, store=store)
                ).run,
            ),
            store=store,
            time=self.clock,
            mounted=mounted,
        )
        self._executor = execute.Executor(
            dispatcher=dispatcher or dispatch.Dispatcher(),
            payloads=payloads,
            store=store,
            middleware=execute.Middleware(pre, post),
            mounted=mounted,
            lingers=True,
        )
        #: (due, order, what): answers of activities that take time, and their heartbeats
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._numbers = itertools.count(1)
        self._gone: set[str] = set()
        #: type of activity -> seconds that its last task took
        self._paces: dict[tuple[str, str], float] = {}

    @property
    def store(self) -> stores.Store:
        """Where values over a limit lie."""
        return self._store

    # -- which lists there are

    def serve(self, task_list: str) -> None:
        """Poll this decision task list too; those that pass through this place's own transport are known."""
        self._decision_lists.add(task_list)

    # -- steps

    def step(self) -> bool:
        """Do the first thing that can be done now; return False when nothing can."""
        if self._decide_at and self.clock.monotonic() < self._decide_at and self._work():
            return True
        self._decide_at = 0.0
        logging_context.reset()
        if self._due() or self._decide():
            return True
        if self._patience:
            self._decide_at = self.clock.monotonic() + self._patience
        return self._work()

    def _due(self) -> bool:
        fired = bool(self._service.fire_due())
        self._transport.closing |= fired
        if self._later and self._later[0][0] <= self.clock.now():
            heapq.heappop(self._later)[2]()
            fired = True
        return fired

    def _decide(self) -> bool:
        for name in sorted(self._decision_lists):
            answer = self._decider.poll(name)
            if answer is not None:
                self._decider.handle(answer)
                return True
        return False

    def _work(self) -> bool:
        for name in sorted(self._activity_lists):
            request = {"domain": DOMAIN, "taskList": {"name": name}, "identity": "inline"}
            answer = self._transport.call("PollForActivityTask", request)
            if answer.task_token:
                if self._patience:
                    self._run_several(answer, name, request)
                else:
                    self._run(answer, name, self._respond)
                return True
        return False

    def _run_several(self, first: Any, task_list: str, request: Mapping[str, Any]) -> None:
        """Run tasks of one list until the next decision is due; what they say goes in one call, that brings more."""
        tasks: Sequence[Any] = (first,)
        poll = msgspec.json.encode(request).decode()
        while tasks:
            answers: dict[str, values.Completed | values.Failed | values.Canceled] = {}
            keep = functools.partial(_keep, answers)
            for task in tasks:
                begun = self.clock.monotonic()
                self._run(task, task_list, keep)
                self._paces[task.activity_type.name, task.activity_type.version] = self.clock.monotonic() - begun
            following = None
            if self.clock.monotonic() < self._decide_at:
                quick = tuple(kind for kind, seconds in self._paces.items() if seconds < QUICK)
                following = base.Following(poll, str(next(self._order)), most=TOGETHER, quick=quick)
            said = [values.to_request(each, token) for token, each in answers.items() if token not in self._gone]
            self._gone.update(answers)
            exchanged = self._transport.exchange_several(said, following)
            if exchanged is None:  # the service does not do that
                for each in said:
                    self._send(*each)
                return
            for refusal in exchanged.refusals:
                if refusal is not None and not isinstance(refusal, swf_errors.UnknownResourceFault):
                    raise refusal
            tasks = exchanged.tasks

    def _run(self, answer: Any, task_list: str, respond: Respond) -> None:
        task, token = values.Task.of(answer, domain=DOMAIN, task_list=task_list), answer.task_token
        for interceptor in self._mounted:
            interceptor.task_received(task.received())
        with latency.measured() as cost:
            reports = _Reports(self._transport, token)
            running = attempt.Attempt(reports.send, lambda: reports.cancel_requested, token=token)
            try:
                with attempt.running(running):
                    response = self._executor.handle(task)
            except latency.Hangs as hangs:
                if hangs.alive:
                    self._beat(token)
                return self._tell_end(task, None, cost.seconds)
            except latency.Dies as dies:
                words = f"the task runner {signals.describe_exit(-dies.number)}"
                response = failures.of_words("RunnerDied", words)
        self._tell_end(task, response, cost.seconds)
        if isinstance(response, values.Later):
            return None
        if isinstance(response, values.Failed):
            response = msgspec.structs.replace(response, details=attempt.with_report(response.details, reports.last))
        if cost.seconds <= 0:
            respond(response, token)
            return None
        answered = response
        self._beat(token)
        return self._at(cost.seconds, lambda: self._respond(answered, token))

    def _tell_end(self, task: values.Task, response: values.Answer | None, seconds: float) -> None:
        for interceptor in reversed(self._mounted):
            interceptor.task_answered(task.answered(response, seconds))

    def _at(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._later, (self.clock.now() + seconds, next(self._order), what))

    def _beat(self, token: str) -> None:
        self._at(HEARTBEAT, lambda: self._send_beat(token))

    def _send_beat(self, token: str) -> None:
        if token in self._gone:
            return
        try:
            status = self._transport.call("RecordActivityTaskHeartbeat", {"taskToken": token})
        except swf_errors.UnknownResourceFault:
            self._gone.add(token)
            return
        if status.cancel_requested:
            self._respond(values.Canceled(), token)
            return
        self._beat(token)

    def _respond(self, response: values.Completed | values.Failed | values.Canceled, token: str) -> None:
        if token in self._gone:
            return
        self._gone.add(token)
        self._send(*values.to_request(response, token))

    def _send(self, action: str, request: Mapping[str, Any]) -> None:
        with contextlib.suppress(swf_errors.UnknownResourceFault):  # it timed out, or its execution is closed
            self._transport.call(action, request)

    # -- time

    def run_for(self, seconds: float) -> None:
        """Let so much time pass, doing everything that becomes possible at its moment."""
        self._at(seconds, lambda: None)
        end = self.clock.now() + seconds
        while True:
            if self.step():
                continue
            if self.clock.now() >= end:
                return
            self._pass_time()

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Step, and let time pass, until the condition holds. Raises Stuck when nothing will ever happen.

        It is looked at after what can close an execution, and when nothing can run: looking costs as much as a step.
        """
        self._transport.closing = True
        while True:
            if self._transport.closing:
                self._transport.closing = False
                if condition():
                    return
            if not self.step():
                if condition():
                    return
                self._pass_time()

    def _pass_time(self) -> None:
        """Nobody can run: let time pass until something is due."""
        moments = [self._later[0][0]] if self._later else []
        deadline = self._service.next_deadline()
        if deadline is not None:
            moments.append(deadline)
        if self._other_service and self.step():
            return  # it fired a deadline by itself, after it was asked for tasks
        if not moments:
            raise Stuck(
                "nothing can run and nothing is due: does the workflow wait for a signal that nobody sends, or an "
                "activity for somebody to complete it?"
            )
        if isinstance(self.clock, clock.VirtualClock):
            self.clock.advance_to(min(moments))
        else:
            real_time.sleep(max(0.0, min(min(moments) - self.clock.now(), 0.5)))

    def start(self, cls: Any, envelope: Mapping[str, Any], **options: Any) -> str:
        """Start an execution of a workflow class; ``options`` as of ``client.starting.request``. Return its run id."""
        asked = starting.request(cls, utils.full_object_name(cls), envelope, **options)
        return starting.begin(self._transport, DOMAIN, asked, store=self._store)

    def outcome(self, workflow_id: str, run_id: str) -> tuple[str, Any]:
        """Return the close status of a closed run and the attributes of its last event."""
        request = {"domain": DOMAIN, "execution": {"workflowId": workflow_id, "runId": run_id}}
        status = self._transport.call("DescribeWorkflowExecution", request).execution_info.close_status
        page = self._transport.call(
            "GetWorkflowExecutionHistory", {**request, "reverseOrder": True, "maximumPageSize": 1}
        )
        return status, page.events[0].attributes

    def load(self, text: str) -> Any:
        """Return the value of a result: its text parsed, a jumbo value fetched."""
        return self._payloads.decode(self._store.load(text))

    def next_number(self) -> int:
        """Return 1, 2, 3, ...: ids that are the same in every run of a test."""
        return next(self._numbers)

    def signal(self, workflow_id: str, name: str, value: Any) -> None:
        """Send a signal to the open run of this id, as a client does."""
        request = {"domain": DOMAIN, "workflowId": workflow_id}
        sent = inputs.signal(name, value, self._payloads, self._store)
        self._transport.call("SignalWorkflowExecution", {**request, **sent})

    def cancel(self, workflow_id: str, run_id: str) -> None:
        """Request the cancellation of a run."""
        request = {"domain": DOMAIN, "workflowId": workflow_id, "runId": run_id}
        self._transport.call("RequestCancelWorkflowExecution", request)

    def history(self, workflow_id: str, run_id: str) -> list[Any]:
        """Return every event of a run."""
        request: dict[str, Any] = {"domain": DOMAIN, "execution": {"workflowId": workflow_id, "runId": run_id}}
        found: list[Any] = []
        while True:
            page = self._transport.call("GetWorkflowExecutionHistory", request)
            found += page.events
            if not page.next_page_token:
                return found
            request["nextPageToken"] = page.next_page_token

    def run_until_closed(self, workflow_id: str, run_id: str) -> str:
        """Run until this execution is closed, and each that continues it as new. Return the last one's run id."""
        while True:
            request = {"domain": DOMAIN, "execution": {"workflowId": workflow_id, "runId": run_id}}
            started = self._transport.call("DescribeWorkflowExecution", request)
            self.serve(started.execution_configuration.task_list.name)

            def closed(request: dict[str, Any] = request) -> bool:
                answer = self._transport.call("DescribeWorkflowExecution", request)
                return bool(answer.execution_info.execution_status == "CLOSED")

            self.run_until(closed)
            status, last = self.outcome(workflow_id, run_id)
            if status != "CONTINUED_AS_NEW":
                return run_id
            run_id = last.new_execution_run_id

    def close(self) -> None:
        logging_context.reset()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _keep(answers: dict[str, Any], response: Any, token: str) -> None:
    answers[token] = response


class _Memory:
    """The service in this process."""

    def __init__(self, time: clock.Clock) -> None:
        owned = local_service.open_memory(clock=time, domain=DOMAIN)
        self.connection = connect.Connection(transport=local_service.transport(owned), domain=DOMAIN, endpoint_url=None)
        self.fire_due = owned.fire_due
        self.next_deadline = owned.next_deadline


class _Reports:
    """Heartbeats that the code of an activity sends."""

    def __init__(self, transport: base.Transport, token: str) -> None:
        self._transport = transport
        self._token = token
        #: details of the latest one that had any
        self.last: str | None = None
        self.cancel_requested = False

    def send(self, details: str | None) -> None:
        request = {"taskToken": self._token}
        if details is not None:
            self.last = request["details"] = details
        try:
            status = self._transport.call("RecordActivityTaskHeartbeat", request)
        except swf_errors.UnknownResourceFault:
            return  # it timed out meanwhile
        self.cancel_requested = status.cancel_requested
