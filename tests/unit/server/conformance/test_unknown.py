"""Each action asked about something that is not there, and requests that are not calls at all."""

from __future__ import annotations

import re
from typing import Any

import pytest

from . import driver as drivers

_TYPE = {"name": "nobody", "version": "1"}
_EXECUTION = {"workflowId": "nobody", "runId": "nothing"}
_WHERE = {"domain": "nowhere"}
_LIST = {"taskList": {"name": "nowhere"}}
_TIMES = {"startTimeFilter": {"oldestDate": 0}}
_ARN = {"resourceArn": "arn:aws:swf:us-east-1:123456789012:/domain/nowhere"}
_TOKEN = {"taskToken": "nothing"}

#: action -> a request about a domain that does not exist
_IN_NO_DOMAIN: dict[str, dict[str, Any]] = {
    "count_closed_workflow_executions": _TIMES,
    "count_open_workflow_executions": _TIMES,
    "count_pending_activity_tasks": _LIST,
    "count_pending_decision_tasks": _LIST,
    "delete_activity_type": {"activityType": _TYPE},
    "delete_workflow_type": {"workflowType": _TYPE},
    "deprecate_activity_type": {"activityType": _TYPE},
    "deprecate_workflow_type": {"workflowType": _TYPE},
    "describe_activity_type": {"activityType": _TYPE},
    "describe_workflow_execution": {"execution": _EXECUTION},
    "describe_workflow_type": {"workflowType": _TYPE},
    "get_workflow_execution_history": {"execution": _EXECUTION},
    "list_activity_types": {"registrationStatus": "REGISTERED"},
    "list_closed_workflow_executions": _TIMES,
    "list_open_workflow_executions": _TIMES,
    "list_workflow_types": {"registrationStatus": "REGISTERED"},
    "poll_for_activity_task": _LIST,
    "poll_for_decision_task": _LIST,
    "register_activity_type": _TYPE,
    "register_workflow_type": _TYPE,
    "request_cancel_workflow_execution": {"workflowId": "nobody"},
    "signal_workflow_execution": {"workflowId": "nobody", "signalName": "s"},
    "start_workflow_execution": {"workflowId": "nobody", "workflowType": _TYPE, "taskList": {"name": "l"}},
    "terminate_workflow_execution": {"workflowId": "nobody"},
    "undeprecate_activity_type": {"activityType": _TYPE},
    "undeprecate_workflow_type": {"workflowType": _TYPE},
}
_UNKNOWN = {
    "deprecate_domain": {"name": "nowhere"},
    "undeprecate_domain": {"name": "nowhere"},
    "describe_domain": {"name": "nowhere"},
    "list_tags_for_resource": _ARN,
    "tag_resource": {**_ARN, "tags": [{"key": "k"}]},
    "untag_resource": {**_ARN, "tagKeys": ["k"]},
}
#: not about anything in a domain: fine where it exists
_FINE = re.compile("count_|list_|poll_|register_")


@pytest.mark.parametrize("action", sorted(_IN_NO_DOMAIN))
def test_unknown_domain(driver: drivers.Driver, action: str) -> None:
    drivers.fault("UnknownResourceFault", getattr(driver.swf, action), **_WHERE, **_IN_NO_DOMAIN[action])


@pytest.mark.parametrize("action", sorted(name for name in _IN_NO_DOMAIN if not _FINE.match(name)))
def test_unknown_thing_in_a_domain(driver: drivers.Driver, action: str) -> None:
    drivers.fault("UnknownResourceFault", getattr(driver.swf, action), domain=driver.domain, **_IN_NO_DOMAIN[action])


@pytest.mark.parametrize("action", sorted(_UNKNOWN))
def test_unknown_domain_by_name_or_arn(driver: drivers.Driver, action: str) -> None:
    drivers.fault("UnknownResourceFault", getattr(driver.swf, action), **_UNKNOWN[action])


