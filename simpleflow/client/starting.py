"""How an execution of a workflow class is started: its request, its type, the interceptors around it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from simpleflow import settings
from simpleflow.core import errors, interceptors, limits, numbers, text
from simpleflow.data import converter
from simpleflow.swf import errors as swf_errors
from simpleflow.swf import registration
from simpleflow.swf.transport import base

_converter = converter.Converter()


class StartOptions(TypedDict, total=False):
    """What a start may say of itself; what it leaves out comes from the class, then from the settings."""

    workflow_id: str | None
    #: seconds of the whole run, and of one decision
    execution_timeout: int | None
    decision_tasks_timeout: int | None
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
    execution_timeout: int | None = None,
    decision_tasks_timeout: int | None = None,
    tags: Sequence[str] | None = None,
    task_list: str | None = None,
) -> dict[str, Any]:
    """Return the StartWorkflowExecution request, without its domain, for a class and its arguments.

    What is not given comes from the class, then from the settings. Timeouts are seconds. Raises UsageError when the
    arguments cannot be serialised or are too long, or there are too many tags; ``source`` names them in messages.
    """
    args, kwargs = envelope["args"], envelope["kwargs"]
    whole = {**envelope, "__extra": {**envelope.get("__extra", {}), "class": path}}
    try:
        encoded = _converter.encode(whole)
    except TypeError as error:
        raise errors.UsageError(f"{source} cannot be serialised: {error}") from error
    if len(encoded) > limits.DATA:
        raise errors.UsageError(
            f"{source} holds {len(encoded)} characters, over SWF's {limits.DATA}: put it into a file or a bucket and "
            "pass its name"
        )
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
        "input": encoded,
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
        if len(chosen) > limits.TAGS:
            raise errors.UsageError(f"{len(chosen)} tags given, SWF takes {limits.TAGS}: {', '.join(map(str, chosen))}")
        asked["tagList"] = [text.safe(tag) for tag in chosen]
    priority = numbers.priority("task_priority", getattr(cls, "task_priority", None))
    if priority is not None:
        asked["taskPriority"] = priority
    return asked


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
    mounted: Sequence[interceptors.ClientInterceptor] = (),
) -> str:
    """Register the workflow's type when it is missing, start the execution, and return its run id.

    Raises SimpleflowError when an execution of that id is open, and what interceptors and the service raise.
    """
    whole = {"domain": domain, **asked}
    call = interceptors.StartCall(
        domain=domain, workflow_id=whole["workflowId"], task_list=whole["taskList"]["name"], request=whole
    )
    kind = whole["workflowType"]
    registration.Registrar(transport, domain).ensure_workflow(kind["name"], kind["version"])
    for interceptor in mounted:
        interceptor.before_start(call)
    try:
        answer = transport.call("StartWorkflowExecution", whole)
    except swf_errors.WorkflowExecutionAlreadyStartedFault as error:
        raise errors.SimpleflowError(
            f"an execution {whole['workflowId']!r} is open in domain {domain!r}: choose another workflow id, or wait "
            "for its end or terminate it"
        ) from error
    for interceptor in reversed(mounted):
        interceptor.after_start(call, answer.run_id)
    return str(answer.run_id)
