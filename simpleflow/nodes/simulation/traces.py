"""Runs from files of WfFormat (WfCommons): recorded workflows of Pegasus, Makeflow, Nextflow."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import msgspec

from simpleflow.core import errors

from . import work

#: seconds that a task takes at least: some traces have tasks of 0 s
_SHORTEST = 0.5
_NUMBER = re.compile(r"[_-]?(ID)?\d+$")


class _Spec(msgspec.Struct):
    id: str
    name: str = ""
    parents: tuple[str, ...] = ()


class _Specification(msgspec.Struct):
    tasks: tuple[_Spec, ...]


class _Done(msgspec.Struct, rename={"seconds": "runtimeInSeconds"}):
    id: str
    seconds: float | None = None


class _Execution(msgspec.Struct):
    tasks: tuple[_Done, ...] = ()


class _Workflow(msgspec.Struct):
    specification: _Specification
    execution: _Execution = msgspec.field(default_factory=_Execution)


class _File(msgspec.Struct):
    workflow: _Workflow
    name: str = ""


def is_trace(content: Any) -> bool:
    """Return whether decoded JSON looks like WfFormat rather than a history."""
    return isinstance(content, dict) and "workflow" in content


def read(path: Path, task_list: str = "") -> work.Run:
    """Read a trace, plain or gzipped; its tasks are put on ``task_list``.

    Raises UsageError for a file that is not a trace, or whose tasks wait for each other.
    """
    content = raw(path)
    try:
        found = msgspec.convert(content, type=_File, strict=False)
    except msgspec.ValidationError as error:
        raise errors.UsageError(
            f"{path} is not a trace of WfFormat 1.5 ({error}): it has workflow.specification.tasks with id, name, "
            "parents, and workflow.execution.tasks with id, runtimeInSeconds"
        ) from error
    name = found.name or path.name.partition(".json")[0]
    return work.Run(
        run_id=path.name.partition(".json")[0], workflow=name, begin=0.0, tasks=_tasks(found, task_list, path)
    )


def raw(path: Path) -> Any:
    """Return the decoded JSON of a file, gzipped or not; raises UsageError if it is not JSON."""
    try:
        content = path.read_bytes()
        return msgspec.json.decode(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except OSError as error:
        raise errors.UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (EOFError, msgspec.DecodeError) as error:
        raise errors.UsageError(
            f"{path} is not JSON ({error}): a trace is a .json or .json.gz file of WfFormat"
        ) from error


def _tasks(found: _File, task_list: str, path: Path) -> tuple[work.Task, ...]:
    specs = found.workflow.specification.tasks
    seconds = {each.id: each.seconds or 0.0 for each in found.workflow.execution.tasks}
    known = {each.id for each in specs}
    waiting = {each.id: {name for name in each.parents if name in known} for each in specs}
    by_id = {each.id: each for each in specs}
    children: dict[str, list[str]] = {}
    for name, parents in waiting.items():
        for parent in parents:
            children.setdefault(parent, []).append(name)
    left = {name: len(parents) for name, parents in waiting.items()}
    ready = [name for name in by_id if not left[name]]
    order: list[str] = []
    for name in ready:
        order.append(name)
        for child in children.get(name, ()):
            left[child] -= 1
            if not left[child]:
                ready.append(child)
    if len(order) != len(specs):
        raise errors.UsageError(
            f"{path}: tasks wait for each other in a circle ({len(specs) - len(order)} of {len(specs)})"
        )
    kinds = _kinds([by_id[name].name or name for name in order])
    place = {name: number for number, name in enumerate(order)}
    return tuple(
        work.Task(
            activity=kind,
            task_list=task_list,
            seconds=max(seconds.get(name, 0.0), _SHORTEST),
            after=tuple(sorted(place[parent] for parent in waiting[name])),
        )
        for name, kind in zip(order, kinds, strict=True)
    )


def _kinds(names: list[str]) -> list[str]:
    """Return activity types: the names without their numbers. If these are too many, the part before the first '_'."""
    kinds = [_NUMBER.sub("", name) for name in names]
    return kinds if len(set(kinds)) <= len(names) / 3 else [kind.split("_")[0] for kind in kinds]
