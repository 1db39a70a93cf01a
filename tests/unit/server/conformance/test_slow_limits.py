"""What takes minutes to show: full domains, a poll that nobody answers, tokens and executions that grow too old."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import pytest

from . import conftest, process
from . import driver as drivers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_poll_without_a_task_comes_back_empty_after_a_minute(driver: drivers.Driver) -> None:
    where = {"domain": driver.domain, "taskList": {"name": drivers.unique("silent")}}

    def held(call: Any) -> tuple[float, Any]:
        began = time.monotonic()
        answer = call(**where)
        return time.monotonic() - began, answer

    answers = drivers.together(
        lambda: held(driver.swf.poll_for_decision_task), lambda: held(driver.swf.poll_for_activity_task)
    )
    for seconds, answer in answers:
        assert 59.0 <= seconds <= 65.0
        assert not answer.get("taskToken")
    assert answers[0][1]["startedEventId"] == 0


def test_a_hundred_thousand_open_executions(own: drivers.Driver) -> None:
    kind = own.workflow_type(**drivers.WORKFLOW_DEFAULTS, defaultTaskList={"name": "crowd"})
    parents = [own.start(kind) for _ in range(101)]
    for parent in parents:
        names = [drivers.unique("c") for _ in range(1000)]
        parent.decide(
            *(drivers.decision("StartChildWorkflowExecution", workflowType=kind, workflowId=name) for name in names)
        )
        failed = parent.all("StartChildWorkflowExecutionFailed")
        if failed:
            break
    assert {each["cause"] for each in failed} == {"OPEN_WORKFLOWS_LIMIT_EXCEEDED"}
    assert own.waiting("crowd") >= 99_000
    counted = own.swf.count_open_workflow_executions(domain=own.domain, startTimeFilter={"oldestDate": 0})
    assert counted["count"] == 100_000
    request = {"domain": own.domain, "workflowId": "one more", "workflowType": kind}
    drivers.fault("LimitExceededFault", own.swf.start_workflow_execution, **request)
    parents[0].terminate(childPolicy="ABANDON")
    own.swf.start_workflow_execution(**request)


@pytest.mark.parametrize("kind", ["activity", "workflow"])
def test_ten_thousand_types(own: drivers.Driver, kind: str) -> None:
    register = getattr(own.swf, f"register_{kind}_type")
    deprecate = getattr(own.swf, f"deprecate_{kind}_type")
    delete = getattr(own.swf, f"delete_{kind}_type")
    own.swf.register_domain(name=f"types-{kind}", workflowExecutionRetentionPeriodInDays="1")
    where = {"domain": f"types-{kind}"}
    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: register(**where, name="t", version=str(number)), range(10_000)))
    drivers.fault("LimitExceededFault", register, **where, name="t", version="one more")
    wanted = {f"{kind}Type": {"name": "t", "version": "7"}}
    deprecate(**where, **wanted)
    delete(**where, **wanted)
    register(**where, name="t", version="one more")


@pytest.fixture
def jumping(connect: conftest.Connect) -> Iterator[drivers.Driver]:
    """A server whose clock jumps by two days, ten seconds after its start."""
    with process.running("--fault", "clock-jump:172800:10") as server:
        client = connect(server.url)
        client.register_domain(name="jumping", workflowExecutionRetentionPeriodInDays="1")
        yield drivers.Driver(client, "jumping")


def test_old_tokens_and_old_executions(jumping: drivers.Driver) -> None:
    run = jumping.start()
    run.decide(drivers.decision("CompleteWorkflowExecution"))
    still = jumping.start(executionStartToCloseTimeout="31536000", taskStartToCloseTimeout="NONE")
    where = {"domain": jumping.domain, "execution": run.execution, "maximumPageSize": 2}
    token = jumping.swf.get_workflow_execution_history(**where)["nextPageToken"]
    assert jumping.swf.get_workflow_execution_history(**where, nextPageToken=token)["events"]
    time.sleep(11)
    drivers.fault("ValidationException", jumping.swf.get_workflow_execution_history, **where, nextPageToken=token)
    # Closed executions are forgotten when their domain's retention is over; open ones are not.
    limit = time.monotonic() + 130
    every = {"domain": jumping.domain, "startTimeFilter": {"oldestDate": 0}}
    while jumping.swf.count_closed_workflow_executions(**every)["count"]:
        assert time.monotonic() < limit, "what is older than the retention is still there"
        time.sleep(1)
    del where["maximumPageSize"]
    drivers.fault("UnknownResourceFault", jumping.swf.get_workflow_execution_history, **where)
    drivers.fault("UnknownResourceFault", jumping.swf.describe_workflow_execution, **where)
    assert still.info()["executionStatus"] == "OPEN"
    still.terminate()
