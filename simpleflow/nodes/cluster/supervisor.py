"""The supervisor that ``up`` leaves behind on process and ssh: it keeps the manager, and the embedded service.

It holds the cluster's lifeline (everything that belongs to the cluster ends when it dies), serves the nodes' metadata,
and ends all with ``down``: SIGTERM drains first, however often it comes; SIGINT, and the end of the process it is tied
to, do not wait.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents, interpreter
from simpleflow.data import files
from simpleflow.nodes import config, paths
from simpleflow.nodes.bundle import code as codes
from simpleflow.nodes.providers import process as process_provider
from simpleflow.nodes.providers.process import node_folder
from simpleflow.nodes.providers.process import provider as process_module
from simpleflow.process import kept, lock_lifeline, scratch

from . import remembered

logger = logging.getLogger(__name__)

_TURN = 0.2
#: seconds that the manager gets to write the ledger when the user does not wait
_HURRY = 8.0
#: seconds for the rest of the cluster's processes when everything else has ended
_SWEEP = 2.0
#: exit code of a supervisor whose cluster has one already
ALREADY_UP = 64


class Up(msgspec.Struct, frozen=True, kw_only=True):
    """``up.json``: what `up` started; there while the supervisor lives."""

    pid: int
    cluster: str
    path: str
    domain: str
    task_list: str
    endpoint: str
    store: str
    folder: str
    started: float
    manager: int | None = None
    service: int | None = None
    metadata: str = ""


class Supervisor:
    """Make and run it in the main thread of a process of its own. Raises BlockingIOError when one lives already."""

    def __init__(
        self,
        loaded: config.LoadedCluster,
        environment: Mapping[str, str],
        directory: str,
        tie: int | None = None,
    ) -> None:
        self._cluster = loaded.config
        self._paths = paths.ClusterPaths(loaded.config, environment)
        self._folder = self._paths.folder
        self._tie = tie
        self._signals: list[int] = []
        #: the service of ours that was reached last
        self._reached: int | None = None
        files.folder(self._folder)
        self._lifeline = lock_lifeline.Lifeline(self._paths.lifeline)
        # A killed supervisor left it. Its pid may belong to another process by now, which `down` would signal.
        self._paths.up.unlink(missing_ok=True)
        self._clock = clocks.RealClock()
        self._metadata = process_provider.MetadataServer(str(self._folder))
        # A process title overwrites the environment that others see, and by that the cluster finds what is its own.
        below = {
            **environment,
            "SIMPLEFLOW_CLUSTER_FOLDER": str(self._folder),
            "SIMPLEFLOW_DISABLE_SETPROCTITLE": "1",
        }
        files.folder(self._paths.folder)
        files.folder(self._paths.logs)
        # A manager that is started again must not depend on what became of the user's file meanwhile.
        own = codes.resolved_file(loaded.config, Path(loaded.path).parent)
        remembered.remember(msgspec.structs.replace(loaded, config=own), environment)
        self._manager = kept.Tethered(
            "manager",
            interpreter.command("simpleflow.cli.sfnodes", "manager", str(self._paths.file)),
            below,
            self._clock.monotonic,
            directory=directory,
            log=functools.partial(files.log, self._paths.logs / "manager.log"),
            words=str(self._paths.logs / "manager.log"),
            orphaned=signal.SIGKILL,
        )
        self._service = kept.Tethered(
            "service",
            interpreter.command("simpleflow.cli.main", "server", "start"),
            below,
            self._clock.monotonic,
            directory=directory,
            log=functools.partial(files.log, self._paths.logs / "service.log"),
            words=str(self._paths.logs / "service.log"),
        )
        self._up = Up(
            pid=os.getpid(),
            cluster=self._cluster.cluster,
            path=loaded.path,
            domain=self._cluster.swf_domain,
            task_list=self._cluster.decision_task_list,
            endpoint=self._paths.endpoint,
            store=self._paths.store,
            folder=str(self._folder),
            started=self._clock.now(),
        )

    def run(self) -> int:
        """Keep manager and service until told to end; 0 when everything is gone."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: self._signals.append(received))
        try:
            self._sweep(0.5)
            self._clean()
            node_folder.write(self._paths.resume, b"")
            self._metadata.start()
            self._up = msgspec.structs.replace(self._up, metadata=self._metadata.url)
            while not self._signals and not self._lost():
                self._turn()
            self._end()
        finally:
            self._manager.end(1.0)
            self._sweep(_SWEEP)
            self._service.end(5.0)
            self._sweep(_SWEEP)
            scratch.sweep()
            self._metadata.stop()
            if not self._lifeline.lost():
                self._paths.up.unlink(missing_ok=True)
                self._paths.ending.unlink(missing_ok=True)
            self._lifeline.release()
        return 0

    def _lost(self) -> bool:
        """Whether the cluster's folder was removed: no command would find this cluster any more, so all of it ends."""
        if not self._lifeline.lost():
            return False
        logger.error("%s was removed: the cluster ends at once", self._folder, extra={"action": "lost"})
        return True

    def _turn(self) -> None:
        """Keep what must run; say what runs; wait a little, or until the one we are tied to is gone."""
        if self._paths.embedded:
            self._keep_service()
        if not self._paths.embedded or reachable(self._paths.endpoint):
            self._manager.keep()
        up = msgspec.structs.replace(
            self._up,
            manager=self._manager.pid if self._manager.alive() else None,
            service=self._service.pid if self._service.alive() else None,
        )
        if up != self._up or not self._paths.up.exists():
            try:
                node_folder.write(self._paths.up, msgspec.json.encode(up))
                self._up = up
            except OSError as error:
                logger.error("%s was not written: %s", self._paths.up, error, extra={"action": "up"})
        self._wait()

    def _keep_service(self) -> None:
        """Start the service where none answers; one whose socket was removed is started anew, nobody can reach it."""
        if reachable(self._paths.endpoint):
            self._reached = self._service.pid
            return
        here = Path(self._paths.endpoint.removeprefix("unix://"))
        if self._service.alive() and self._service.pid == self._reached and not here.exists():
            self._reached = None
            logger.warning("%s was removed: the service is started anew", here, extra={"action": "service"})
            self._service.ask(signal.SIGTERM)
        self._service.keep()

    def _wait(self) -> None:
        if self._tie is None:
            time.sleep(_TURN)
            return
        with contextlib.suppress(InterruptedError):
            readable, _, _ = select.select([self._tie], [], [], _TURN)
            if readable and not os.read(self._tie, 64):
                os.close(self._tie)
                self._tie = None
                self._signals.append(signal.SIGINT)

    def _end(self) -> None:
        """Have the manager drain and end everything; it reads from a file what is wanted, so it may die meanwhile."""
        limit = None
        while not self._lost():
            hurry = signal.SIGINT in self._signals
            try:
                node_folder.write(self._paths.ending, b"hurry" if hurry else b"drain")
            except OSError as error:
                # Not a reason to end the nodes: the next turn tries again.
                logger.error("%s was not written: %s", self._paths.ending, error, extra={"action": "down"})
            if hurry and limit is None:
                limit = time.monotonic() + _HURRY
            if limit is not None and time.monotonic() > limit:
                return
            if not self._manager.alive():
                # One that a person ended has drained nothing.
                if self._manager.last_code == 0 and not self._unsettled():
                    return
                self._manager.keep()
            if self._paths.embedded and not hurry:
                self._keep_service()
            self._wait()

    def _sweep(self, patience: float) -> None:
        """End whatever still carries this cluster's folder in its environment, but ourselves and the service."""
        keep = {os.getpid(), os.getppid(), self._service.pid}
        found = [each for each in process_module.node_processes(str(self._folder)) if each.pid not in keep]
        process_module.end_processes(found, patience)

    def _clean(self) -> None:
        """Forget nodes of an earlier life that have ended and are settled in control.json."""
        self._paths.ending.unlink(missing_ok=True)
        scratch.sweep()
        unsettled = self._unsettled()
        for each in sorted((self._folder / "nodes").glob("*")):
            if each.name not in unsettled and not node_folder.NodeFolder(each).is_alive():
                shutil.rmtree(each, ignore_errors=True)

    def _unsettled(self) -> set[str]:
        """Machines that control.json still names."""
        store = Path(self._paths.store.removeprefix("file://"))
        try:
            control = msgspec.json.decode((store / documents.CONTROL_KEY).read_bytes(), type=documents.Control)
        except (OSError, msgspec.DecodeError):
            return set()
        return {row.instance for row in control.rows}


def reachable(endpoint: str) -> bool:
    """Tell whether somebody listens at a 'unix://' endpoint; others are taken for reachable."""
    if not endpoint.startswith("unix://"):
        return True
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(endpoint.removeprefix("unix://"))
    except OSError:
        return False
    return True
