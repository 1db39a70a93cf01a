"""Where this user's embedded service lies: its socket, its database, its locks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


class Places:
    """Paths, from SIMPLEFLOW_RUNTIME_DIR and SIMPLEFLOW_DATA_DIR, else from the XDG directories."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        runtime, data = given.get("SIMPLEFLOW_RUNTIME_DIR"), given.get("SIMPLEFLOW_DATA_DIR")
        if runtime:
            self.runtime = Path(runtime)
        elif base := given.get("XDG_RUNTIME_DIR"):
            self.runtime = Path(base) / "simpleflow"
        else:
            self.runtime = Path(tempfile.gettempdir()) / f"simpleflow-{os.getuid()}"
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

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def database(self, given: str | None) -> Path | None:
        """Return where the database lies: a path, or None for ``:memory:``."""
        if given == ":memory:":
            return None
        return (Path(given).expanduser() if given else self.data / "swf.db").absolute()
