"""Demand: activity tasks that are scheduled, and those that the program already wants, by task list and type."""

from __future__ import annotations

from simpleflow.core import documents
from simpleflow.engine import declared

SCHEDULED, FORESEEN = 0, 1


class Demand:
    """Counts that change with each step of a task; reading them costs no look at any task."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], list[int]] = {}

    def cell(self, activity: declared.Activity) -> list[int]:
        """Return the counts [scheduled, foreseen] of an activity's row, to be changed in place."""
        key = (activity.task_list or "", activity.name)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = [0, 0]
        return cell

    def rows(self) -> tuple[documents.TaskCount, ...]:
        rows = []
        for (task_list, name), (scheduled, foreseen) in sorted(self._cells.items()):
            if scheduled > 0:
                rows.append(documents.TaskCount(task_list=task_list, activity=name, state="scheduled", count=scheduled))
            if foreseen > 0:
                rows.append(documents.TaskCount(task_list=task_list, activity=name, state="foreseen", count=foreseen))
        return tuple(rows)
