"""Values of large fields. A value is deleted with the last history that refers to it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
from pathlib import Path

from simpleflow.server.store import base, upkeep

_LOG = logging.getLogger(__name__)
#: seconds that a value is kept at least: a worker stores it before it sends the answer that names it
_GRACE = 300.0
#: values that one step deletes at most
_AT_ONCE = 100


class Blobs:
    """The values in one folder, which several databases of a user may share. Values elsewhere are not touched.

    ``databases`` is a file that names each database that was ever served with this folder, as JSON, a line each.
    """

    def __init__(self, folder: Path, databases: Path, own: Path) -> None:
        self._folder = folder
        self._databases = databases
        self._own = own.resolve()

    def register(self) -> None:
        """Add this database to the list that each server of this user asks before it deletes a value."""
        if str(self._own) in self._named():
            return
        descriptor = os.open(self._databases, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w") as file:
            file.write(json.dumps(str(self._own)) + "\n")

    def clean(self, store: base.Store, now: float) -> bool:
        """Delete some values to which no kept history refers; return whether there may be more."""
        found = store.unreferenced(now - _GRACE, _AT_ONCE)
        others = [Path(name) for name in self._named() if name != str(self._own)] if found else []
        for digest in found:
            if self._delete(digest, now, others):
                store.blob_deleted(digest)
            else:
                store.put_off_blob(digest, now)
        return len(found) == _AT_ONCE

    def _delete(self, digest: str, now: float, others: list[Path]) -> bool:
        """Delete a value, unless it is in use; False when a later clean-up has to look again."""
        path = self._folder / digest
        try:
            if path.lstat().st_mtime > now - _GRACE:
                return False
            if any(upkeep.refers(other, digest) for other in others if other.exists()):
                return True
            path.unlink()
        except FileNotFoundError:
            return True
        except (OSError, sqlite3.Error, base.StoreError) as error:
            _LOG.warning("The value %s stays: %s", path, error)
            return False
        return True

    def _named(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in self._databases.read_text().splitlines()]
        return []
