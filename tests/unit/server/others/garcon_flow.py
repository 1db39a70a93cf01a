"""A flow of two activities for garcon, a library over boto3; run by it, from PyPI."""

from __future__ import annotations

import threading
import time
from typing import Any

import boto3
from garcon import activity, runner, task
from garcon import decider as deciding  # a flow with an attribute "decider" is taken to have its own

domain = "garcon"
name = "flow"
version = "1.0"
client = boto3.client("swf")
create = activity.create(client, domain, name, version=version)


@task.decorate(timeout=60)
def first(activity: Any) -> dict[str, int]:
    return {"number": 20}


@task.decorate(timeout=60)
def second(activity: Any, number: int) -> dict[str, int]:
    return {"number": number + 1}


one = create(name="one", run=runner.Sync(first.fill(namespace="first")))
two = create(name="two", requires=[one], run=runner.Sync(second.fill(namespace="second", number="first.number")))


def main() -> None:
    import garcon_flow as flow

    client.register_domain(name=domain, workflowExecutionRetentionPeriodInDays="1")
    worker = deciding.DeciderWorker(flow)
    client.start_workflow_execution(
        domain=domain,
        workflowId="w",
        workflowType={"name": name, "version": version},
        taskList={"name": name},
        input="{}",
        executionStartToCloseTimeout="600",
        taskStartToCloseTimeout="60",
        childPolicy="TERMINATE",
    )
    threading.Thread(target=activity.ActivityWorker(flow).run, daemon=True).start()
    every = {"domain": domain, "startTimeFilter": {"oldestDate": 0}}
    limit = time.monotonic() + 60
    while client.count_open_workflow_executions(**every)["count"]:
        assert time.monotonic() < limit
        worker.run()
    infos = client.list_closed_workflow_executions(**every)["executionInfos"]
    assert [info["closeStatus"] for info in infos] == ["COMPLETED"]
    events = client.get_workflow_execution_history(domain=domain, execution=infos[0]["execution"])["events"]
    done = [event for event in events if event["eventType"] == "ActivityTaskCompleted"]
    assert "21" in done[-1]["activityTaskCompletedEventAttributes"]["result"]
    print("all is well")


if __name__ == "__main__":
    main()
