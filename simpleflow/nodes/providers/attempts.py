"""Locks of launch attempts, for providers whose launches run on this machine: a file each, in one folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from simpleflow.data import files
from simpleflow.nodes import errors

_GIVEN_UP = b"void"


class Attempts:
    """The lock of an attempt is held while its launch is sent. A successor that gets the lock gives the attempt up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def launching(self, attempt: str) -> Iterator[None]:
        """Hold the attempt's lock. Raises ProviderRefused for an attempt that was given up."""
        with files.locked(self._lock(attempt)) as lock:
            if os.read(lock, len(_GIVEN_UP)) == _GIVEN_UP:
                raise errors.ProviderRefused(f"attempt {attempt} was given up by a successor; nothing was launched")
            yield

    def is_launching(self, attempt: str) -> bool:
        """Return whether a living process holds the attempt's lock."""
        try:
            with files.locked(self._lock(attempt), wait=False):
                return False
        except BlockingIOError:
            return True

    def give_up(self, attempt: str) -> bool:
        """Give the attempt up for ever and return True; return False while a living process is launching it."""
        try:
            with files.locked(self._lock(attempt), wait=False) as lock:
                os.pwrite(lock, _GIVEN_UP, 0)
                return True
        except BlockingIOError:
            return False

    def _lock(self, attempt: str) -> Path:
        files.folder(self._folder)
        return self._folder / f"{attempt}.lock"
