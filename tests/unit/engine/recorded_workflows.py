"""The workflows whose histories the real Amazon SWF recorded, written from those histories."""

from __future__ import annotations

from typing import Any

from simpleflow import Workflow, activity, canvas, futures

MODULE = "tests.integration.workflow."
#: over every limit
BIG = "A" * 10_485_762


def recorded(name: str, **options: Any) -> Any:
    def called(*args: Any) -> None:
        raise AssertionError("a replay runs no activity")

    return activity.with_attributes(name=MODULE + name, version="example", task_list="list", **options)(called)


class Base(Workflow):
    name, version, task_list = "example", "example", "decisions"


class CancelRequested(Base):
    def run(self, run_cancel: bool) -> Any:
        self.submit(recorded("cancel_workflow")).result


class ChainTest(Base):
    name = "chaintest"

    def run(self) -> Any:
        return self.submit(canvas.Chain((recorded("increment"), 5), recorded("double"), send_result=True)).result


class FailingActivityInput(Base):
    def run(self) -> Any:
        return self.submit(recorded("increment"), BIG).result


class FailingActivityOutput(Base):
    def run(self) -> Any:
        self.submit(recorded("returns_too_big_data_activity", idempotent=True)).result


class Child(Base):
    name = "child"

    def run(self, value: str) -> None:
        return


class FailingWorkflowInput(Base):
    def run(self) -> Any:
        return self.submit(Child, BIG).result


class ActivityRerun(Base):
    name = "basic"

    def run(self, seconds: int) -> Any:
        self.submit(recorded("sleep"), seconds).result


class Idempotent(Base):
    name = "test_idempotent_workflow"

    def run(self) -> Any:
        get_uuid = recorded("get_uuid", idempotent=True)
        first, again = self.submit(get_uuid), self.submit(get_uuid)
        futures.wait(first, again)
        self.submit(get_uuid, first.result).result


class TimerAndCancel(Base):
    def run(self) -> Any:
        self.submit(self.start_timer("timer 2", 120))
        futures.wait(self.submit(self.start_timer("timer 1", 2)))
        self.submit(self.cancel_timer("timer 2")).result


class UnrequestedSignal(Base):
    def run(self) -> Any:
        return self.submit(recorded("send_unrequested_signal")).result


class WithoutReplays(Base):
    def run(self, replays: bool) -> Any:
        markers = [("marker 1", None), ("marker 1", "some details"), ("marker 2", "2nd marker's details")]
        futures.wait(*[self.submit(self.record_marker(*marker)) for marker in markers])


BY_FILE: dict[str, Any] = {
    "cancel_requested": CancelRequested,
    "chain_send_result": ChainTest,
    "failing_activity_input": FailingActivityInput,
    "failing_activity_output": FailingActivityOutput,
    "failing_workflow_input": FailingWorkflowInput,
    "simpleflow_activity_rerun": ActivityRerun,
    "simpleflow_idempotent": Idempotent,
    "timer_and_cancel": TimerAndCancel,
    "unrequested_signal": UnrequestedSignal,
    "without_replays": WithoutReplays,
}
