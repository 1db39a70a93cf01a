"""What is submitted as a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simpleflow import activity, base, canvas, futures

from . import utils
from .tasks import MarkStepDoneTask

#: name of the markers that tell what became of a step
MARKER = "log.step"


class Step(base.SubmittableContainer[Any]):
    """Activities that are not done again once the step is marked as done.

    ``force``: run it whatever was done. ``activities_if_step_already_done``: run instead when it does not run.
    ``emit_signal``: signal ``step.NAME`` to this execution at the end. ``force_steps_if_executed``: names that are
    forced from then on. ``bubbles_exception_on_failure``: a failure inside is one of the step.
    """

    def __init__(
        self,
        step_name: str,
        activities: Any,
        force: bool = False,
        activities_if_step_already_done: Any = None,
        emit_signal: bool = False,
        force_steps_if_executed: Sequence[str] | None = None,
        bubbles_exception_on_failure: bool = False,
    ) -> None:
        self.step_name = step_name
        self.activities = activities
        self.force = force
        self.activities_if_step_already_done = activities_if_step_already_done
        self.emit_signal = emit_signal
        self.force_steps_if_executed = force_steps_if_executed or []
        self.bubbles_exception_on_failure = bubbles_exception_on_failure

    def submit(self, executor: Any) -> futures.Future[Any]:
        workflow: Any = base.workflow_of(executor)
        done = workflow.get_steps_done_activity()
        chain = canvas.Chain(
            done, canvas.FuncGroup(lambda steps_done: self._chosen(workflow, steps_done or ())), send_result=True
        )
        submitted: futures.Future[Any] = chain.submit(workflow)
        return submitted

    def propagate_attribute(self, attr: str, val: Any) -> None:
        self.activities.propagate_attribute(attr, val)

    def _chosen(self, workflow: Any, steps_done: Sequence[str]) -> canvas.Chain:
        """The chain that runs once it is known which steps are done."""
        forced, skipped = workflow.get_forced_steps(), workflow.get_skipped_steps()
        if utils.step_will_run(self.step_name, forced, skipped, steps_done, self.force):
            members = self._run(workflow, forced)
        else:
            members = self._skip(workflow, skipped)
        if self.emit_signal:
            members.append(workflow.signal(f"step.{self.step_name}", propagate=False))
        return canvas.Chain(*members, bubbles_exception_on_failure=self.bubbles_exception_on_failure)

    def _run(self, workflow: Any, forced: Sequence[str]) -> list[Any]:
        is_forced = utils.step_is_forced(self.step_name, forced, self.force)
        reasons = utils.get_step_force_reasons(self.step_name, getattr(workflow, "steps_forced_reasons", {}))
        workflow.add_forced_steps(self.force_steps_if_executed, f"Dep of {self.step_name}")
        mark = activity.Activity(MarkStepDoneTask, **workflow.step_activity_params())
        return [
            self._told(workflow, "scheduled", is_forced, reasons if is_forced else []),
            self.activities,
            (mark, workflow.get_step_bucket(), workflow.get_step_path_prefix(), self.step_name),
            self._told(workflow, "completed", is_forced, reasons if is_forced else []),
        ]

    def _skip(self, workflow: Any, skipped: Sequence[str]) -> list[Any]:
        is_forced = utils.step_is_skipped_by_force(self.step_name, skipped)
        reasons = utils.get_step_skip_reasons(self.step_name, getattr(workflow, "steps_skipped_reasons", {}))
        told = self._told(workflow, "skipped", is_forced, reasons if is_forced else ["Step was already played"])
        instead = self.activities_if_step_already_done
        return [told] if instead is None else [instead, told]

    def _told(self, workflow: Any, status: str, forced: bool, reasons: list[str]) -> Any:
        details = {"step": self.step_name, "status": status, "forced": forced, "reasons": reasons}
        return workflow.record_marker(MARKER, details)
