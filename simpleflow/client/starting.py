"""How an execution of a workflow class is started: its request, its type, the interceptors around it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from simpleflow import settings
from simpleflow.core import errors, interceptors, limits, numbers, text
from simpleflow.data import converter, jumbo
from simpleflow.swf import errors as swf_errors
from simpleflow.swf import registration, repeating
from simpleflow.swf.transport import base

from . import inputs

_converter = converter.Converter()
_NOWHERE = jumbo.Store(None)
#: seconds by which the service's clock may be behind this machine's
_CLOCKS = 5.0


class StartOptions(TypedDict, total=False):
    """What a start may say of itself; what it leaves out comes from the class, then from the settings."""

    workflow_id: str | None
    #: seconds, or timedelta, of the whole run, and of one decision
    execution_timeout: numbers.Duration | None
    decision_tasks_timeout: numbers.Duration | None
    #: at most five
    tags: Sequence[str] | None
    #: of its decisions
    task_list: str | None


def request(
    cls: Any,
    path: str,
    envelope: Mapping[str, Any],
    *,
    source: str = "input",
    workflow_id: str | None = None,
    execution_timeout: numbers.Duration | None = None,
    decision_tasks_timeout: numbers.Duration | None = None,
    tags: Sequence[str] | None = None,
    task_list: str | None = None,
) -> dict[str, Any]:
    """Return the StartWorkflowExecution request, without its domain, for a class and its arguments.

    What is not given comes from the class, then from the settings. Timeouts are seconds. Raises UsageError when the
    arguments cannot be serialised, or there are too many tags; ``source`` names them in messages.
    """
    args, kwargs = envelope["args"], envelope["kwargs"]
    whole = {**envelope, "__extra": {**envelope.get("__extra", {}), "class": path}}
    asked: dict[str, Any] = {
        "workflowId": workflow_id
        or _got(cls, "get_workflow_id", args, kwargs)
        or f"{cls.name}-{uuid.uuid4().hex[:12]}",
        "workflowType": {"name": cls.name, "version": str(cls.version)},
        "taskList": {
            "name": task_list
            or _got(cls, "get_task_list", args, kwargs)
            or getattr(cls, "task_list", None)
            or settings.WORKFLOW_DEFAULT_TASK_LIST
        },
        "input": encoded(whole, source=source),
        "executionStartToCloseTimeout": numbers.timeout(
            "execution_timeout",
            execution_timeout or getattr(cls, "execution_timeout", None) or settings.WORKFLOW_DEFAULT_EXECUTION_TIME,
            unlimited=False,
        ),
        "taskStartToCloseTimeout": numbers.timeout(
            "decision_tasks_timeout",
            decision_tasks_timeout
            or getattr(cls, "decision_tasks_timeout", None)
            or settings.WORKFLOW_DEFAULT_DECISION_TASK_TIMEOUT,
        ),
        "childPolicy": getattr(cls, "child_policy", None) or "TERMINATE",
    }
    chosen = tags
    if chosen is None:
        chosen = _got(cls, "get_tag_list", args, kwargs) or getattr(cls, "tag_list", None)
    if isinstance(chosen, list | tuple) and chosen:  # else none, or INHERIT_TAG_LIST: there is no parent here
        asked["tagList"] = checked_tags(chosen)
    declared = getattr(cls, "task_priority", None)  # a property speaks of the tasks of one run
    priority = None if isinstance(declared, property) else numbers.priority("task_priority", declared)
    if priority is not None:
        asked["taskPriority"] = priority
    return asked


def encoded(value: Any, *, source: str = "input") -> str:
    """Return arguments as JSON text. Raises UsageError for what cannot be serialised."""
    try:
        return _converter.encode(value)
    except TypeError as error:
        raise errors.UsageError(f"{source} cannot be serialised: {error}") from error


def checked_tags(given: Sequence[Any]) -> list[str]:
    """Return tags as they are sent. Raises UsageError for more than SWF takes."""
    if len(given) > limits.TAGS:
        raise errors.UsageError(f"{len(given)} tags given, SWF takes {limits.TAGS}: {', '.join(map(str, given))}")
    return [text.safe(tag) for tag in given]


def _got(cls: Any, getter: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call an optional getter of a workflow class: classmethod, staticmethod and plain function alike."""
    function = getattr(cls, getter, None)
    if function is None:
        return None
    for base_class in cls.__mro__:
        if getter in vars(base_class):
            if isinstance(vars(base_class)[getter], staticmethod | classmethod):
                return function(*args, **kwargs)
            return function(cls, *args, **kwargs)
    return function(*args, **kwargs)


