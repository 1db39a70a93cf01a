"""Looks at the files of a database while it is served: whether they are damaged, whether they are still in place."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable
from typing import Final

from simpleflow.server.store import base, files, sqlite, upkeep

_LOG = logging.getLogger(__name__)
#: seconds between two looks whether the files are still in their place
_LOOK: Final = 1.0


class FileWatch:
    """Checks the database once, on a thread, and looks each second whether its files were moved.

    On the loop, ``checked`` gets the problems that the check found, and ``moved`` is called when a file is gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        store: sqlite.File,
        *,
        checked: Callable[[list[str]], None],
        moved: Callable[[files.Moved], None],
    ) -> None:
        self._loop = loop
        self._store = store
        self._checked = checked
        self._moved = moved
        if store.damage:
            checked([store.damage])
        else:
            threading.Thread(target=self._check, name="swf-check", daemon=True).start()
        self._next = loop.call_later(_LOOK, self._look)

    def stop(self) -> None:
        self._next.cancel()

    def _check(self) -> None:
        path = self._store.path
        try:
            problems = list(upkeep.quick_check(path))
        except (sqlite3.OperationalError, base.StoreError) as error:  # It tells nothing about the content of the file.
            _LOG.warning("The database %s could not be checked: %s", path, error)
            return
        except Exception as error:  # On a thread nobody would see the error.
            problems = [f"it cannot be read: {error}"]
        with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
            self._loop.call_soon_threadsafe(self._checked, problems)

    def _look(self) -> None:
        """Notice that the files of the database were moved or removed, also while nothing is written."""
        try:
            self._store.verify()
        except files.Moved as error:
            self._moved(error)
            return
        self._next = self._loop.call_later(_LOOK, self._look)
