"""Demand: activity tasks that are scheduled, and those that the program already wants, by task list and type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simpleflow.core import documents

if TYPE_CHECKING:
    from . import evaluation as evaluations

SCHEDULED, FORESEEN = 0, 1


class Demand:
    """Counts that change with each step of a task; reading them costs no look at any task."""

    __slots__ = ("_cells", "_evaluation")

    def __init__(self, evaluation: evaluations.Evaluation) -> None:
        self._evaluation = evaluation
        self._cells: dict[tuple[str, str], list[int]] = {}

    def cell(self, activity: Any) -> list[int]:
        """Return the counts [scheduled, foreseen] of an activity's row, to be changed in place."""
        key = (self._evaluation.task_list_of(activity) or "", activity.name)
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
