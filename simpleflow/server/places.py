"""Where this user's embedded service lies: its socket, its database, its locks."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from simpleflow.core import errors as core_errors


class Places:
    """Paths, from SIMPLEFLOW_RUNTIME_DIR and SIMPLEFLOW_DATA_DIR, else from the XDG directories."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        #: whether others may have made the runtime folder before us: its name can be guessed
        self._open_to_all = False
        runtime, data = given.get("SIMPLEFLOW_RUNTIME_DIR"), given.get("SIMPLEFLOW_DATA_DIR")
        if runtime:
            self.runtime = Path(runtime)
        elif base := given.get("XDG_RUNTIME_DIR"):
            self.runtime = Path(base) / "simpleflow"
        else:
            self.runtime = Path(tempfile.gettempdir()) / f"simpleflow-{os.getuid()}"
            self._open_to_all = True
        if data:
            self.data = Path(data)
        else:
            home = given.get("XDG_DATA_HOME")
            self.data = (Path(home) if home else Path.home() / ".local" / "share") / "simpleflow"
        self.socket = (self.runtime / "swf.sock").absolute()
        #: held by the server that has the socket, for as long as it lives
        self.lock = self.socket.with_name("swf.sock.lock")
        #: held by whoever starts a server, or ends an idle one
        self.starting = self.socket.with_name("swf.sock.starting")
        self.log = self.data / "server.log"

    def own(self, *, make: bool = False) -> bool:
        """Whether the runtime folder is there, or ``make`` it. Raises UsageError when another could answer for us."""
        if make:
            self.runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            found = self.runtime.lstat()
        except FileNotFoundError:
            return False
        writable = stat.S_ISDIR(found.st_mode) and found.st_mode & 0o022
        if self._open_to_all and (found.st_uid != os.getuid() or writable):
            raise core_errors.UsageError(
                f"{self.runtime} is another user's, or others may write to it: set SIMPLEFLOW_RUNTIME_DIR to a folder "
                "of your own"
            )
        return True

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def database(self, given: str | None) -> Path | None:
        """Return where the database lies: a path, or None for ``:memory:``."""
        if given == ":memory:":
            return None
        return (Path(given).expanduser() if given else self.data / "swf.db").absolute()
