"""Figures of tasks and workflows, as JSON in S3.

    class Crawl(MetrologyTask):
        def execute(self):
            with self.step("fetch") as step:
                step.read.records += 1

    class Report(MetrologyWorkflow): ...

Each task writes ``activity.ID.json`` below the run's path; the workflow merges them with its history into
``metrology.json`` once it is closed.
"""

from __future__ import annotations

import abc
import contextlib
import json
import posixpath
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus

from simpleflow import history, settings, storage, utils
from simpleflow.workflow import Workflow


class StepIO:
    """What a step read or wrote: bytes, records, and whether that is a sample."""

    def __init__(self) -> None:
        self.bytes = 0
        self.records = 0
        self.sampled = False

    def get_stats(self, time_total: float) -> dict[str, Any]:
        """Return the figures, and per second: megabytes and records, None where there are none."""
        seconds = time_total or None
        return {
            "bytes": self.bytes,
            "records": self.records,
            "mb_s": round(self.bytes / (1 << 20) / seconds, 2) if self.bytes and seconds else None,
            "rec_s": int(self.records / seconds) if self.records and seconds else None,
            "sampled": self.sampled,
        }


class Step:
    """A part of a task that is measured."""

    def __init__(self, name: str, task: MetrologyTask) -> None:
        self.name = name
        self.task = task
        self.read = StepIO()
        self.write = StepIO()
        self.metadata: dict[str, Any] = {}
        self.time_started = time.time()
        self.time_finished: float | None = None
        self.time_total: float | None = None

    def done(self) -> None:
        """Stop its clock."""
        self.time_finished = time.time()
        self.time_total = self.time_finished - self.time_started

    def get_stats(self) -> dict[str, Any]:
        """Return what was measured."""
        seconds = self.time_total or 0.0
        return {
            "name": self.name,
            "metadata": self.metadata,
            "time_started": self.time_started,
            "time_finished": self.time_finished,
            "time_total": self.time_total,
            "read": self.read.get_stats(seconds),
            "write": self.write.get_stats(seconds),
        }


class StepExecution(contextlib.AbstractContextManager[Step]):
    """``with StepExecution(step) as step``: its clock stops at the end."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def __enter__(self) -> Step:
        return self.step

    def __exit__(self, *raised: object) -> None:
        self.step.done()


class MetrologyTask:
    """Base of class activities whose steps are measured; ``meta`` is any JSON value of yours."""

    #: set by the worker
    context: Mapping[str, Any]
    #: in the order in which they began
    steps: list[Step]
    meta: Any = None

    def can_upload(self) -> bool:
        """Whether it is known where this task runs."""
        context = getattr(self, "context", None)
        return context is not None and all(name in context for name in ("workflow_id", "run_id", "activity_id"))

    @property
    def metrology_path(self) -> str:
        """The key of this task's figures."""
        run = _path(self.context["workflow_id"], self.context["run_id"])
        return posixpath.join(run, f"activity.{self.context['activity_id']}.json")

    def step(self, name: str) -> StepExecution:
        """Measure a part: ``with self.step("fetch") as step: step.read.records += 1``."""
        if not hasattr(self, "steps"):
            self.steps = []
        self.steps.append(Step(name, self))
        return StepExecution(self.steps[-1])

    def upload_stats(self) -> None:
        """Write what was measured; nothing where it is not known where this task runs."""
        if self.can_upload():
            stats = {"steps": [step.get_stats() for step in getattr(self, "steps", ())], "meta": self.meta}
            _push(self.metrology_path, stats)

    @abc.abstractmethod
    def execute(self) -> Any:
        """What the task does."""

    def post_execute(self) -> None:
        """Called by the worker after ``execute()``."""
        self.upload_stats()


class MetrologyWorkflow(Workflow):
    """Base of workflows that merge the figures of their tasks with their history."""

    name, version, task_list = "metrology", "1", "metrology"

    def after_closed(self, history: Any) -> None:
        self.push_metrology(history)

    @property
    def metrology_path(self) -> str:
        """The path of this run's figures."""
        context = self.get_run_context()
        return _path(context["workflow_id"], context["run_id"])

    def push_metrology(self, seen: Any) -> None:
        """Write ``metrology.json``: each task's part of the history, with what it measured."""
        merged = json.loads(history.dump(seen))
        measured = dict(self._measured())
        for name, task in merged:
            if name in measured:
                task["metrology"] = measured[name]
        _push(posixpath.join(self.metrology_path, "metrology.json"), merged)

    def _measured(self) -> Iterator[tuple[str, Any]]:
        beginning = posixpath.join(self.metrology_path, "activity.")
        for found in storage.list_keys(settings.METROLOGY_BUCKET, beginning):
            name = found.key.removeprefix(beginning).removesuffix(".json")
            yield name, json.loads(found.get()["Body"].read())


def _path(workflow_id: str, run_id: str) -> str:
    # 0.36 quotes the workflow id here in the workflow and not in the task: they did not meet.
    parts = [settings.METROLOGY_PATH_PREFIX or "", quote_plus(workflow_id), quote_plus(run_id)]
    return posixpath.join(*(part for part in parts if part))


def _push(key: str, value: Any) -> None:
    text = utils.json_dumps(value, compact=False, indent=2)
    storage.push_content(settings.METROLOGY_BUCKET, key, text, content_type="application/json")
