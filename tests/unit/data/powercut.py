"""A disk that keeps only what was synced: what a folder holds after a power cut, from the calls made so far."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_CALLS = ("open", "write", "fsync", "replace", "rename", "mkdir", "unlink")


class Disk:
    """Watches ``os``. ``after`` is called after each call that changes something below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        #: content of a file and entries of a folder as they were last synced, by inode
        self._files: dict[int, bytes] = {}
        self._folders: dict[int, dict[str, int]] = {}
        self._kinds: dict[int, bool] = {}
        self.after: Callable[[], None] = lambda: None
        self._busy = False
        self._keep(root)

    def _keep(self, path: Path) -> None:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            self._folders[found.st_ino] = {name: os.lstat(path / name).st_ino for name in os.listdir(path)}
        else:
            self._files[found.st_ino] = path.read_bytes()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch inside the block."""
        with pytest.MonkeyPatch.context() as patch:
            for name in _CALLS:
                patch.setattr(os, name, self._wrapped(name, getattr(os, name)))
            yield

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self._busy:
                return real(*arguments, **options)
            new = name in ("mkdir", "open") and not os.path.exists(arguments[0])
            made = real(*arguments, **options)
            self._busy = True
            try:
                if new and os.path.exists(arguments[0]):
                    number = os.stat(arguments[0]).st_ino  # inodes are used again
                    self._files.pop(number, None)
                    self._folders.pop(number, None)
                if name == "fsync":
                    path = Path(os.readlink(f"/proc/self/fd/{arguments[0]}"))
                    if path.is_relative_to(self.root):
                        self._keep(path)
                self.after()
            finally:
                self._busy = False
            return made

        return call

    def after_a_cut(self, *, entries_first: bool = False) -> dict[str, bytes]:
        """Files by path as a power cut leaves them now.

        What was not synced is gone; with ``entries_first`` the entries of folders were written on their own account
        before the content of files, as file systems may do.
        """
        found: dict[str, bytes] = {}
        self._collect(os.stat(self.root).st_ino, self.root, "", found, entries_first)
        return found

    def _collect(self, number: int, real: Path, below: str, found: dict[str, bytes], entries_first: bool) -> None:
        if entries_first and real.is_dir():
            entries = {name: os.lstat(real / name).st_ino for name in os.listdir(real)}
        else:
            entries = self._folders.get(number, {})
        for name, inside in entries.items():
            path = f"{below}{name}"
            if inside in self._folders or (real / name).is_dir():
                self._collect(inside, real / name, f"{path}/", found, entries_first)
            else:
                found[path] = self._files.get(inside, b"")
