"""Lengths, characters, numbers and open tasks: what is allowed up to the limit, and refused beyond it."""

from __future__ import annotations

import copy
import datetime
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from . import coverage
from . import driver as drivers

_MODEL = coverage.model()
_SAMPLES = {
    "DurationInDays": "1",
    "DurationInSeconds": "10",
    "DurationInSecondsOptional": "10",
    "TaskPriority": "1",
    "Arn": "arn:aws:swf:us-east-1:123456789012:/domain/nowhere",
}
Path = tuple[str | int, ...]


def _sample(shape: Any, *, whole: bool) -> Any:
    """Return a valid value of a shape; ``whole``: with every optional member."""
    if shape.type_name == "structure":
        names = shape.members if whole else shape.required_members
        return {name: _sample(shape.members[name], whole=whole) for name in names}
    if shape.type_name == "list":
        return [_sample(shape.member, whole=whole)]
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else _SAMPLES.get(shape.name, "sample")
    if shape.type_name == "integer":
        return 10
    return False if shape.type_name == "boolean" else datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def _bounded(shape: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Give every place in a request that holds a text of limited length or an enum."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from _bounded(member, (*path, name))
    elif shape.type_name == "list":
        yield from _bounded(shape.member, (*path, 0))
    elif shape.type_name == "string":
        yield path, shape


def _with(request: Any, path: Path, shape: Any, value: Any) -> Any:
    """Return the request with a value at a place; what is missing on the way there is filled in."""
    made = copy.deepcopy(request)
    at = made
    for step in path[:-1]:
        if isinstance(step, int):
            shape = shape.member
        else:
            shape = shape.members[step]
            at.setdefault(step, _sample(shape, whole=False))
        at = at[step]
        if isinstance(at, list) and not at:
            at.append(_sample(shape.member, whole=False))
    at[path[-1]] = value
    return made


def _cases(kind: str) -> Iterator[Any]:
    for action in sorted(_MODEL.operation_names):
        shape = _MODEL.operation_model(action).input_shape
        for path, leaf in _bounded(shape):
            name = f"{action}-{'.'.join(str(step) for step in path)}"
            if kind == "long" and "max" in leaf.metadata:
                yield pytest.param(action, path, "1" * (leaf.metadata["max"] + 1), id=name)
            if kind == "short" and leaf.metadata.get("min"):
                yield pytest.param(action, path, "", id=name)
            if kind == "enum" and leaf.enum:
                yield pytest.param(action, path, "NEVER", id=name)
            if kind == "type":
                yield pytest.param(action, path, 7, id=name)


def _call(client: Any, action: str) -> Any:
    names = {operation: method for method, operation in client.meta.method_to_api_mapping.items()}
    return getattr(client, names[action])


def _request(action: str, path: Path) -> Any:
    request = _sample(_MODEL.operation_model(action).input_shape, whole=False)
    if action.startswith(("CountClosed", "ListClosed")) and path[0] not in ("startTimeFilter", "closeTimeFilter"):
        request["startTimeFilter"] = {"oldestDate": 0}
    if action == "RespondDecisionTaskCompleted" and len(path) > 2:
        kind = str(path[2])
        if kind.endswith("DecisionAttributes"):
            wanted = kind.removesuffix("DecisionAttributes")
            request["decisions"] = [{"decisionType": wanted[0].upper() + wanted[1:]}]
    return request


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("long", "ValidationException"),
        ("short", "ValidationException"),
        ("enum", "ValidationException"),
        ("type", "SerializationException"),
    ],
)
def test_every_text_of_every_request(loose: Any, kind: str, code: str) -> None:
    wrong, count = [], 0
    for case in _cases(kind):
        action, path, value = case.values
        count += 1
        request = _with(_request(action, path), path, _MODEL.operation_model(action).input_shape, value)
        try:
            drivers.fault(code, _call(loose, action), **request)
        except BaseException as error:
            wrong.append(f"{case.id}: {error}")
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong)
    assert count > 10


@pytest.mark.parametrize("action", sorted(_MODEL.operation_names))
def test_every_required_member(loose: Any, action: str) -> None:
    shape = _MODEL.operation_model(action).input_shape
    for name in shape.required_members:
        request = _request(action, ("",))
        del request[name]
        message = drivers.fault("ValidationException", _call(loose, action), **request)
        assert name in message