def begin(
    transport: base.Transport,
    domain: str,
    asked: Mapping[str, Any],
    *,
    store: inputs.Store = _NOWHERE,
    mounted: Sequence[interceptors.ClientInterceptor] = (),
    calls: Sequence[interceptors.CallInterceptor] = (),
    types: registration.Registrar | None = None,
) -> str:
    """Register the workflow's type when it is missing, start the execution, and return its run id.

    An input over SWF's limit goes to ``store``; ValueError where that takes none. A start whose answer is lost is
    repeated, never twice carried out. Raises SimpleflowError when another execution of
    that id is open, and what interceptors and the service raise; every message names the id.
    ``calls`` stand around all of it but the registration. ``types`` remembers what is registered; without it each start
    asks.
    """
    whole = {"domain": domain, **asked}
    if asked.get("input"):
        field = f"the input of {asked['workflowId']!r}"
        whole["input"] = store.offload(asked["input"], field=field, limit=limits.DATA)
    call = interceptors.StartCall(
        domain=domain, workflow_id=whole["workflowId"], task_list=whole["taskList"]["name"], request=whole
    )
    known = types or registration.Registrar(transport, domain)
    _register(known, whole)

    def proceed() -> str:
        for interceptor in mounted:
            interceptor.before_start(call)
        try:
            run_id = start_once(transport, whole)
        except swf_errors.UnknownResourceFault:
            if types is None:
                raise
            known.forget()  # the type was deleted since it was registered
            _register(known, whole)
            run_id = start_once(transport, whole)
        for interceptor in reversed(mounted):
            interceptor.after_start(call, run_id)
        return run_id

    asked_for = interceptors.ClientCall(
        what="start", domain=domain, workflow_id=whole["workflowId"], name=whole["workflowType"]["name"]
    )
    return interceptors.around(calls, asked_for, proceed)


def _register(types: registration.Registrar, whole: Mapping[str, Any]) -> None:
    kind = whole["workflowType"]
    try:
        types.ensure_workflow(kind["name"], kind["version"])
    except swf_errors.SwfError as error:
        raise type(error)(f"{whole['workflowId']!r} was not started: {error}") from error


def start_once(transport: base.Transport, whole: Mapping[str, Any]) -> str:
    """Start the execution of a whole request, and return its run id; repeats what may not have been carried out.

    Raises SimpleflowError when another execution of that id is open, and SwfError.
    """
    workflow_id, since = whole["workflowId"], time.time() - _CLOCKS
    tries = repeating.attempts(f"the start of {workflow_id!r}")

    def attempt() -> str:
        # An execution that was started by an attempt without an answer may be closed again by now.
        found = _started(transport, whole, since) if tries.doubtful else None
        return found or str(transport.call("StartWorkflowExecution", whole).run_id)

    try:
        return tries.run(attempt)
    except swf_errors.WorkflowExecutionAlreadyStartedFault as error:
        found = _started(transport, whole, 0.0) if tries.doubtful else None
        if found is not None:
            return found
        raise errors.SimpleflowError(
            f"an execution {workflow_id!r} is open in domain {whole['domain']!r}: choose another workflow id, or wait "
            "for its end or terminate it"
        ) from error
    except swf_errors.SwfError as error:
        if not tries.doubtful:
            raise type(error)(f"{workflow_id!r} was not started: {error}") from error
        raise type(error)(
            f"whether {workflow_id!r} was started is not known ({error}): see simpleflow workflow.info {workflow_id}, "
            "or start it again with this workflow id"
        ) from error


def _started(transport: base.Transport, whole: Mapping[str, Any], since: float) -> str | None:
    """Return the run that a start with this request made: same id, type and input, not older than ``since``; open
    runs first."""
    for action in ("ListOpenWorkflowExecutions", "ListClosedWorkflowExecutions"):
        asked = {
            "domain": whole["domain"],
            "startTimeFilter": {"oldestDate": int(since)},
            "executionFilter": {"workflowId": whole["workflowId"]},
        }
        for info in transport.call(action, asked).execution_infos:
            history = {
                "domain": whole["domain"],
                "execution": {"workflowId": info.execution.workflow_id, "runId": info.execution.run_id},
                "maximumPageSize": 1,
            }
            fields = transport.call("GetWorkflowExecutionHistory", history).events[0].attributes
            same = (fields.workflow_type.name, fields.workflow_type.version, fields.input)
            kind = whole["workflowType"]
            if same == (kind["name"], kind["version"], whole.get("input")) and not fields.parent_workflow_execution:
                return str(info.execution.run_id)
    return None
