"""Files of this user's embedded service: socket, database, locks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from simpleflow.core import errors as core_errors
from simpleflow.core import folders


class Places:
    """Paths, from SIMPLEFLOW_RUNTIME_DIR and SIMPLEFLOW_DATA_DIR, else from the XDG directories."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self.runtime = folders.runtime(given)
        self.data = folders.data(given)
        self.socket = (self.runtime / "swf.sock").absolute()
        #: held by the server that has the socket, for as long as it lives
        self.lock = self.socket.with_name("swf.sock.lock")
        #: held by whoever starts a server, or ends an idle one
        self.starting = self.socket.with_name("swf.sock.starting")
        #: how the server that has the socket was started; it stays when that server is killed
        self.started = self.socket.with_name("swf.sock.started")
        #: what requests to the TCP port must carry, with --token
        self.token = self.socket.with_name("swf.sock.token")
        self.log = self.data / "server.log"
        #: the values of large fields
        self.blobs = self.data / "blobs"
        #: the databases whose histories may refer to them
        self.databases = self.data / "databases"

    def own(self, *, make: bool = False) -> bool:
        """Return whether the runtime folder exists, or make it. Raises UsageError when others may write into it."""
        return _own(self.runtime, "SIMPLEFLOW_RUNTIME_DIR", make=make)

    def own_data(self) -> None:
        """Make the data folder. Raises UsageError when other users may write into it."""
        _own(self.data, "SIMPLEFLOW_DATA_DIR", make=True)

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def database(self, given: str | None) -> Path | None:
        """Return where the database lies: a path, or None for ``:memory:``."""
        if given == ":memory:":
            return None
        return (folders.expanded(given) if given else self.data / "swf.db").absolute()


def _own(folder: Path, variable: str, *, make: bool) -> bool:
    if make:
        folders.make(folder)
    try:
        flaw = folders.flaw(folder)
    except FileNotFoundError:
        return False
    if flaw is not None:
        raise core_errors.UsageError(f"{flaw}: set {variable} to a folder that is yours alone")
    return True
