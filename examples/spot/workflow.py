"""A film: frames on spot machines, two long cuts on dear ones, a title on one that is set up wrongly at first."""

from __future__ import annotations

import time

from simpleflow import Workflow, activity, futures


@activity.with_attributes(version="1", task_list="frames", raises_on_failure=True, heartbeat_timeout=10)
def render(number: int, seconds: float) -> int:
    """Take some seconds."""
    time.sleep(seconds)
    return number


@activity.with_attributes(version="1", task_list="films", raises_on_failure=True, heartbeat_timeout=10)
def cut(number: int, seconds: float) -> int:
    """Take some seconds of a dear machine."""
    time.sleep(seconds)
    return number


@activity.with_attributes(version="1", task_list="titles", raises_on_failure=True, heartbeat_timeout=10)
def title(text: str) -> str:
    """Write in capitals."""
    return text.upper()


class Film(Workflow):
    """Everything at once."""

    name, version, task_list = "film", "1", "demo-spot-decisions"
    decision_tasks_timeout = 10
    execution_timeout = 600

    def run(self, frames: int, seconds: float) -> str:
        """Render, cut and title; returns the title."""
        made = [self.submit(render, number, seconds) for number in range(frames)]
        made += [self.submit(cut, number, 2 * seconds) for number in range(2)]
        titled = self.submit(title, "the end")
        futures.wait(*made)
        return titled.result
