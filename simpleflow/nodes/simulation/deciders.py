"""The deciders of a simulation: they begin runs, schedule tasks that are ready, and publish their demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from simpleflow.core import documents
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import config

from . import timeline, work

#: seconds from the end of a task until a decider schedules the tasks that waited for it
DECIDE = 0.3


class Deciders:
    """All runs. A task is named by two indexes: that of its run, and its own in the run."""

    def __init__(self, runs: Sequence[work.Run], time: timeline.Timeline, times: config.Times) -> None:
        self.runs = tuple(runs)
        self._time = time
        self._times = times
        self.places = {run.run_id: place for place, run in enumerate(self.runs)}
        #: hands a task to the service
        self.queue: Callable[[int, int], None] = lambda place, task: None
        self._waiting = [[len(task.after) for task in run.tasks] for run in self.runs]
        self._children = [_children(run) for run in self.runs]
        #: by run: number of tasks that have not ended
        self.left = [len(run.tasks) for run in self.runs]
        self.begun = [False] * len(self.runs)
        self.ended: list[float | None] = [None] * len(self.runs)
        #: by run: tasks that are scheduled and have not ended, with the time of scheduling
        self.known: list[dict[int, float]] = [{} for _ in self.runs]
        self._decided = [0] * len(self.runs)
        self._rows: dict[int, documents.RunRow] = {}
        self._stale: set[int] = set()
        self._gone: dict[int, float] = {}
        for place, run in enumerate(self.runs):
            time.at(time.start + run.begin, self._begin, place)

    def _begin(self, place: int) -> None:
        self.begun[place] = True
        self._stale.add(place)
        for task, each in enumerate(self.runs[place].tasks):
            if not each.after:
                self._time.at(self._time.now + DECIDE + each.delay, self._schedule, place, task)

    def _schedule(self, place: int, task: int) -> None:
        self.known[place][task] = self._time.now
        self._stale.add(place)
        self.queue(place, task)

    def closed(self, place: int, task: int) -> None:
        """Note that a task has ended, and schedule the tasks that are ready then."""
        del self.known[place][task]
        self._stale.add(place)
        self.left[place] -= 1
        if not self.left[place]:
            self.ended[place] = self._time.now
        for child in self._children[place][task]:
            self._waiting[place][child] -= 1
            if not self._waiting[place][child]:
                delay = DECIDE + self.runs[place].tasks[child].delay
                self._time.at(self._time.now + delay, self._schedule, place, child)

    def row(self, place: int) -> documents.RunRow:
        """Return what the run's decider publishes: scheduled tasks, and tasks that wait for one of these."""
        run = self.runs[place]
        scheduled: dict[tuple[str, str], int] = {}
        waits: dict[int, dict[tuple[str, str], int]] = {}
        for task in self.known[place]:
            key = run.tasks[task].task_list, run.tasks[task].activity
            scheduled[key] = scheduled.get(key, 0) + 1
            for child in self._children[place][task]:
                after = waits.setdefault(child, {})
                after[key] = after.get(key, 0) + 1
        foreseen: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[dict[tuple[str, str], int]]] = {}
        for child, after in waits.items():
            key = run.tasks[child].task_list, run.tasks[child].activity
            foreseen.setdefault((*key, tuple(sorted(after))), []).append(after)
        tasks = [
            documents.TaskCount(task_list=task_list, activity=activity, state="scheduled", count=count)
            for (task_list, activity), count in scheduled.items()
        ]
        for (task_list, activity, names), each in foreseen.items():
            needs = tuple(
                documents.After(task_list=name[0], activity=name[1], count=max(after[name] for after in each))
                for name in names
            )
            tasks.append(
                documents.TaskCount(
                    task_list=task_list, activity=activity, state="foreseen", count=len(each), after=needs
                )
            )
        self._decided[place] += 1
        return documents.RunRow(
            run_id=run.run_id,
            workflow_id=run.run_id,
            workflow=run.workflow,
            started_event_id=self._decided[place],
            changed=self._time.now,
            begun=self._time.start + run.begin,
            closed=not self.left[place],
            tasks=tuple(tasks),
        )

    def publish(self, store: blobs.BlobStore) -> None:
        """Write the demand document if it has changed; rows of closed runs stay as long as with a real decider."""
        if not self._stale:
            return
        now, kept = self._time.now, 2 * self._times.document_max + self._times.stale
        for place in self._stale:
            self._rows[place] = self.row(place)
            if not self.left[place]:
                self._gone.setdefault(place, now)
        self._stale.clear()
        for place, closed in list(self._gone.items()):
            if now - closed > kept:
                del self._gone[place], self._rows[place]
        document = documents.DemandDocument(decider="simulation", written=now, runs=tuple(self._rows.values()))
        store.put(f"{documents.DEMAND_PREFIX}simulation.json", msgspec.json.encode(document))


def _children(run: work.Run) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in run.tasks]
    for place, task in enumerate(run.tasks):
        for parent in task.after:
            found[parent].append(place)
    return found
