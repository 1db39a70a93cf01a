"""Runs under temporalio's Python: CPU seconds of its Replayer on histories of the same shape as ours.

python temporal_replayer.py chain|fanout COUNT [REPEAT]

Unsandboxed, its faster way. One replay of a finished history; decoding of the history is not counted.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import workflow
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, WorkflowType
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner


@workflow.defn(name="chain")
class Chain:
    @workflow.run
    async def run(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = await workflow.execute_activity("step", value, start_to_close_timeout=timedelta(seconds=300))
        return value


@workflow.defn(name="fanout")
class FanOut:
    @workflow.run
    async def run(self, count: int) -> int:
        handles = [
            workflow.start_activity("step", number, start_to_close_timeout=timedelta(seconds=300))
            for number in range(count)
        ]
        return sum(await asyncio.gather(*handles))


class Builder:
    """Writes the events of one execution."""

    def __init__(self, kind: str, count: int) -> None:
        self.events: list[HistoryEvent] = []
        self.kind, self.count = kind, count

    def add(self, kind: str) -> HistoryEvent:
        event = HistoryEvent(event_id=len(self.events) + 1, event_type=EventType.Value(f"EVENT_TYPE_{kind}"))
        event.event_time.CopyFrom(Timestamp(seconds=1767225600 + len(self.events)))
        self.events.append(event)
        return event

    @staticmethod
    def payloads(value: object) -> Payloads:
        payload = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())
        return Payloads(payloads=[payload])

    def start(self) -> None:
        said = self.add("WORKFLOW_EXECUTION_STARTED").workflow_execution_started_event_attributes
        said.workflow_type.CopyFrom(WorkflowType(name=self.kind))
        said.task_queue.CopyFrom(TaskQueue(name="q"))
        said.input.CopyFrom(self.payloads(self.count))
        said.original_execution_run_id = said.first_execution_run_id = "run"
        said.workflow_id = "workflow"
        said.attempt = 1

    def decide(self) -> int:
        scheduled = self.add("WORKFLOW_TASK_SCHEDULED")
        scheduled.workflow_task_scheduled_event_attributes.task_queue.CopyFrom(TaskQueue(name="q"))
        started = self.add("WORKFLOW_TASK_STARTED")
        started.workflow_task_started_event_attributes.scheduled_event_id = scheduled.event_id
        completed = self.add("WORKFLOW_TASK_COMPLETED")
        said = completed.workflow_task_completed_event_attributes
        said.scheduled_event_id, said.started_event_id = scheduled.event_id, started.event_id
        return completed.event_id

    def schedule(self, decided: int, number: int, value: int) -> int:
        event = self.add("ACTIVITY_TASK_SCHEDULED")
        said = event.activity_task_scheduled_event_attributes
        said.activity_id = str(number)
        said.activity_type.CopyFrom(ActivityType(name="step"))
        said.task_queue.CopyFrom(TaskQueue(name="q"))
        said.input.CopyFrom(self.payloads(value))
        said.start_to_close_timeout.FromSeconds(300)
        said.workflow_task_completed_event_id = decided
        return event.event_id

    def complete(self, scheduled: int, value: int) -> None:
        started = self.add("ACTIVITY_TASK_STARTED")
        started.activity_task_started_event_attributes.scheduled_event_id = scheduled
        event = self.add("ACTIVITY_TASK_COMPLETED")
        said = event.activity_task_completed_event_attributes
        said.scheduled_event_id, said.started_event_id = scheduled, started.event_id
        said.result.CopyFrom(self.payloads(value))

    def finish(self, decided: int, value: int) -> None:
        said = self.add("WORKFLOW_EXECUTION_COMPLETED").workflow_execution_completed_event_attributes
        said.workflow_task_completed_event_id = decided
        said.result.CopyFrom(self.payloads(value))


def chain(count: int) -> list[HistoryEvent]:
    built = Builder("chain", count)
    built.start()
    for number in range(count):
        scheduled = built.schedule(built.decide(), number + 1, number)
        built.complete(scheduled, number + 1)
    built.finish(built.decide(), count)
    return built.events


def fan_out(count: int) -> list[HistoryEvent]:
    built = Builder("fanout", count)
    built.start()
    decided = built.decide()
    scheduled = [built.schedule(decided, number + 1, number) for number in range(count)]
    for number, event_id in enumerate(scheduled):
        built.complete(event_id, number + 1)
    built.finish(built.decide(), count * (count + 1) // 2)
    return built.events


async def main() -> None:
    kind, count = sys.argv[1], int(sys.argv[2])
    repeat = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    events = {"chain": chain, "fanout": fan_out}[kind](count)
    history = WorkflowHistory("workflow", list(History(events=events).events))
    measured = []
    for _ in range(repeat):
        replayer = Replayer(workflows=[Chain, FanOut], workflow_runner=UnsandboxedWorkflowRunner())
        begun = time.process_time()
        await replayer.replay_workflow(history)
        measured.append(time.process_time() - begun)
    print(json.dumps({"cpu": measured, "events": len(events)}))


if __name__ == "__main__":
    asyncio.run(main())
