"""The agent of a decider machine (ec2): it keeps one ``decider.start`` and one ``sfnodes manager``."""

from __future__ import annotations

import functools
import logging
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents, interpreter
from simpleflow.core import errors as core_errors
from simpleflow.data import files
from simpleflow.nodes import config, connect, published, stores
from simpleflow.nodes.manager import manager
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import keeper
from simpleflow.process import kept, scratch

from . import rolling

logger = logging.getLogger(__name__)

_TURN = 0.5
#: deaths of one child in a row, each sooner than so many seconds after the one before, that end the agent
_CRASHES = 5
_STEADY = 60.0
#: seconds that a decider gets: its open poll lasts up to 60 (Amazon SWF), and may bring a task that it answers
_GRACE = 90.0


class DeciderAgent:
    """Runs until SIGTERM, or until its manager left the group at 0 or found this machine to be too many.

    Make and run it in the main thread. ``machine`` is its instance id.
    """

    def __init__(
        self,
        setup: documents.NodeSetup,
        setup_path: Path,
        environment: Mapping[str, str],
        clock: clocks.Clock,
        machine: str = "",
    ) -> None:
        # The bucket is known on the machine, not in the file: the template's token stands in the setup.
        # Its '/' says that the documents lie at the bucket's root, where the file gives no folder.
        store = setup.store if "/" in setup.store.removeprefix("s3://") else f"{setup.store}/"
        cluster = msgspec.structs.replace(config.loads(setup.cluster_file, "setup"), store=store)
        self._version = setup.version
        documents_store = stores.open_store(setup.store)
        self._watch = published.Watch(documents_store, setup.cluster)
        self._rolling = rolling.Rolling(documents_store, machine or os.uname().nodename, clock)
        self._machine = machine
        self._group = functools.partial(ec2.Ec2DeciderGroup, cluster.cluster, ec2.BotoClients(cluster.region))
        #: the version that `up` published last, and whether it is known that a machine of it works: this one
        self._wanted = ""
        self._arrived = False
        self._began = clock.monotonic()
        self._between = cluster.settings.loop
        self._clock = clock
        self._next_look = 0.0
        #: child -> (deaths seen, of them in a row, when the last one was seen)
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._folder = scratch.Scratch()
        file = self._folder.path / "cluster.yaml"
        files.replace(file, msgspec.json.encode(cluster))
        below = {
            **environment,
            **setup.environment,
            connect.SETUP_VARIABLE: str(setup_path),
            keeper.FOLDER_VARIABLE: str(self._folder.path),
            **({"SIMPLEFLOW_NODE_ID": machine} if machine else {}),
        }
        self._kept = [
            kept.Tethered(name, command, below, clock.monotonic, directory=setup.directory)
            for name, command in (
                ("decider", manager.decider_command(cluster, setup.endpoint)),
                ("manager", interpreter.command("simpleflow.cli.sfnodes", "manager", str(file))),
            )
        ]
        self._manager = self._kept[-1]
        self._ending = threading.Event()

    def end_soon(self, *_: object) -> None:
        """Signal handler: the machine goes down."""
        self._ending.set()

    def _crashing(self) -> str:
        """Which child ends again and again, '' for none: the unit's watch counts the machine, and ends it."""
        now = self._clock.monotonic()
        for child in self._kept:
            deaths, row, moment = self._seen.get(child.name, (0, 0, now))
            if child.deaths != deaths:
                row = child.deaths - deaths + (0 if now - moment > _STEADY else row)
                moment = now
            self._seen[child.name] = (child.deaths, row, moment)
            if row >= _CRASHES:
                return f"its {child.name} ended {row} times in a row"
        return ""

    def _outdated(self) -> bool:
        """Whether `up` published that deciders are made of something else, and it is this machine's turn to go.

        The group replaces a machine that ends.
        """
        if self._clock.monotonic() < self._next_look:
            return False
        self._next_look = self._clock.monotonic() + self._between
        try:
            found = self._watch.look()
            if found is not None:
                self._wanted = found.versions.get("", "")
            if not self._wanted or not self._version:
                return False
            if self._wanted == self._version:
                if not self._arrived and self._clock.monotonic() - self._began >= _STEADY:
                    self._rolling.arrived(self._version)
                    self._arrived = True
                return False
            if not self._rolling.may_go(self._wanted):
                return False
        except core_errors.SimpleflowError as error:
            logger.warning("Whether deciders changed cannot be read: %s", error, extra={"action": "look"})
            return False
        logger.info("`sfnodes up` changed deciders or code: this machine makes room", extra={"action": "roll"})
        return True

    def run(self) -> int:
        """Keep both until told to end; 0 then."""
        signal.signal(signal.SIGTERM, self.end_soon)
        signal.signal(signal.SIGINT, self.end_soon)
        try:
            while not self._ending.is_set() and not self._outdated():
                for child in self._kept:
                    child.keep()
                if crashing := self._crashing():
                    logger.error("%s: this agent gives up", crashing, extra={"action": "crash"})
                    return 1
                # It set the group to 0, or this machine is too many; any other end is a failure: it is started again.
                if self._manager.last_code == 0 and not self._manager.alive():
                    break
                self._ending.wait(_TURN)
        finally:
            for child in self._kept:
                child.ask(signal.SIGTERM)
            for child in self._kept:
                child.end(_GRACE)
            self._unprotect_extra()
            self._folder.close()
        return 0

    def _unprotect_extra(self) -> None:
        """Let the group end this machine if it is too many: its decider has finished, the number was lowered before."""
        if not (self._folder.path / keeper.EXTRA).exists():
            return
        try:
            self._group().unprotect(self._machine)
        except core_errors.SimpleflowError as error:
            # It powers off all the same.
            logger.warning("the protection of %s stays: %s", self._machine, error, extra={"action": "leave"})
