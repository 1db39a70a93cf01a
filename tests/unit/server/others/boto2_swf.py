"""One execution, from start to end, with boto 2; run by it, from PyPI. Arguments: host, port."""

from __future__ import annotations

import sys

from boto.regioninfo import RegionInfo
from boto.swf import exceptions, layer1, layer1_decisions


def main(host: str, port: str) -> None:
    swf = layer1.Layer1(
        "any", "any", is_secure=False, port=int(port), region=RegionInfo(name="us-east-1", endpoint=host)
    )
    swf.register_domain("boto2", "1", "of an old client")
    try:
        swf.register_domain("boto2", "1")
    except exceptions.SWFDomainAlreadyExistsError:
        pass
    else:
        raise SystemExit("a domain was registered twice")
    swf.register_workflow_type(
        "boto2",
        "type",
        "1",
        task_list="decisions",
        default_child_policy="TERMINATE",
        default_execution_start_to_close_timeout="600",
        default_task_start_to_close_timeout="60",
    )
    swf.register_activity_type(
        "boto2",
        "type",
        "1",
        task_list="activities",
        default_task_heartbeat_timeout="NONE",
        default_task_schedule_to_close_timeout="NONE",
        default_task_schedule_to_start_timeout="NONE",
        default_task_start_to_close_timeout="60",
    )
    swf.start_workflow_execution("boto2", "w", "type", "1", input="in")
    task = swf.poll_for_decision_task("boto2", "decisions")
    decisions = layer1_decisions.Layer1Decisions()
    decisions.schedule_activity_task("a", "type", "1", input="work")
    swf.respond_decision_task_completed(task["taskToken"], decisions._data)
    activity = swf.poll_for_activity_task("boto2", "activities")
    assert activity["input"] == "work"
    assert swf.record_activity_task_heartbeat(activity["taskToken"], "half") == {"cancelRequested": False}
    swf.respond_activity_task_completed(activity["taskToken"], result="done")
    task = swf.poll_for_decision_task("boto2", "decisions")
    assert task["events"][-3]["eventType"] == "ActivityTaskCompleted"
    decisions = layer1_decisions.Layer1Decisions()
    decisions.complete_workflow_execution(result="all")
    swf.respond_decision_task_completed(task["taskToken"], decisions._data)
    closed = swf.list_closed_workflow_executions("boto2", start_oldest_date=0)["executionInfos"]
    assert [info["closeStatus"] for info in closed] == ["COMPLETED"]
    print("all is well")


if __name__ == "__main__":
    main(*sys.argv[1:])
