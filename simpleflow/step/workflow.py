"""What a workflow that has steps is told, and asked."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from simpleflow import activity, settings, task

from .constants import STEP_ACTIVITY_PARAMS_DEFAULT
from .submittable import Step
from .tasks import GetStepsDoneTask


class WorkflowStepMixin:
    """``class Build(Workflow, WorkflowStepMixin)``: ``self.submit(self.step("fetch", group))``.

    Marks of steps that are done lie in S3 below ``get_step_bucket()`` and ``get_step_path_prefix()``: override these.
    """

    def get_step_bucket(self) -> str:
        """Return the bucket of the marks, ``HOST/NAME`` or ``NAME``."""
        return f"{settings.SIMPLEFLOW_S3_HOST}/{settings.STEP_BUCKET}"

    def get_step_path_prefix(self) -> str:
        """Return the path of the marks in the bucket."""
        context: Any = self.get_run_context()  # type: ignore[attr-defined]  # of the Workflow beside this mixin
        return posixpath.join(context.get("workflow_id", "default"), "steps/")

    def get_step_activity_params(self) -> dict[str, Any] | None:
        """Return what replaces STEP_ACTIVITY_PARAMS_DEFAULT for the activities that list and set the marks."""
        return {}

    def step_activity_params(self) -> dict[str, Any]:
        """Return how those activities are scheduled: the defaults, the workflow's task list, and what replaces them."""
        own = {"task_list": self.task_list} if hasattr(self, "task_list") else {}
        return {**STEP_ACTIVITY_PARAMS_DEFAULT, **own, **(self.get_step_activity_params() or {})}

    def add_forced_steps(self, steps: Iterable[str], reason: str | None = None) -> None:
        """Have steps run whatever was done; ``reason`` is told in their markers."""
        self._add("forced", steps, reason)

    def get_forced_steps(self) -> list[str]:
        """Return the names of steps that are forced, in alphabetical order."""
        return sorted(getattr(self, "steps_forced", ()))

    def add_skipped_steps(self, steps: Iterable[str], reason: str | None = None) -> None:
        """Have steps skipped that are not done; what is forced runs all the same."""
        self._add("skipped", steps, reason)

    def get_skipped_steps(self) -> list[str]:
        """Return the names of steps that are skipped, in alphabetical order."""
        return sorted(getattr(self, "steps_skipped", ()))

    def _add(self, kind: str, steps: Iterable[str], reason: str | None) -> None:
        # No __init__: workflows name this mixin after Workflow, whose __init__ takes the executor.
        names: set[str] = vars(self).setdefault(f"steps_{kind}", set())
        reasons: defaultdict[str, set[str]] = vars(self).setdefault(f"steps_{kind}_reasons", defaultdict(set))
        for step in sorted(set(steps)):
            names.add(step)
            if reason:
                reasons[step].add(reason)

    def step(self, *args: Any, **kwargs: Any) -> Step:
        """Return a Step, with its arguments."""
        return Step(*args, **kwargs)

    def get_steps_done_activity(self) -> task.ActivityTask:
        """Return what lists the steps that are done, to be submitted."""
        listing = activity.Activity(GetStepsDoneTask, **self.step_activity_params())
        return task.ActivityTask(listing, self.get_step_bucket(), self.get_step_path_prefix())

    def get_steps_done(self) -> list[str]:
        """Return the names of the steps that are done; blocks until they are known."""
        submitted: Any = self.submit(self.get_steps_done_activity())  # type: ignore[attr-defined]  # of the Workflow
        done: list[str] = submitted.result
        return done
