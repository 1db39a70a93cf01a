"""Changes that a task makes to its process do not reach the next task: they are undone, or the runner is replaced.

Each ``Facet`` is one thing that a process has. It is read before a runner's first task, again when a task imported
modules (what an import sets up stays), and after each task.
"""

from __future__ import annotations

import faulthandler
import os
import random
import sys
from typing import Any

from simpleflow import logging_context

from . import left_over, process_facets, python_facets

_FACETS = process_facets.FACETS + python_facets.FACETS


class Isolation:
    """Keeps tasks of one process apart. Main thread only."""

    def __init__(self) -> None:
        self._before: list[Any] = []
        self._count = -1

    def begin(self) -> None:
        """Call it when the task's module is imported, before its code runs."""
        count = len(sys.modules)
        if count == self._count:
            return
        self._before = [facet.read() for facet in _FACETS]
        self._left = left_over.LeftOver()
        self._files = left_over.Files()
        self._loggers = python_facets.Loggers()
        self._modules = python_facets.Modules()
        self._count = count

    def end(self) -> list[str]:
        """Put back what the task changed; return what cannot be put back."""
        if self._count < 0:
            return []
        faulthandler.cancel_dump_traceback_later()  # it may end the process, whatever runs then
        stuck = [] if _all_as_before(self._before) else self._put_back()
        stuck += self._left.found()
        stuck += self._files.found()
        self._loggers.put_back(imported=len(sys.modules) != self._count)
        self._modules.put_back()
        logging_context.mend()
        if "simpleflow.format" in sys.modules:  # loaded by tasks that call SWF themselves
            sys.modules["simpleflow.format"].forget()
        random.seed(int.from_bytes(os.urandom(16), "little"))
        if python_facets.attribute("asyncio", "events") is not None:
            stuck += left_over.loops()
        self._count = len(sys.modules)
        return stuck

    def _put_back(self) -> list[str]:
        return [
            facet.name for facet, before in zip(_FACETS, self._before, strict=True) if not _as_before(facet, before)
        ]


def _all_as_before(before: list[Any]) -> bool:
    """Whether nothing is to be put back: one comparison for most tasks."""
    try:
        return [facet.read() for facet in _FACETS] == before
    except Exception:
        return False


def _as_before(facet: process_facets.Facet, before: Any) -> bool:
    """Whether it is as it was, or could be put back. What the task left may raise whatever it likes when it is read."""
    try:
        now = facet.read()
        if now is before or now == before:
            return True
        if facet.write is None:
            return False
        facet.write(before)
        return before is python_facets.ABSENT or bool(facet.read() == before)
    except Exception:
        return False
