"""The client: start executions, talk to them, wait for their results, on any backend.

    with Client() as client:                      # the embedded service; Client(domain="prod") is Amazon SWF
        run = client.start(jobs.Nightly, 7)
        client.signal(run, "go", {"fast": True})
        print(client.result(run, timeout=600))

See docs/how-to/clients.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import msgspec

from simpleflow import engine, settings, utils
from simpleflow import workflow as workflows
from simpleflow.core import attempt, errors, events, interceptors, limits, numbers, text
from simpleflow.data import codec, converter, jumbo
from simpleflow.swf import registration
from simpleflow.utils import mounting

from . import activities, connect, executions, inputs, resuming, starting

T = TypeVar("T")


def _as_answered(found: Sequence[events.Base]) -> tuple[tuple[events.Base, ...], int]:
    """Return what the last decision that was answered knew, with what its answer caused, and the event it began with.

    What came after is not decided yet; and without its consequences side effects would be drawn anew.
    """
    answered = [event for event in found if isinstance(event, events.DecisionTaskCompleted)]
    if not answered:
        return (), 0
    last, started = answered[-1].id, answered[-1].attributes.started_event_id

    def known(event: Any) -> bool:
        caused_by = getattr(event.attributes, "decision_task_completed_event_id", 0)
        return bool(event.id <= started or event.id == last or caused_by == last)

    return tuple(event for event in found if known(event)), started


class Failed(errors.SimpleflowError):
    """The execution did not complete: ``status`` is FAILED, CANCELED, TERMINATED or TIMED_OUT.

    ``reason`` and ``details`` are texts of the closing event, or None.
    """

    def __init__(self, closed: executions.Closed) -> None:
        reason = f": {closed.reason}" if closed.reason else ""
        super().__init__(f"{closed.run.workflow_id} {closed.status.lower().replace('_', ' ')}{reason}")
        self.status = closed.status
        self.reason = closed.reason
        self.details = closed.details


class Client:
    """One connection to one domain. Thread safe. A context manager."""

    def __init__(
        self,
        connection: connect.Connection | None = None,
        *,
        domain: str | None = None,
        backend: str | None = None,
        endpoint_url: str | None = None,
        mounted: Sequence[interceptors.ClientInterceptor] = (),
    ) -> None:
        """Open a connection, or use the one that is given.

        Args:
            connection: a connection that is open; the next three are not used then.
            domain: name of the domain; alone it means Amazon SWF. None: ``default``.
            backend: ``"embedded"`` or ``"swf"``; None: swf with a domain, else embedded.
            endpoint_url: URL of another service.
            mounted: interceptors around each start. Those that SIMPLEFLOW_INTERCEPTORS names are around each call.

        Raises UsageError for options that exclude each other.
        """
        self._calls = mounting.mounted()
        self._connection = connection or connect.connect(domain, backend, endpoint_url)
        self._mounted = (*mounted, *self._calls)
        self._payloads = converter.Converter()
        self._types = registration.Registrar(self._connection.transport, self._connection.domain)

    @property
    def domain(self) -> str:
        """The name of the domain."""
        return self._connection.domain

    def start(
        self,
        workflow: type[workflows.Workflow],
        /,
        *args: Any,
        options: starting.StartOptions | None = None,
        **kwargs: Any,
    ) -> executions.Run:
        """Start an execution of a workflow class with these arguments.

        ``options``: workflow_id, execution_timeout and decision_tasks_timeout (seconds or timedelta), tags,
        task_list. What it does not have comes from the class, then from the settings. Raises UsageError when the
        arguments cannot be serialised, SimpleflowError when an execution of that id is open.
        """
        if workflow.__module__ == "__main__":
            raise errors.UsageError(
                f"workflow {workflow.__qualname__} is defined in the script that runs, where no decider can import it: "
                "put it into a module and import it from there, or run it here with simpleflow.local.Executor"
            )
        envelope = {"args": list(args), "kwargs": kwargs}
        asked = starting.request(
            workflow, utils.full_object_name(workflow), envelope, **(options or starting.StartOptions())
        )
        return self.begin(asked)

    def begin(self, asked: Mapping[str, Any]) -> executions.Run:
        """Start an execution by a StartWorkflowExecution request; ``asked`` has its members, without the domain."""
        run_id = starting.begin(
            self._connection.transport,
            self.domain,
            asked,
            store=self._store,
            mounted=self._mounted,
            calls=self._calls,
            types=self._types,
        )
        return executions.Run(domain=self.domain, workflow_id=asked["workflowId"], run_id=run_id)

    def resume(
        self,
        run: executions.Run | str,
        run_id: str | None = None,
        from_: int | str | None = None,
        *,
        again: str | None = None,
        task_list: str | None = None,
        **changes: Unpack[resuming.Changes],
    ) -> executions.Run:
        """Start a new run of a failed, timed out, terminated or canceled one, which does only what is left to do.

        It has the input, tags and settings of the stopped run. It takes over the completed results, the signals, side
        effects and patches, and gives the same ``uuid4()`` and ``random()``. What failed, timed out, was canceled or
        was open runs again. Any decider and worker can run it, also once the old history has expired.

        Args:
            run: a run, or a workflow id: its latest run, or that of ``run_id``.
            from_: a number: everything before this event is as it was, failures too. The id of an activity, child
                workflow or timer: it runs again, and so does what was scheduled after it had ended.
            again: a regular expression; activities and child workflows whose id or type it matches run again.
            task_list: of its decisions; default: that of the stopped run.
            changes: input (``{"args": [...], "kwargs": {...}}``), tags, and execution_timeout and
                decision_tasks_timeout (seconds, or timedelta), where they are to be others than those of the stopped
                run. Results are found by the arguments of their tasks.

        Raises UsageError for a run that is open, or completed when ``from_`` is not given, and without a place for the
        results (SIMPLEFLOW_JUMBO_FIELDS_BUCKET); SimpleflowError when another run of that id is open.
        """
        meant = run if isinstance(run, executions.Run) else self.find(run, run_id)
        return resuming.resume(
            self._connection, self._store, meant, from_=from_, again=again, task_list=task_list, changes=changes
        )

    def find(self, workflow_id: str, run_id: str | None = None) -> executions.Run:
        """Return the run of that workflow id: the open one, else the latest. Raises SimpleflowError for none."""
        return executions.find(self._connection, workflow_id, run_id)

    def signal(self, run: executions.Run | str, name: str, value: Any = None) -> None:
        """Send a signal; its input is the value as JSON, none for None: what ``wait_signal(name)`` has as ``value``.

        Raises executions.NotOpen.

        As SWF does, this and the next two speak to whatever run is open under the workflow id: of a run that continued
        as new that is its successor. A run that ``find`` was given with its run id is meant alone.
        """
        more = inputs.signal(name, value, self._payloads, self._store)
        meant = self._open(run)
        self._around(
            "signal", lambda: executions.act(self._connection, "SignalWorkflowExecution", meant, **more), meant, name
        )

    def cancel(self, run: executions.Run | str) -> None:
        """Request the cancellation of a run; its workflow decides what follows. Raises executions.NotOpen."""
        meant = self._open(run)
        self._around("cancel", lambda: executions.act(self._connection, "RequestCancelWorkflowExecution", meant), meant)

    def terminate(self, run: executions.Run | str, reason: str = "terminated by a client") -> None:
        """Terminate a run and its child executions at once; their code stops. Raises executions.NotOpen."""
        meant = self._open(run)
        self._around("terminate", lambda: executions.terminate(self._connection, meant, reason=reason), meant)

    def describe(self, run: executions.Run | str) -> Any:
        """Return DescribeWorkflowExecution's answer (``swf.shapes.ExecutionDetail``)."""
        return executions.describe(self._connection, self._found(run))

    def history(self, run: executions.Run | str, *, reverse: bool = False) -> Iterator[events.Base]:
        """Yield every event of a run, oldest first; with ``reverse`` newest first. Pages are fetched as needed."""
        return executions.history(self._connection, self._found(run), reverse=reverse)

    def wait(self, run: executions.Run | str, timeout: numbers.Duration | None = None) -> executions.Closed:
        """Wait until the run, or the last run that continues it, is closed; return how it closed.

        ``timeout``: seconds, or a timedelta. Raises executions.StillOpen when it is open after that.
        """
        seconds = None if timeout is None else numbers.delay("timeout", timeout)
        return executions.wait(self._connection, self._found(run), timeout=seconds)

    def result(self, run: executions.Run | str, timeout: numbers.Duration | None = None) -> Any:
        """Wait until the run has completed and return the result of its workflow.

        ``timeout``: seconds, or a timedelta; 0 does not wait, None waits without a limit. Raises Failed when the run
        ends otherwise, executions.StillOpen when it is open after ``timeout``.
        """
        closed = self.wait(run, timeout)
        if closed.status != "COMPLETED":
            raise Failed(closed)
        return None if closed.result is None else self._payloads.decode(self._store.load(closed.result))

    def query(self, run: executions.Run | str, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the workflow where its ``run()`` is blocked now, or ended, and return what it returns.

        Its history is replayed in this process, read-only: nothing is decided or sent, and the class must be
        importable here. Raises Misuse when the class has no such method, and what the method raises.
        """
        meant = self._found(run)
        return self._around("query", lambda: self._query(meant, method, args, kwargs), meant, method)

    def _query(self, run: executions.Run, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found, started = _as_answered(tuple(self.history(run)))
        if not found:
            raise errors.SimpleflowError(
                f"{run.workflow_id} {run.run_id} had no decision yet: query it once a decider took it"
            )
        info = self.describe(run).execution_info
        task = engine.DecisionTask(
            domain=run.domain,
            workflow_id=run.workflow_id,
            run_id=run.run_id,
            workflow_name=info.workflow_type.name,
            workflow_version=info.workflow_type.version,
            previous_started_event_id=0,
            started_event_id=started,
            events=found,  # type: ignore[arg-type]  # 54 types, one base
            complete=True,
        )
        replayed = engine.Engine(payloads=self._payloads)
        while True:
            answer = replayed.query(task, method, args, kwargs)
            if not isinstance(answer, engine.Needs):
                return answer
            loaded = {pointer: self._store.load(pointer) for pointer in answer.blobs}
            if not set(loaded) - set(task.blobs):
                raise errors.SimpleflowError(f"{run.workflow_id} cannot be queried before its next decision is made")
            task = msgspec.structs.replace(task, blobs={**task.blobs, **loaded})

    def open_activities(self) -> list[activities.OpenTask]:
        """Return the activity tasks that another program must complete (``activity.complete_later``), oldest first.

        Raises UsageError without a place where workers keep the tokens (``SIMPLEFLOW_JUMBO_FIELDS_BUCKET``; the
        embedded service's data folder is one).
        """
        return activities.waiting(self._connection, self._store)

    def complete_activity(self, token: str, result: Any = None) -> None:
        """Complete an activity task by its token: ``result`` is what the activity returned. Raises
        activities.TaskNotOpen, UsageError for a result that cannot be serialised."""
        encoded = None
        if result is not None:
            try:
                encoded = self._store.offload(self._payloads.encode(result), field="result", limit=limits.DATA)
            except TypeError as error:
                raise errors.UsageError(f"the result cannot be serialised: {error}") from error
        self._respond("complete", "RespondActivityTaskCompleted", token, result=encoded)

    def fail_activity(self, token: str, reason: str, details: str | None = None) -> None:
        """Fail an activity task by its token. ``reason`` has at most 256 characters, ``details`` is any text; a retry
        follows where the activity has one. Raises activities.TaskNotOpen."""
        if details is None:
            failure = text.Details(
                error="Failed", error_type="simpleflow.client.Failed", message=text.encodable(reason)
            )
            details = text.encode_details(failure)
        details = self._store.offload(text.encodable(details), field="details", limit=limits.DATA)
        reason = text.safe(reason, limits.REASON)
        self._respond("fail", "RespondActivityTaskFailed", token, reason=reason, details=details)

    def cancel_activity(self, token: str, details: str | None = None) -> None:
        """Answer the cancel request of an activity task by its token. Raises activities.TaskNotOpen."""
        self._respond("cancel", "RespondActivityTaskCanceled", token, details=details)

    def heartbeat_activity(self, token: str, details: Any = None) -> bool:
        """Keep an activity task alive by its token; return whether its cancellation is requested.

        ``details``: as of ``activity.heartbeat``. Raises activities.TaskNotOpen.
        """
        encoded = None if details is None else attempt.encoded(details)
        return self._around("heartbeat_activity", lambda: activities.heartbeat(self._connection, token, encoded))

    def _respond(self, what: str, action: str, token: str, **fields: str | None) -> None:
        self._around(
            f"{what}_activity", lambda: activities.respond(self._connection, self._store, action, token, **fields)
        )

    def _around(self, what: str, proceed: Callable[[], T], run: executions.Run | None = None, name: str = "") -> T:
        call = interceptors.ClientCall(
            what=what,
            domain=self.domain,
            workflow_id="" if run is None else run.workflow_id,
            run_id="" if run is None else run.run_id,
            name=name,
        )
        return interceptors.around(self._calls, call, proceed)

    def close(self) -> None:
        """Close the connections of this client; the service goes on."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, run: executions.Run | str) -> executions.Run:
        if isinstance(run, executions.Run):
            return run
        return executions.Run(domain=self.domain, workflow_id=run, run_id="")

    def _found(self, run: executions.Run | str) -> executions.Run:
        return run if isinstance(run, executions.Run) else self.find(run)

    @property
    def _store(self) -> jumbo.Store:
        place = jumbo.location(
            settings.SIMPLEFLOW_JUMBO_FIELDS_BUCKET, settings.SIMPLEFLOW_DATA_DIR, self._connection.endpoint_url
        )
        chain = codec.of_settings(
            settings.SIMPLEFLOW_ENCRYPTION_KEYS, settings.SIMPLEFLOW_COMPRESSION, settings.SIMPLEFLOW_CODECS
        )
        return jumbo.Store(place, codec=chain)