@pytest.mark.parametrize("bad", ["a:b", "a/b", "a|b", "a\u0001b", "a\u007fb", "a\u009fb", "arn"])
def test_names_with_characters_that_are_not_allowed(driver: drivers.Driver, bad: str) -> None:
    swf, where = driver.swf, {"domain": driver.domain}
    drivers.fault("ValidationException", swf.register_domain, name=bad, workflowExecutionRetentionPeriodInDays="1")
    for call in (swf.register_activity_type, swf.register_workflow_type):
        drivers.fault("ValidationException", call, **where, name=bad, version="1")
        drivers.fault("ValidationException", call, **where, name="n", version=bad)
    start = {**where, "workflowType": driver.workflow}
    drivers.fault("ValidationException", swf.start_workflow_execution, **start, workflowId=bad, taskList={"name": "l"})
    drivers.fault("ValidationException", swf.start_workflow_execution, **start, workflowId="w", taskList={"name": bad})
    run = driver.start()
    token = run.poll()["taskToken"]
    for refused in (
        driver.schedule(activityId=bad),
        driver.schedule(taskList={"name": bad}),
        drivers.decision("StartTimer", timerId=bad, startToFireTimeout="1"),
        driver.child(workflowId=bad),
    ):
        drivers.fault("ValidationException", swf.respond_decision_task_completed, taskToken=token, decisions=[refused])
    assert run.types()[-1] == "DecisionTaskStarted"
    run.terminate()


@pytest.mark.parametrize("bad", ["-1", "1.5", "ten", "31536001", "none", " 1"])
def test_durations_that_are_none(driver: drivers.Driver, bad: str) -> None:
    swf = driver.swf
    request = {"domain": driver.domain, "workflowId": "w", "workflowType": driver.workflow, "taskList": {"name": "l"}}
    for name in ("taskStartToCloseTimeout", "executionStartToCloseTimeout"):
        drivers.fault("ValidationException", swf.start_workflow_execution, **request, **{name: bad})
    run = driver.start()
    token = run.poll()["taskToken"]
    refused = drivers.decision("StartTimer", timerId="t", startToFireTimeout=bad)
    drivers.fault("ValidationException", swf.respond_decision_task_completed, taskToken=token, decisions=[refused])
    run.terminate()


def test_none_where_it_may_be_and_where_not(driver: drivers.Driver) -> None:
    swf = driver.swf
    request = {"domain": driver.domain, "workflowId": "w", "workflowType": driver.workflow, "taskList": {"name": "l"}}
    drivers.fault("ValidationException", swf.start_workflow_execution, **request, executionStartToCloseTimeout="NONE")
    run = driver.start(taskStartToCloseTimeout="NONE")
    assert run.one("WorkflowExecutionStarted")["taskStartToCloseTimeout"] == "NONE"
    task = run.poll()
    refused = drivers.decision("StartTimer", timerId="t", startToFireTimeout="NONE")
    drivers.fault(
        "ValidationException",
        swf.respond_decision_task_completed,
        taskToken=task["taskToken"],
        decisions=[refused],
    )
    names = ("scheduleToCloseTimeout", "scheduleToStartTimeout", "startToCloseTimeout", "heartbeatTimeout")
    run.respond(task, driver.schedule(**dict.fromkeys(names, "NONE")))
    found = run.one("ActivityTaskScheduled")
    assert {found[name] for name in names} == {"NONE"}
    run.terminate()


@pytest.mark.parametrize("bad", ["1.0", "high", "2147483648", "-2147483649"])
def test_priorities_that_are_none(driver: drivers.Driver, bad: str) -> None:
    request = {"domain": driver.domain, "workflowId": "w", "workflowType": driver.workflow, "taskList": {"name": "l"}}
    drivers.fault("ValidationException", driver.swf.start_workflow_execution, **request, taskPriority=bad)


@pytest.mark.parametrize("days", ["91", "-1", "a", "1.5"])
def test_retentions_that_are_none(swf: Any, days: str) -> None:
    drivers.fault("ValidationException", swf.register_domain, name="d", workflowExecutionRetentionPeriodInDays=days)


