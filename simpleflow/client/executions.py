"""Find, wait for, act on and describe executions: what the client and the command line share."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from simpleflow.core import errors, events, limits, retries
from simpleflow.swf import errors as swf_errors
from simpleflow.swf import repeating

from . import connect

#: seconds between two looks at an execution, growing from the first to the last; on this machine looks are cheap
FIRST_LOOK, LAST_LOOK, LAST_LOCAL_LOOK = 0.05, 1.0, 0.2
#: seconds by which the service's clock may be behind this machine's
_CLOCKS = 5.0
#: a year: the retention period is at most 90 days
LONG_AGO_DAYS = 366


class StillOpen(errors.SimpleflowError):
    """The run was not closed in time."""


class NotOpen(errors.SimpleflowError):
    """The run is closed, or there is none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run, fully named."""

    domain: str
    workflow_id: str
    run_id: str
    #: this very run is meant, not the one that is open under its id
    pinned: bool = dataclasses.field(default=False, compare=False)

    @property
    def wire(self) -> dict[str, Any]:
        return {
            "domain": self.domain,
            "execution": {"workflowId": self.workflow_id, "runId": self.run_id},
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Closed:
    """How a run ended."""

    run: Run
    #: COMPLETED, FAILED, CANCELED, TERMINATED, TIMED_OUT or CONTINUED_AS_NEW
    status: str
    result: str | None = None
    reason: str | None = None
    details: str | None = None


def find(connection: connect.Connection, workflow_id: str, run_id: str | None = None, domain: str | None = None) -> Run:
    """Return the run that is meant; without a run id the open one, else the latest closed one.

    ``domain`` replaces the connection's. Raises SimpleflowError when there is none.
    """
    domain = domain or connection.domain
    if run_id is not None:
        return Run(domain=domain, workflow_id=workflow_id, run_id=run_id, pinned=True)
    since = {"oldestDate": int(time.time()) - LONG_AGO_DAYS * 86_400}
    request = {
        "domain": domain,
        "startTimeFilter": since,
        "executionFilter": {"workflowId": workflow_id},
        "maximumPageSize": 1,
    }
    for action in ("ListOpenWorkflowExecutions", "ListClosedWorkflowExecutions"):
        infos = repeating.call(connection.transport, action, request).execution_infos
        if infos:
            found = infos[0].execution
            return Run(domain=domain, workflow_id=found.workflow_id, run_id=found.run_id)
    raise errors.SimpleflowError(
        f"no execution {workflow_id!r} in domain {domain!r}: look with workflow.list (add --status closed), or "
        "name another --domain or --backend"
    )


def describe(connection: connect.Connection, run: Run) -> Any:
    """Return DescribeWorkflowExecution's answer. Raises SimpleflowError for an unknown run."""
    try:
        return repeating.call(connection.transport, "DescribeWorkflowExecution", run.wire)
    except swf_errors.UnknownResourceFault as error:
        raise errors.SimpleflowError(
            f"no run {run.run_id!r} of {run.workflow_id!r} in domain {run.domain!r} ({error}): see workflow.list"
        ) from error


def history(connection: connect.Connection, run: Run, *, reverse: bool = False) -> Iterator[events.Base]:
    """Give every event of a run, page by page."""
    request: dict[str, Any] = {**run.wire, "maximumPageSize": limits.PAGE_SIZE, "reverseOrder": reverse}
    while True:
        page = repeating.call(connection.transport, "GetWorkflowExecutionHistory", request)
        yield from page.events
        if not page.next_page_token:
            return
        request["nextPageToken"] = page.next_page_token


def listed(connection: connect.Connection, action: str, request: dict[str, Any]) -> Iterator[Any]:
    """Give every execution of ListOpenWorkflowExecutions or ListClosedWorkflowExecutions, page by page."""
    request = {**request, "maximumPageSize": limits.PAGE_SIZE}
    while True:
        page = repeating.call(connection.transport, action, request)
        yield from page.execution_infos
        if not page.next_page_token:
            return
        request["nextPageToken"] = page.next_page_token


