"""Test workflows without waiting: service, deciders and workers in one thread, on a clock that jumps.

    def test_it_gives_up_after_a_month() -> None:
        with Environment(virtual_time=True) as environment:
            run = environment.start(Nightly, 3)
            environment.advance(30 * DAY)
            assert environment.wait(run) == "gave up"

An activity that runs here takes no time unless it says so (``testing.takes``, ``hang``, ``dies``).
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import msgspec

from simpleflow import base
from simpleflow.client import executions, resuming
from simpleflow.core import clock, errors, events, interceptors, numbers
from simpleflow.local import inline
from simpleflow.local.latency import dies, hang, takes
from simpleflow.runtime import execute

from . import recording
from .replaying import replay

__all__ = ["Environment", "Failed", "Run", "dies", "hang", "takes"]


T = TypeVar("T")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run that an environment started: its ``workflow_id`` and ``run_id``."""

    workflow_id: str
    run_id: str


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a closed environment."""

    run: Run
    events: tuple[Any, ...]


class Failed(errors.SimpleflowError):
    """The run did not complete: ``status`` is FAILED, TIMED_OUT, CANCELED or TERMINATED.

    ``reason`` and ``details`` are texts of the closing event, or None.
    """

    def __init__(self, status: str, reason: str | None, details: str | None) -> None:
        super().__init__(f"the workflow {status.lower()}: {reason or 'no reason given'}")
        self.status = status
        self.reason = reason
        self.details = details


class Environment:
    """A service in memory with a decider and a worker, driven step by step by the test. A context manager.

    A step does the first that can be done: a deadline that is due, a decision, an activity. The same program gives the
    same history every time.

    Args:
        virtual_time: time stands still while anything runs, and jumps to the next deadline when nothing can; False:
            the real clock.
        workflows: classes that children or other starters name; those that ``start`` gets are known by themselves.
        dispatcher: finds activities by name instead of importing them, for fakes.
        pre, post: dotted names of middleware, called before and after each activity.
        replay: under pytest, replay the histories at the end of the test.
        strict: refuse ``run()`` what would differ in a re-run (clocks, random numbers), in classes that do not set
            ``strict`` themselves.
        mounted: interceptors around its decisions and activities.
        jumbo: where values over SWF's limits lie, ``file://`` or a bucket; None: in memory.
        opened: makes another service than the one in memory, for the environment's clock.
    """

    def __init__(
        self,
        *,
        virtual_time: bool = True,
        workflows: Sequence[type] = (),
        dispatcher: execute.Dispatcher | None = None,
        pre: Sequence[str] = (),
        post: Sequence[str] = (),
        replay: bool = True,
        strict: bool = True,
        mounted: Sequence[interceptors.Interceptor] = (),
        jumbo: str | None = None,
        opened: Callable[[clock.Clock], inline.Service] | None = None,
    ) -> None:
        self._workflows = list(workflows)
        self._strict = strict
        self._saved: list[_Saved] | None = None
        if replay and recording.watched is not None:
            recording.watched.append(self)
        self._place = inline.Inline(
            virtual_time=virtual_time,
            workflows=workflows,
            dispatcher=dispatcher,
            pre=pre,
            post=post,
            strict=strict,
            mounted=mounted,
            jumbo=jumbo,
            opened=opened,
        )

    @property
    def clock(self) -> clock.Clock:
        """The environment's clock: of virtual time it stands still while anything runs."""
        return self._place.clock

    @property
    def now(self) -> datetime.datetime:
        """The environment's time, aware, UTC."""
        return datetime.datetime.fromtimestamp(self._place.clock.now(), datetime.UTC)

    @property
    def connection(self) -> Any:
        """A connection to the environment's service, for clients under test."""
        return self._place.connection

    def start(self, workflow: type, *args: Any, **kwargs: Any) -> Run:
        """Start an execution with these arguments and return it.

        Nothing of it runs before ``wait``, ``advance``, ``settle`` or ``step`` is called.
        """
        if workflow not in self._workflows:
            self._workflows.append(workflow)
        identifier = f"{workflow.name}-{self._place.next_number()}"  # type: ignore[attr-defined]  # Workflow classes have it
        run_id = self._place.start(workflow, {"args": list(args), "kwargs": kwargs}, workflow_id=identifier)
        return Run(workflow_id=identifier, run_id=run_id)

    @overload
    def run(self, workflow: type[base.Runs[Coroutine[Any, Any, T]]], *args: Any, **kwargs: Any) -> T: ...

    @overload
    def run(self, workflow: type[base.Runs[T]], *args: Any, **kwargs: Any) -> T: ...

    def run(self, workflow: type, *args: Any, **kwargs: Any) -> Any:
        """Start an execution, wait for its end and return its result. Raises Failed."""
        return self.wait(self.start(workflow, *args, **kwargs))

    def wait(self, run: Run) -> Any:
        """Let time pass until the run is closed, and return what the workflow returned.

        Raises ``Failed`` when the run closes otherwise, ``Stuck`` when nothing is left that could end it.
        """
        ended = self._place.run_until_closed(run.workflow_id, run.run_id)
        status, last = self._place.outcome(run.workflow_id, ended)
        if status != "COMPLETED":
            raise Failed(status, executions.why(last), getattr(last, "details", None))
        return None if last.result is None else self._place.load(last.result)

    def step(self) -> bool:
        """Do the first thing that can be done now. Returns False when nothing can before time passes."""
        return self._place.step()

    def settle(self) -> None:
        """Do everything that can be done without time passing."""
        while self._place.step():
            pass

    def advance(self, seconds: numbers.Duration) -> None:
        """Let this many seconds, or a timedelta, pass; everything that becomes due on the way is done at its moment."""
        self._place.run_for(numbers.delay("seconds of advance()", seconds, most=math.inf))

    def signal(self, run: Run | str, name: str, value: Any = None) -> None:
        """Send a signal, as ``Client.signal`` does: its input is the value as JSON, none for None.

        It goes to the open run under the workflow id; ``run`` may be that id alone.
        """
        self._place.signal(run if isinstance(run, str) else run.workflow_id, name, value)

    def cancel(self, run: Run) -> None:
        """Request the cancellation of a run."""
        self._place.cancel(run.workflow_id, run.run_id)

    def terminate(self, run: Run) -> None:
        """Terminate a run and its children at once."""
        meant = executions.Run(domain=self.connection.domain, workflow_id=run.workflow_id, run_id=run.run_id)
        executions.terminate(self.connection, meant, reason="terminated by a test")

    def resume(self, run: Run, from_: int | str | None = None, *, again: str | None = None) -> Run:
        """Start a new run of a stopped one, as ``Client.resume`` does."""
        stopped = executions.Run(domain=self.connection.domain, workflow_id=run.workflow_id, run_id=run.run_id)
        fresh = resuming.resume(self.connection, self._place.store, stopped, from_=from_, again=again)
        return Run(workflow_id=fresh.workflow_id, run_id=fresh.run_id)

    def history(self, run: Run) -> list[events.Base]:
        """Return every event of a run."""
        return self._place.history(run.workflow_id, run.run_id)

    def dump(self, run: Run, path: str | Path) -> None:
        """Write the history of a run to a file, as ``workflow.dump`` does: for ``replay_all``."""
        replay.write(path, run.workflow_id, run.run_id, self.history(run))

    def verify(self) -> None:
        """Replay every execution so far, each decision resumed and from the start. Raises ``testing.Diverged``."""
        for saved in self._executions() if self._saved is None else self._saved:
            try:
                replay.verify(
                    self._workflows,
                    saved.events,
                    workflow_id=saved.run.workflow_id,
                    run_id=saved.run.run_id,
                    load=self._place.store.load,
                    strict=self._strict,
                )
            except replay.Diverged as error:
                raise replay.Diverged(f"{saved.run.workflow_id} (run {saved.run.run_id}): {error}") from None

    def _executions(self) -> list[_Saved]:
        found: list[_Saved] = []
        for action in ("ListOpenWorkflowExecutions", "ListClosedWorkflowExecutions"):
            request: dict[str, Any] = {"domain": self.connection.domain, "startTimeFilter": {"oldestDate": 0}}
            while True:
                page = self.connection.transport.call(action, request)
                for info in page.execution_infos:
                    run = Run(workflow_id=info.execution.workflow_id, run_id=info.execution.run_id)
                    found.append(_Saved(run=run, events=tuple(self.history(run))))
                if not page.next_page_token:
                    break
                request["nextPageToken"] = page.next_page_token
        return found

    def close(self) -> None:
        """End it; its executions are kept for the replay at the end of the test."""
        if self._saved is None:
            self._saved = self._executions() if recording.watched is not None else []
            self._place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
