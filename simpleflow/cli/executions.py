"""Find, wait for, end and describe executions; what several commands share."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from simpleflow import utils
from simpleflow.core import errors, events, limits
from simpleflow.swf import errors as swf_errors

from . import context

if TYPE_CHECKING:
    from simpleflow.client import connect

#: seconds between two looks at an execution, growing from the first to the last
FIRST_LOOK, LAST_LOOK = 0.05, 1.0
#: a year: the retention period is at most 90 days
LONG_AGO_DAYS = 366


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run, fully named."""

    domain: str
    workflow_id: str
    run_id: str

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


def find(connection: connect.Connection, target: context.Target) -> Run:
    """Return the run that is meant; without a run id the open one, else the latest closed one.

    Raises SimpleflowError when there is none.
    """
    domain = target.domain or connection.domain
    if target.run_id is not None:
        return Run(domain=domain, workflow_id=target.workflow_id, run_id=target.run_id)
    since = {"oldestDate": int(time.time()) - LONG_AGO_DAYS * 86_400}
    request = {
        "domain": domain,
        "startTimeFilter": since,
        "executionFilter": {"workflowId": target.workflow_id},
        "maximumPageSize": 1,
    }
    for action in ("ListOpenWorkflowExecutions", "ListClosedWorkflowExecutions"):
        infos = connection.transport.call(action, request).execution_infos
        if infos:
            found = infos[0].execution
            return Run(domain=domain, workflow_id=found.workflow_id, run_id=found.run_id)
    raise errors.SimpleflowError(
        f"no execution {target.workflow_id!r} in domain {domain!r}: look with workflow.list (add --status closed), or "
        "name another --domain or --backend"
    )


def describe(connection: connect.Connection, run: Run) -> Any:
    """Return DescribeWorkflowExecution's answer. Raises SimpleflowError for an unknown run."""
    try:
        return connection.transport.call("DescribeWorkflowExecution", run.wire)
    except swf_errors.UnknownResourceFault as error:
        raise errors.SimpleflowError(
            f"no run {run.run_id!r} of {run.workflow_id!r} in domain {run.domain!r} ({error}): see workflow.list"
        ) from error


def history(connection: connect.Connection, run: Run, *, reverse: bool = False) -> Iterator[events.Base]:
    """Give every event of a run, page by page."""
    request: dict[str, Any] = {**run.wire, "maximumPageSize": limits.PAGE_SIZE, "reverseOrder": reverse}
    while True:
        page = connection.transport.call("GetWorkflowExecutionHistory", request)
        yield from page.events
        if not page.next_page_token:
            return
        request["nextPageToken"] = page.next_page_token


def wait(
    connection: connect.Connection,
    run: Run,
    *,
    timeout: float | None = None,
    progress: Callable[[Any, float], None] | None = None,
) -> Closed:
    """Look at a run until it is closed, following those that continue it; a service that restarts is waited for.

    Raises SimpleflowError after ``timeout`` seconds.
    """
    begun = time.monotonic()
    pause, last = FIRST_LOOK, None
    while True:
        try:
            answer = describe(connection, run)
        except (swf_errors.TransportError, swf_errors.ThrottlingException):
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
        if timeout is not None and time.monotonic() - begun > timeout:
            raise errors.SimpleflowError(f"{run.workflow_id} {run.run_id} is still open after {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, LAST_LOOK)


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
        reason=getattr(last, "reason", None),
        details=getattr(last, "details", None),
    )


def terminate(connection: connect.Connection, run: Run, *, reason: str) -> None:
    """Terminate a run; one that is closed already is left alone."""
    try:
        connection.transport.call(
            "TerminateWorkflowExecution",
            {
                "domain": run.domain,
                "workflowId": run.workflow_id,
                "runId": run.run_id,
                "reason": reason,
                "childPolicy": "TERMINATE",
            },
        )
    except swf_errors.UnknownResourceFault:
        return
    except swf_errors.SwfError as error:
        click.echo(f"{run.workflow_id} could not be terminated ({error}): use workflow.terminate", err=True)


def report(connection: connect.Connection, closed: Closed) -> int:
    """Print a result on stdout, or how the run ended on stderr; return the exit code."""
    if closed.status == "COMPLETED":
        if closed.result is not None:
            click.echo(_loaded(connection, closed.result))
        return 0
    click.echo(f"{closed.run.workflow_id} {closed.status.lower().replace('_', ' ')}", err=True)
    for text in (closed.reason, closed.details):
        if text:
            click.echo(_readable(text), err=True)
    return context.EXIT_CODES[closed.status]


def _loaded(connection: connect.Connection, text: str) -> str:
    from simpleflow.runtime import stores

    return stores.open_store(stores.location(connection.endpoint_url)).load(text)


def _readable(text: str) -> str:
    """Failure details as their traceback; other text as it is."""
    value = utils.json_loads_or_raw(text)
    if isinstance(value, dict) and value.get("traceback"):
        return str(value["traceback"]).rstrip()
    return text
