"""Demand: activity tasks that are scheduled, and those that the program already wants, by task list and type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simpleflow.core import documents
from simpleflow.engine import declared
from simpleflow.engine.history import records
from simpleflow.engine.program import futures

SCHEDULED, FORESEEN = 0, 1
#: (task list, activity type); of what no activity will bring, the empty one
Kind = tuple[str, str]
UNKNOWN: Kind = ("", "")


class Demand:
    """Counts that change with each step of a task; reading them costs no look at any task."""

    __slots__ = ("_cells", "_most")

    def __init__(self) -> None:
        self._cells: dict[tuple[Kind, tuple[Kind, ...]], list[int]] = {}
        #: of each cell, how many of each kind one of its tasks waits for at most
        self._most: dict[tuple[Kind, tuple[Kind, ...]], list[int]] = {}

    def cell(self, activity: declared.Activity, after: Mapping[Kind, int] | None = None) -> list[int]:
        """Return the counts [scheduled, foreseen] of an activity's row, to be changed in place.

        ``after`` names what the task waits for, and how many of each.
        """
        kinds = tuple(sorted(after)) if after else ()
        key = (kind_of(activity), kinds)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = [0, 0]
        if after:
            most = self._most.setdefault(key, [0] * len(kinds))
            for place, kind in enumerate(kinds):
                most[place] = max(most[place], after[kind])
        return cell

    def rows(self) -> tuple[documents.TaskCount, ...]:
        scheduled: dict[Kind, int] = {}
        foreseen = []
        for (kind, kinds), cell in sorted(self._cells.items()):
            scheduled[kind] = scheduled.get(kind, 0) + cell[SCHEDULED]
            if cell[FORESEEN] > 0:
                after = tuple(
                    documents.After(task_list=name, activity=activity, count=count)
                    for (name, activity), count in zip(kinds, self._most.get((kind, kinds), ()), strict=True)
                )
                foreseen.append((kind, cell[FORESEEN], after))
        rows = [_row(kind, "scheduled", count, ()) for kind, count in scheduled.items() if count > 0]
        rows += [_row(kind, "foreseen", count, after) for kind, count, after in foreseen]
        return tuple(sorted(rows, key=lambda row: (row.task_list, row.activity, row.state == "foreseen")))


def _row(kind: Kind, state: Any, count: int, after: tuple[documents.After, ...]) -> documents.TaskCount:
    return documents.TaskCount(task_list=kind[0], activity=kind[1], state=state, count=count, after=after)


def kind_of(activity: declared.Activity) -> Kind:
    """The kind of an activity's tasks."""
    return (activity.task_list or "", activity.name)


def kind_of_member(entry: Any) -> Kind:
    """The kind of a member of a group."""
    activity = getattr(entry, "activity", None)
    return UNKNOWN if activity is None else kind_of(activity)


def cells(demand: Demand, members: Sequence[Any]) -> list[list[int] | None]:
    """Return the rows of a group's members that are activities: each is foreseen until it is submitted.

    A member that is not submitted at once waits for one before it: the one, in a chain.
    """
    found: list[list[int] | None] = []
    # Most members are of one type: each pair of types is looked up once.
    known: dict[tuple[int, int], list[int] | None] = {}
    before: Any = None
    for entry in members:
        activity = getattr(entry, "activity", None)
        pair = (id(activity), 0 if before is None else id(getattr(before, "activity", None)))
        if pair not in known:
            after = None if before is None else {kind_of_member(before): 1}
            known[pair] = None if activity is None else demand.cell(activity, after)
        found.append(known[pair])
        before = entry
    return found


def of_members(submitted: Sequence[futures.Future[Any]], members: Sequence[Any]) -> dict[Kind, int]:
    """Return how many tasks of each kind must end before a group ends; ``submitted`` are its first members."""
    found = waited_for(submitted)
    for entry in members[len(submitted) :]:
        kind = kind_of_member(entry)
        found[kind] = found.get(kind, 0) + 1
    return found


def waited_for(dependencies: Iterable[futures.Future[Any]]) -> dict[Kind, int]:
    """Return the number of tasks of each kind that must end before these futures are settled."""
    found: dict[Kind, int] = {}
    for future in dependencies:
        if future._kind == futures.OPEN:
            for kind, count in _kinds(future).items():
                found[kind] = found.get(kind, 0) + count
    return found


def _kinds(future: futures.Future[Any]) -> dict[Kind, int]:
    group: Any = future
    source: Any = future._source
    if source is future:
        # A group: its members, and those that it has not submitted yet.
        return dict(group.waits())
    activity = source.activity if isinstance(source, records.Record) else getattr(source, "activity", None)
    return {UNKNOWN if activity is None else kind_of(activity): 1}
