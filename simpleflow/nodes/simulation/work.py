"""The work of a simulation: runs, their tasks, and the tasks that each task waits for."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import msgspec


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One activity task."""

    activity: str
    task_list: str
    #: seconds that a machine works on it
    seconds: float
    #: indexes, in the run, of the tasks that must end before it is scheduled
    after: tuple[int, ...] = ()
    #: seconds from the last of these ends (or the run's begin) to its scheduling, without the decider's own time
    delay: float = 0.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a workflow."""

    run_id: str
    workflow: str
    #: seconds from the begin of the simulation
    begin: float
    #: sorted: a task comes after all tasks that it waits for
    tasks: tuple[Task, ...]

    def critical_path(self) -> float:
        """Return the seconds that the run takes when a free machine is always there."""
        ends: list[float] = []
        for task in self.tasks:
            ready = max((ends[place] for place in task.after), default=0.0)
            ends.append(ready + task.delay + task.seconds)
        return max(ends, default=0.0)

    def work(self) -> float:
        """Return the seconds of all its tasks together."""
        return sum(task.seconds for task in self.tasks)


def together(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Return the runs in order of their begin, moved so that the first one begins at 0."""
    found = sorted(runs, key=lambda run: (run.begin, run.run_id))
    first = found[0].begin if found else 0.0
    return tuple(msgspec.structs.replace(run, begin=run.begin - first) for run in found)


def copies(runs: Sequence[Run], count: int, over: float, seed: int = 0) -> tuple[Run, ...]:
    """Return ``count`` copies of the runs, each at a random moment within ``over`` seconds; ``seed`` fixes them."""
    rng = random.Random(seed)  # noqa: S311  # a simulation, repeated by its seed
    moments = [0.0, *sorted(rng.uniform(0.0, over) for _ in range(count - 1))]
    return together(
        msgspec.structs.replace(run, run_id=f"{run.run_id}-{number}", begin=run.begin + moment)
        for number, moment in enumerate(moments, 1)
        for run in runs
    )


def on_lists(runs: Iterable[Run], known: Sequence[str], default: str) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """Put tasks of lists that the cluster does not serve on ``default``; also returns the names of those lists."""
    foreign: set[str] = set()

    def moved(task: Task) -> Task:
        if task.task_list in known:
            return task
        foreign.add(task.task_list)
        return msgspec.structs.replace(task, task_list=default)

    made = tuple(msgspec.structs.replace(run, tasks=tuple(moved(each) for each in run.tasks)) for run in runs)
    return made, tuple(sorted(foreign - {""}))