def wait(
    connection: connect.Connection,
    run: Run,
    *,
    timeout: float | None = None,
    progress: Callable[[Any, float], None] | None = None,
    check: Callable[[], None] | None = None,
) -> Closed:
    """Look at a run until it is closed, following those that continue it; a service that restarts is waited for.

    Raises StillOpen after ``timeout`` seconds, and what ``check`` raises, which is called before each look.
    """
    begun = time.monotonic()
    pause, last = FIRST_LOOK, None
    longest = LAST_LOCAL_LOOK if (connection.endpoint_url or "").startswith("unix:") else LAST_LOOK
    while True:
        if check is not None:
            check()
        try:
            answer = describe(connection, run)
        except swf_errors.SwfError as error:
            if error.kind in (retries.Kind.VERDICT, retries.Kind.REFUSED):
                raise
            answer = None
        if answer is not None and answer.execution_info.execution_status == "CLOSED":
            closed = outcome(connection, run, answer.execution_info.close_status)
            if closed.status != "CONTINUED_AS_NEW":
                return closed
            assert closed.result is not None
            run, pause = dataclasses.replace(run, run_id=closed.result), FIRST_LOOK
            continue
        if answer is not None and progress is not None and answer.open_counts != last:
            last = answer.open_counts
            progress(last, begun)
        if timeout is not None and time.monotonic() - begun >= timeout:
            raise StillOpen(f"{run.workflow_id} {run.run_id} is still open after {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, longest)


def why(last: Any) -> str | None:
    """Return the reason that the last event of a closed run gives, in words where SWF has a code."""
    if getattr(last, "cause", None) == "EVENT_LIMIT_EXCEEDED":
        return (
            f"SWF terminated it, because its history reached {limits.HISTORY_EVENTS} events: submit "
            "self.continue_as_new(...) when self.should_continue_as_new says so, or give parts of the work to child "
            "workflows, each of which has a history of its own. What is left can be done by simpleflow workflow.resume"
        )
    reason: str | None = getattr(last, "reason", None)
    return reason


def outcome(connection: connect.Connection, run: Run, status: str) -> Closed:
    """Read how a closed run ended from its last event; for CONTINUED_AS_NEW the result is the next run's id."""
    last = next(iter(history(connection, run, reverse=True))).attributes  # type: ignore[attr-defined]  # all 54 have it
    result = getattr(last, "result", None)
    if status == "CONTINUED_AS_NEW":
        result = last.new_execution_run_id
    return Closed(
        run=run,
        status=status,
        result=result,
        reason=why(last),
        details=getattr(last, "details", None),
    )


#: what an action that was carried out writes into the history
_WRITES = {
    "SignalWorkflowExecution": "WorkflowExecutionSignaled",
    "RequestCancelWorkflowExecution": "WorkflowExecutionCancelRequested",
    "TerminateWorkflowExecution": "WorkflowExecutionTerminated",
}


def act(connection: connect.Connection, action: str, run: Run, **more: Any) -> None:
    """Signal, cancel or terminate the open run of this id, or this very run where it is pinned. Raises NotOpen.

    An action whose answer is lost is repeated, unless the history shows that it was carried out.
    """
    request = {"domain": run.domain, "workflowId": run.workflow_id, **more}
    if run.pinned:
        request["runId"] = run.run_id
    tries = repeating.attempts(f"{action} of {run.workflow_id!r}")
    since = time.time() - _CLOCKS

    def attempt() -> None:
        if not (tries.doubtful and _carried_out(connection, action, run, since, more)):
            connection.transport.call(action, request)

    try:
        tries.run(attempt)
    except swf_errors.UnknownResourceFault as error:
        which = f" (run {run.run_id})" if run.pinned else ""
        raise NotOpen(
            f"no open execution {run.workflow_id!r}{which} in domain {run.domain!r} ({error}): see workflow.list"
        ) from error


def _carried_out(connection: connect.Connection, action: str, run: Run, since: float, more: Mapping[str, Any]) -> bool:
    """Whether the newest events of the run, and of those that it continues, show this action."""
    try:
        meant = run if run.pinned else find(connection, run.workflow_id, domain=run.domain)
    except errors.SimpleflowError:
        return False
    while True:
        continued = None
        for event in history(connection, meant, reverse=True):
            if event.timestamp < since:
                return False
            fields = event.attributes  # type: ignore[attr-defined]  # all 54 have it
            if type(event).__name__ == _WRITES[action] and (
                action != "SignalWorkflowExecution"
                or (fields.signal_name, fields.input) == (more["signalName"], more.get("input"))
            ):
                return True
            continued = getattr(fields, "continued_execution_run_id", None)
        if continued is None or run.pinned:
            return False
        meant = dataclasses.replace(meant, run_id=continued)


def terminate(connection: connect.Connection, run: Run, *, reason: str) -> None:
    """Terminate the open run with its child executions. Raises NotOpen."""
    act(connection, "TerminateWorkflowExecution", run, reason=reason[: limits.REASON], childPolicy="TERMINATE")
