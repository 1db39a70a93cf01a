"""The AWS command line, from PyPI, unchanged."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from . import conftest as others

pytestmark = [pytest.mark.slow, pytest.mark.needs_processes, pytest.mark.timeout(900)]

_TYPE = "name=type,version=1"
_DOMAIN = ("--domain", "cli")


def test_one_execution_from_start_to_end(served: others.Served, virtual_environment: others.Install) -> None:
    bin_folder = virtual_environment("awscli", "awscli")

    def swf(*arguments: str, refused: bool = False) -> Any:
        done = subprocess.run(
            [str(bin_folder / "aws"), "--output", "json", "swf", *arguments],
            env=served.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        # version 1 ends with 255, version 2 with 254
        assert done.returncode in ((254, 255) if refused else (0,)), done.stderr
        if refused:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    days = ("--workflow-execution-retention-period-in-days", "1")
    swf("register-domain", "--name", "cli", *days, "--description", "of the command line")
    message = swf("register-domain", "--name", "cli", *days, refused=True)
    assert "DomainAlreadyExistsFault" in message
    assert swf("describe-domain", "--name", "cli")["domainInfo"]["description"] == "of the command line"
    swf("register-workflow-type", *_DOMAIN, "--name", "type", "--workflow-version", "1")
    swf("register-activity-type", *_DOMAIN, "--name", "type", "--activity-version", "1")
    started = swf(
        "start-workflow-execution",
        *(*_DOMAIN, "--workflow-id", "w", "--workflow-type", _TYPE, "--task-list", "name=decisions"),
        *("--execution-start-to-close-timeout", "600", "--task-start-to-close-timeout", "NONE"),
        *("--child-policy", "TERMINATE", "--input", "in", "--tag-list", "red"),
    )
    task = swf("poll-for-decision-task", *_DOMAIN, "--task-list", "name=decisions", "--identity", "cli")
    assert [event["eventType"] for event in task["events"]] == [
        "WorkflowExecutionStarted",
        "DecisionTaskScheduled",
        "DecisionTaskStarted",
    ]
    attributes = {
        "activityType": {"name": "type", "version": "1"},
        "activityId": "a",
        "taskList": {"name": "activities"},
        "input": "work",
        **dict.fromkeys(
            ("scheduleToCloseTimeout", "scheduleToStartTimeout", "startToCloseTimeout", "heartbeatTimeout"), "NONE"
        ),
    }
    decisions = [{"decisionType": "ScheduleActivityTask", "scheduleActivityTaskDecisionAttributes": attributes}]
    respond = ("respond-decision-task-completed", "--task-token")
    swf(*respond, task["taskToken"], "--decisions", json.dumps(decisions))
    activity = swf("poll-for-activity-task", *_DOMAIN, "--task-list", "name=activities")
    assert activity["input"] == "work"
    token = ("--task-token", activity["taskToken"])
    assert swf("record-activity-task-heartbeat", *token, "--details", "half") == {"cancelRequested": False}
    swf("respond-activity-task-completed", *token, "--result", "done")
    assert "UnknownResourceFault" in swf("respond-activity-task-completed", *token, refused=True)
    swf("signal-workflow-execution", *_DOMAIN, "--workflow-id", "w", "--signal-name", "s")
    counted = swf("count-open-workflow-executions", *_DOMAIN, "--start-time-filter", "oldestDate=0")
    assert counted["count"] == 1
    task = swf("poll-for-decision-task", *_DOMAIN, "--task-list", "name=decisions", "--page-size", "3")
    closing = [{"decisionType": "CompleteWorkflowExecution"}]
    swf(*respond, task["taskToken"], "--decisions", json.dumps(closing))
    execution = ("--execution", f"workflowId=w,runId={started['runId']}")
    history = swf("get-workflow-execution-history", *_DOMAIN, *execution, "--page-size", "4")
    assert [event["eventId"] for event in history["events"]] == list(range(1, len(history["events"]) + 1))
    assert history["events"][-1]["eventType"] == "WorkflowExecutionCompleted"
    described = swf("describe-workflow-execution", *_DOMAIN, *execution)
    assert described["executionInfo"]["closeStatus"] == "COMPLETED"
    listed = swf(
        "list-closed-workflow-executions",
        *(*_DOMAIN, "--start-time-filter", "oldestDate=2020-01-01T00:00:00Z", "--tag-filter", "tag=red"),
    )
    assert [info["execution"]["workflowId"] for info in listed["executionInfos"]] == ["w"]
    assert "ValidationException" in swf(
        "start-workflow-execution", *_DOMAIN, "--workflow-id", "a:b", "--workflow-type", _TYPE, refused=True
    )