def test_texts_as_long_as_they_may_be(driver: drivers.Driver) -> None:
    run = driver.start(input="i" * 32_768, tagList=["t" * 256, "2", "3", "4", "5"])
    run.signal("s" * 256, input="ü" * 32_768)
    run.decide(
        drivers.decision("RecordMarker", markerName="m" * 256, details="d" * 32_768),
        drivers.decision("FailWorkflowExecution", reason="r" * 256, details="d" * 32_768),
        executionContext="c" * 32_768,
    )
    assert len(run.one("WorkflowExecutionSignaled")["input"]) == 32_768
    assert len(run.one("WorkflowExecutionFailed")["details"]) == 32_768
    drivers.fault(
        "ValidationException",
        driver.swf.start_workflow_execution,
        domain=driver.domain,
        workflowId="w",
        workflowType=driver.workflow,
        tagList=["1", "2", "3", "4", "5", "6"],
    )


@pytest.mark.parametrize("size", [-1, 1001])
def test_page_sizes(loose: Any, size: int) -> None:
    drivers.fault("ValidationException", loose.list_domains, registrationStatus="REGISTERED", maximumPageSize=size)


def test_a_request_of_more_than_a_megabyte(driver: drivers.Driver) -> None:
    run = driver.start()
    task = run.poll()
    markers = [drivers.decision("RecordMarker", markerName="m", details="d" * 32_768) for _ in range(33)]
    with pytest.raises(driver.swf.exceptions.ClientError) as caught:
        run.respond(task, *markers)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 413)
    assert run.types()[-1] == "DecisionTaskStarted"
    run.respond(task, *markers[:28])
    assert len(run.all("MarkerRecorded")) == 28
    run.terminate()


def _numbered(prefix: str) -> Iterator[str]:
    return (f"{prefix}{number}" for number in itertools.count())


def test_open_activities(driver: drivers.Driver) -> None:
    run = driver.start()
    run.decide(*(driver.schedule(activityId=name) for name, _ in zip(_numbered("a"), range(1002), strict=False)))
    assert len(run.all("ActivityTaskScheduled")) == 1000
    assert [each["cause"] for each in run.all("ScheduleActivityTaskFailed")] == ["OPEN_ACTIVITIES_LIMIT_EXCEEDED"] * 2
    run.terminate()


def test_open_timers(driver: drivers.Driver) -> None:
    run = driver.start()
    ids = [name for name, _ in zip(_numbered("t"), range(1002), strict=False)]
    run.decide(*(drivers.decision("StartTimer", timerId=name, startToFireTimeout="900") for name in ids))
    assert len(run.all("TimerStarted")) == 1000
    assert [each["cause"] for each in run.all("StartTimerFailed")] == ["OPEN_TIMERS_LIMIT_EXCEEDED"] * 2
    run.terminate()


def test_open_children(driver: drivers.Driver) -> None:
    run = driver.start()
    where = {"name": drivers.unique("children")}
    run.decide(*(driver.child(taskList=where) for _ in range(1002)))
    assert len(run.all("ChildWorkflowExecutionStarted")) == 1000
    failed = run.all("StartChildWorkflowExecutionFailed")
    assert [each["cause"] for each in failed] == ["OPEN_CHILDREN_LIMIT_EXCEEDED"] * 2
    assert driver.waiting(where["name"]) == 1000
    run.terminate(childPolicy="TERMINATE")
    assert driver.waiting(where["name"]) == 0


def test_an_execution_of_25_000_events_is_terminated(driver: drivers.Driver) -> None:
    run = driver.start()
    marker = drivers.decision("RecordMarker", markerName="m")
    for _ in range(4):
        run.decide(*[marker] * 6_000)
        run.signal()
    task = run.poll(maximumPageSize=1)
    run.respond(task, *[marker] * 1_500)
    info = run.info()
    assert (info["executionStatus"], info["closeStatus"]) == ("CLOSED", "TERMINATED")
    last = driver.swf.get_workflow_execution_history(
        domain=driver.domain, execution=run.execution, reverseOrder=True, maximumPageSize=1
    )["events"][0]
    assert last["eventType"] == "WorkflowExecutionTerminated"
    assert drivers.attributes(last)["cause"] == "EVENT_LIMIT_EXCEEDED"
    assert last["eventId"] <= 25_001
    drivers.fault(
        "UnknownResourceFault",
        driver.swf.signal_workflow_execution,
        domain=driver.domain,
        workflowId=run.workflow_id,
        signalName="late",
    )
