"""The agent of a decider machine (ec2): it keeps one ``decider.start`` and one ``sfnodes manager``."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.data import files
from simpleflow.nodes import children, config, connect, manager
from simpleflow.nodes.providers.ec2 import keeper

_TURN = 0.5
#: seconds that a decider gets to answer what it works on
_FAREWELL = 60.0


class DeciderAgent:
    """Runs until SIGTERM, or until its manager left the group at 0. Make and run it in the main thread."""

    def __init__(
        self, setup: documents.NodeSetup, setup_path: Path, environment: Mapping[str, str], clock: clocks.Clock
    ) -> None:
        # The bucket is known on the machine, not in the file: the template's token stands in the setup.
        cluster = msgspec.structs.replace(config.loads(setup.cluster_file, "setup"), store=setup.store)
        self._folder = Path(tempfile.mkdtemp(prefix="sfn-"))
        file = self._folder / "cluster.yaml"
        files.replace(file, msgspec.json.encode(cluster))
        below = {
            **environment,
            **setup.environment,
            connect.SETUP_VARIABLE: str(setup_path),
            keeper.FOLDER_VARIABLE: str(self._folder),
        }
        self._children = [
            children.Child(name, command, below, clock, directory=setup.directory)
            for name, command in (
                ("decider", manager.decider_command(cluster, setup.endpoint)),
                ("manager", [sys.executable, "-m", "simpleflow.cli.sfnodes", "manager", str(file)]),
            )
        ]
        self._manager = self._children[-1]
        self._ending = threading.Event()

    def end_soon(self, *_: object) -> None:
        """Signal handler: the machine goes down."""
        self._ending.set()

    def run(self) -> int:
        """Keep both until told to end; 0 then."""
        signal.signal(signal.SIGTERM, self.end_soon)
        signal.signal(signal.SIGINT, self.end_soon)
        try:
            while not self._ending.is_set():
                for child in self._children:
                    child.keep()
                # It set the group to 0 and left; any other end is a failure, and it is started again.
                if self._manager.last_code == 0 and not self._manager.alive():
                    break
                self._ending.wait(_TURN)
        finally:
            for child in self._children:
                child.ask(signal.SIGTERM)
            for child in self._children:
                child.end(_FAREWELL)
            shutil.rmtree(self._folder, ignore_errors=True)
        return 0