def test_an_id_with_the_run_of_another(driver: drivers.Driver) -> None:
    one, two = driver.start(), driver.start()
    mixed = {"workflowId": one.workflow_id, "runId": two.run_id}
    swf = driver.swf
    for call in (swf.describe_workflow_execution, swf.get_workflow_execution_history):
        drivers.fault("UnknownResourceFault", call, domain=driver.domain, execution=mixed)
    for call in (swf.terminate_workflow_execution, swf.request_cancel_workflow_execution):
        drivers.fault("UnknownResourceFault", call, domain=driver.domain, **mixed)
    drivers.fault("UnknownResourceFault", swf.signal_workflow_execution, domain=driver.domain, **mixed, signalName="s")
    one.terminate()
    two.terminate()


@pytest.mark.parametrize("run_id", ["22none", "22=0", "22=-1", "22=ffffffffffffffff", "=" + "f" * 63])
def test_run_ids_that_are_none(driver: drivers.Driver, run_id: str) -> None:
    run, swf = driver.start(), driver.swf
    nobody = {"workflowId": run.workflow_id, "runId": run_id}
    for call in (swf.describe_workflow_execution, swf.get_workflow_execution_history):
        drivers.fault("UnknownResourceFault", call, domain=driver.domain, execution=nobody)
    for call in (swf.terminate_workflow_execution, swf.request_cancel_workflow_execution):
        drivers.fault("UnknownResourceFault", call, domain=driver.domain, **nobody)
    drivers.fault("UnknownResourceFault", swf.signal_workflow_execution, domain=driver.domain, **nobody, signalName="s")
    run.decide(
        drivers.decision("SignalExternalWorkflowExecution", **nobody, signalName="s"),
        drivers.decision("RequestCancelExternalWorkflowExecution", **nobody),
    )
    for kind in ("SignalExternalWorkflowExecutionFailed", "RequestCancelExternalWorkflowExecutionFailed"):
        assert run.one(kind)["cause"] == "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"
    run.terminate()


def test_cancel_and_signal_of_a_closed_run(driver: drivers.Driver) -> None:
    run = driver.start()
    run.terminate()
    swf = driver.swf
    for call in (swf.terminate_workflow_execution, swf.request_cancel_workflow_execution):
        drivers.fault("UnknownResourceFault", call, domain=driver.domain, **run.execution)
    assert run.info()["executionStatus"] == "CLOSED"
    assert run.types() == ["WorkflowExecutionStarted", "DecisionTaskScheduled", "WorkflowExecutionTerminated"]


def test_unknown_action(loose: Any) -> None:
    def rename(request: Any, **_: Any) -> None:
        request.headers.replace_header("X-Amz-Target", "SimpleWorkflowService.MakeCoffee")

    loose.meta.events.register("before-sign.swf.ListDomains", rename, unique_id="rename")
    try:
        drivers.fault("UnknownOperationException", loose.list_domains, registrationStatus="REGISTERED")
    finally:
        loose.meta.events.unregister("before-sign.swf.ListDomains", unique_id="rename")


def test_target_in_its_long_form(loose: Any) -> None:
    """As the developer guide writes it, and boto 2."""

    def lengthen(request: Any, **_: Any) -> None:
        target = f"com.amazonaws.swf.service.model.{request.headers['X-Amz-Target']}"
        request.headers.replace_header("X-Amz-Target", target)

    loose.meta.events.register("before-sign.swf.ListDomains", lengthen, unique_id="lengthen")
    try:
        assert "domainInfos" in loose.list_domains(registrationStatus="REGISTERED")
    finally:
        loose.meta.events.unregister("before-sign.swf.ListDomains", unique_id="lengthen")


def test_body_that_is_no_json(loose: Any) -> None:
    def spoil(params: dict[str, Any], **_: Any) -> None:
        params["body"] = b'{"registrationStatus": '

    loose.meta.events.register("before-call.swf.ListDomains", spoil, unique_id="spoil")
    try:
        drivers.fault("SerializationException", loose.list_domains, registrationStatus="REGISTERED")
    finally:
        loose.meta.events.unregister("before-call.swf.ListDomains", unique_id="spoil")
