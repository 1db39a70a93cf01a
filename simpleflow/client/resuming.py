"""A new run that goes on where a stopped one ended: its input, and the completed results that it takes over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import msgspec

from simpleflow.core import errors, interceptors, limits, manifests, numbers
from simpleflow.data import jumbo

from . import connect, executions, kept, starting


class Changes(TypedDict, total=False):
    """What a resumed run has otherwise than the stopped one; None is as absent."""

    #: ``args`` and ``kwargs``
    input: Mapping[str, Any] | None
    #: at most five
    tags: Sequence[str] | None
    #: seconds, or timedelta, of the whole run, and of one decision
    execution_timeout: numbers.Duration | None
    decision_tasks_timeout: numbers.Duration | None


class Earlier:
    """The run that is resumed. Its own history and the events that it took over itself are joined into one history."""

    def __init__(self, connection: connect.Connection, store: jumbo.Store, run: executions.Run) -> None:
        self.run = run
        self.own = list(executions.history(connection, run))
        self.started: Any = self.own[0].attributes  # type: ignore[attr-defined]  # all 54 have it
        self.given = _opened(store.load(self.started.input or ""))
        previous = manifests.previous(_extra(self.given)) or {}
        self.seed = str(previous.get("seed") or run.run_id)
        self.runs: tuple[str, ...] = (run.run_id,)
        copied: Sequence[Any] = ()
        self.timers: Mapping[str, float] = {}
        if previous.get("manifest"):
            before = manifests.read(store.load(previous["manifest"]))
            copied = manifests.unpaged(store.load(page) for page in before.pages)
            self.runs = (*before.runs, run.run_id)
            self.timers = before.timers
        self.by = len(copied)
        self.events = manifests.joined(self.own, copied)


def resume(
    connection: connect.Connection,
    store: jumbo.Store,
    run: executions.Run,
    *,
    from_: int | str | None = None,
    again: str | None = None,
    task_list: str | None = None,
    changes: Changes | None = None,
    mounted: Sequence[interceptors.ClientInterceptor] = (),
    calls: Sequence[interceptors.CallInterceptor] = (),
) -> executions.Run:
    """Start a new run under the workflow id of a stopped one; completed tasks are not run again. Return the new run.

    ``from_`` and ``again`` are described at ``kept.Kept``. ``task_list`` is the task list of decisions, by default that
    of the stopped run. What ``changes`` leaves out is as in the stopped run. ``mounted`` and ``calls`` go to
    ``starting.begin``. Raises UsageError when the run cannot be resumed, or when no place for the copied results is
    configured; SimpleflowError when a run of that id is open.
    """
    _check(connection, run, from_)
    if not store.offloads:
        raise errors.UsageError(
            f"{run.workflow_id} cannot be resumed: its results are copied, and no store for them is configured. Set "
            "SIMPLEFLOW_JUMBO_FIELDS_BUCKET to a bucket (or file:///FOLDER), here and where deciders and workers run"
        )
    earlier = Earlier(connection, store, run)
    if task_list is None and earlier.started.task_list.name.startswith("standalone-"):
        raise errors.UsageError(
            f"{run.workflow_id} ran under standalone, on a task list that nobody serves any more: go on with "
            f"simpleflow standalone WORKFLOW --repair {run.workflow_id}, or name the task list of its decider"
        )
    last = earlier.own[-1].id
    if isinstance(from_, int) and not 1 < from_ <= last:
        raise errors.UsageError(
            f"event {from_} is not one to resume {run.workflow_id} from: name one of 2 to {last}, see workflow.history"
        )
    at = from_ + earlier.by if isinstance(from_, int) else from_
    chosen = kept.Kept(earlier.events, at, again, copied=earlier.by, timers=earlier.timers)
    manifest = _copy(store, earlier, chosen)
    previous: dict[str, Any] = {"workflow_id": run.workflow_id, "run_id": run.run_id, "seed": earlier.seed}
    previous["manifest"] = manifest
    if from_ is not None:
        previous["from"] = from_
    started, changed = earlier.started, changes or {}
    given, new_input = earlier.given, changed.get("input")
    if new_input is not None:
        parts = {key: msgspec.Raw(starting.encoded(new_input[key]).encode()) for key in ("args", "kwargs")}
        given = {**given, **parts}
    tags = changed.get("tags")
    if tags is None:
        tags = [tag for tag in started.tag_list or () if tag]
    asked = {
        "workflowId": run.workflow_id,
        "workflowType": {"name": started.workflow_type.name, "version": started.workflow_type.version},
        "taskList": {"name": task_list or started.task_list.name},
        "input": _input(given, previous),
        "tagList": starting.checked_tags(tags) or None,
        "taskPriority": started.task_priority,
        "executionStartToCloseTimeout": numbers.timeout(
            "execution_timeout",
            changed.get("execution_timeout") or started.execution_start_to_close_timeout,
            unlimited=False,
        ),
        "taskStartToCloseTimeout": numbers.timeout(
            "decision_tasks_timeout", changed.get("decision_tasks_timeout") or started.task_start_to_close_timeout
        ),
        "childPolicy": started.child_policy,
    }
    whole = {key: value for key, value in asked.items() if value is not None}
    run_id = starting.begin(connection.transport, run.domain, whole, store=store, mounted=mounted, calls=calls)
    return executions.Run(domain=run.domain, workflow_id=run.workflow_id, run_id=run_id)


def anew(store: jumbo.Store, text: str | None) -> str | None:
    """Return the input of a run without the reference to the run that it resumes."""
    given = _opened(store.load(text)) if text else {}
    extra = _extra(given)
    if extra.pop(manifests.PREVIOUS, None) is None:
        return text
    whole = {**given, "__extra": msgspec.Raw(msgspec.json.encode(extra, order="sorted"))}
    plain = msgspec.json.encode(whole, order="sorted").decode()
    return store.offload(plain, field="the input", limit=limits.DATA)


def _check(connection: connect.Connection, run: executions.Run, from_: int | str | None) -> None:
    info = executions.describe(connection, run).execution_info
    name = f"{run.workflow_id} {run.run_id}"
    if info.execution_status == "OPEN":
        raise errors.UsageError(f"{name} is open: wait for its end, or terminate it, before you resume it")
    if info.close_status == "CONTINUED_AS_NEW":
        raise errors.UsageError(f"{name} continued as new: resume the run that continued it, see workflow.list")
    if info.close_status == "COMPLETED" and from_ is None:
        raise errors.UsageError(
            f"{name} completed, so that nothing is left to do: name the event or task from which it runs again, or "
            "start it anew with workflow.restart"
        )


def _copy(store: jumbo.Store, earlier: Earlier, chosen: kept.Kept) -> str:
    """Store the chosen events, and return the pointer of their manifest."""
    pages, values, events = [], dict[str, None](), chosen.events()
    for text in manifests.pages(events):
        values |= manifests.values(text)
        pages.append(store.offload(text, field="a page of results", limit=0))
    manifest = manifests.Manifest(
        events=len(events), runs=earlier.runs, pages=tuple(pages), values=tuple(values), timers=chosen.timers()
    )
    return store.offload(msgspec.json.encode(manifest).decode(), field="the list of results", limit=0)


def _opened(text: str) -> dict[str, msgspec.Raw]:
    """Return an input as an envelope (args, kwargs, ...) whose parts are undecoded; one without envelope gets one."""
    if not text:
        return {}
    try:
        value = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        is_list = text.lstrip().startswith("[")
        return {"args": msgspec.Raw((text if is_list else f"[{text}]").encode())}
    if set(value) - {"__extra"} <= {"args", "kwargs", "meta"}:
        return value
    extra = {"__extra": value.pop("__extra")} if "__extra" in value else {}
    return {"kwargs": msgspec.Raw(msgspec.json.encode(value)), **extra}


def _extra(given: dict[str, msgspec.Raw]) -> dict[str, Any]:
    found = msgspec.json.decode(given["__extra"]) if "__extra" in given else {}
    return found if isinstance(found, dict) else {}


def _input(given: dict[str, msgspec.Raw], previous: dict[str, Any]) -> str:
    extra = {**_extra(given), manifests.PREVIOUS: previous}
    empty = {"args": msgspec.Raw(b"[]"), "kwargs": msgspec.Raw(b"{}")}
    return msgspec.json.encode({**empty, **given, "__extra": extra}, order="sorted").decode()
