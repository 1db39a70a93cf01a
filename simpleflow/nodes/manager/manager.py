"""The manager's process: it runs passes of the reconciler, and deciders as child processes where no group exists."""

from __future__ import annotations

import functools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from simpleflow.core import clock as clocks
from simpleflow.core import interpreter
from simpleflow.data import files
from simpleflow.nodes import config, control, errors
from simpleflow.nodes.policy import decider_count
from simpleflow.process import kept

from . import logs, observe, reconcile

logger = logging.getLogger(__name__)

#: seconds for which a decider that was started again must live before its end is forgotten
_STEADY = 5.0
#: seconds that deciders get to end
_GRACE = 10.0
#: seconds between two looks at the files whose change begins a pass early
_LOOK = 0.1


class Keeper(Protocol):
    """Keeps deciders: as child processes here, or in a group of machines (ec2)."""

    def keep(self, pending: int, open_runs: bool) -> None:
        """Start and end deciders; called after each pass of the lease holder."""

    def follow(self) -> None:
        """Another manager holds the lease and keeps the deciders; called after each pass of one that does not."""

    def end(self, patience: float) -> None:
        """End all deciders."""


class Deciders:
    """Keeps ``min`` to ``max`` decider child processes; with ``min`` 0 the first starts when decision tasks wait."""

    def __init__(
        self,
        cluster: config.ClusterConfig,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: str,
        logs: Path,
        clock: clocks.Clock,
    ) -> None:
        self._count = decider_count.DeciderCount(cluster, clock)
        self._clock = clock
        files.folder(logs)
        self._command = command
        self._environment = environment
        self._directory = directory
        self._log = logs / "deciders.log"
        self._kept = [self._child(number) for number in range(1, cluster.deciders.max + 1)]
        self._wanted = 0

    def _child(self, number: int) -> kept.Tethered:
        return kept.Tethered(
            f"decider {number}",
            self._command,
            self._environment,
            self._clock.monotonic,
            directory=self._directory,
            log=functools.partial(files.log, self._log),
            words=str(self._log),
        )

    def change(self, cluster: config.ClusterConfig) -> None:
        """Take the numbers of another file, which needs the same command of deciders."""
        self._count.change(cluster)
        limit = cluster.deciders.max
        for child in self._kept[limit:]:
            child.ask(signal.SIGTERM)
        for child in self._kept[limit:]:
            child.end(_GRACE)
        self._kept = self._kept[:limit]
        self._kept += [self._child(number) for number in range(len(self._kept) + 1, limit + 1)]

    def keep(self, pending: int, open_runs: bool) -> None:
        """Start the deciders that are missing, and drain those that are too many."""
        self._wanted = self._count.wanted(pending, open_runs)
        for number, child in enumerate(self._kept):
            if number < self._wanted:
                child.keep()
            elif child.alive():
                child.ask(signal.SIGTERM)

    def follow(self) -> None:
        """End them: only one process sets their number."""
        self.end(_GRACE)

    def trouble(self) -> str:
        """Say why a decider that should live does not, with its last words; '' when all live."""
        for child in self._kept[: self._wanted]:
            down = not child.alive() and (child.refusal or child.last_code)
            if down or child.trying(_STEADY):
                why = f"cannot be started: {child.refusal}" if child.refusal else child.outcome()
                return f"{child.name} {why}; its last words: {logs.last_words(self._log)}"
        return ""

    def pids(self) -> tuple[int, ...]:
        """Return the process ids of the living deciders."""
        return tuple(child.pid for child in self._kept if child.alive() and child.pid is not None)

    def end(self, patience: float) -> None:
        """End all deciders at the same time."""
        for child in self._kept:
            child.ask(signal.SIGTERM)
        limit = self._clock.monotonic() + patience
        for child in self._kept:
            child.end(max(limit - self._clock.monotonic(), 0.1))
        self._wanted = 0


class Parts(NamedTuple):
    """The parts of a manager; they are made anew when `up` publishes another file."""

    reconciler: reconcile.Reconciler
    deciders: Keeper | None


class Manager:
    """Runs passes until the cluster is down. Make and run it in the main thread."""

    def __init__(
        self,
        reconciler: reconcile.Reconciler,
        coordinator: observe.Coordinator,
        deciders: Keeper | None,
        ending_file: Path | None = None,
        resume_file: Path | None = None,
        wakers: Sequence[Path] = (),
        renewed: Callable[[], Parts | None] = lambda: None,
    ) -> None:
        """``wakers``: files and folders of this machine whose change begins a pass at once (deciders' documents).

        ``renewed`` is asked before each pass for the parts by a newly published file.
        """
        self._renewed = renewed
        #: why the published file was not taken up, as it was logged last
        self._unread = ""
        self._wakers = (*wakers, *(() if ending_file is None else (ending_file,)))
        self._ending_file = ending_file
        self._resume_file = resume_file
        self._stopping = False
        self._reconciler = reconciler
        self._coordinator = coordinator
        self._deciders = deciders
        self._wake = threading.Event()

    def stop(self, *_: object) -> None:
        """Signal handler: end this manager. Nodes stay for the next manager, which takes the lease."""
        self._stopping = True
        self._wake.set()

    def run(self) -> int:
        """Work until ``stop``, or until a cluster that goes down has ended. Returns the exit code: 0."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        try:
            while not self._stopping and not self._finished():
                before = self._changes()
                # Before the published file is read: `up` writes that first, so a pass that resumes works by it.
                asked = self._asked_to_resume()
                self._renew()
                reconciler = self._reconciler
                self._read_ending()
                reconciler.resume = asked is not None
                reconciler.run_pass()
                # What `up` has written since the look is for the next pass.
                if asked is not None and not reconciler.resume and self._asked_to_resume() == asked:
                    assert self._resume_file is not None
                    self._resume_file.unlink(missing_ok=True)
                if self._deciders is not None:
                    if reconciler.leading:
                        self._keep_deciders()
                    else:
                        self._deciders.follow()
                if not self._finished():
                    self._rest(before)
        finally:
            if self._deciders is not None:
                self._deciders.end(1.0 if self._reconciler.hurry else _GRACE)
            self._release()
        return 0

    def _asked_to_resume(self) -> int | None:
        """Return when `up` asked that boot failures be forgotten; None when it did not."""
        try:
            return None if self._resume_file is None else self._resume_file.stat().st_mtime_ns
        except OSError:
            return None

    def _renew(self) -> None:
        """Take up a newly published file. When it cannot be used, this manager goes on with the file that it has."""
        try:
            parts = self._renewed()
        except reconcile.LATER as error:
            if str(error) != self._unread:
                logger.warning("the published cluster file is not taken up: %s", error, extra={"action": "renew"})
            self._unread = str(error)
            return
        self._unread = ""
        if parts is None:
            return
        logger.info("the cluster file or the code that `up` published has changed", extra={"action": "renew"})
        if self._deciders is not None and self._deciders is not parts.deciders:
            # They answer their present tasks; deciders of the new file take the next ones.
            self._deciders.end(_GRACE)
        parts.reconciler.leading = self._reconciler.leading
        self._reconciler, self._deciders = parts

    def _rest(self, before: tuple[int, ...]) -> None:
        """Wait until the next pass is due, or a file changed since ``before``."""
        limit = time.monotonic() + self._reconciler.times.loop
        while not self._wake.is_set() and (left := limit - time.monotonic()) > 0:
            self._wake.wait(min(left, _LOOK))
            if self._changes() != before:
                return

    def _changes(self) -> tuple[int, ...]:
        """Return when each file of ``wakers`` changed last; 0 for a missing one."""
        found = []
        for each in self._wakers:
            try:
                found.append(each.stat().st_mtime_ns)
            except OSError:
                found.append(0)
        return tuple(found)

    def _read_ending(self) -> None:
        """Read the file by which the supervisor tells that the cluster goes down; it outlives this process."""
        if self._ending_file is None:
            return
        try:
            content = self._ending_file.read_text()
        except FileNotFoundError:
            return
        except OSError as error:
            logger.warning("%s cannot be read: %s", self._ending_file, error, extra={"action": "down"})
            return
        self._reconciler.ending = True
        self._reconciler.hurry = content == "hurry"

    def _keep_deciders(self) -> None:
        assert self._deciders is not None
        if self._reconciler.ending:
            self._deciders.end(1.0 if self._reconciler.hurry else _GRACE)
            return
        try:
            pending = self._coordinator.pending_decisions(self._reconciler.cluster.decision_task_list)
        except reconcile.LATER as error:
            logger.warning("decision tasks cannot be counted: %s", error, extra={"action": "deciders"})
            pending = 0
        observer = self._reconciler.observer
        self._deciders.keep(pending, bool(observer.rows) or observer.open_runs > 0)
        if isinstance(self._deciders, Deciders):
            trouble = self._deciders.trouble()
            self._reconciler.outside = {"deciders": trouble} if trouble else {}

    def _finished(self) -> bool:
        """Return whether a cluster that goes down has ended: control.json has neither rows nor intents."""
        reconciler = self._reconciler
        if not reconciler.ending:
            return False
        try:
            document = reconciler.file.known
        except errors.ControlLost:
            return False
        return reconciler.leading and not document.rows and not document.intents

    def _release(self) -> None:
        file = self._reconciler.file
        try:
            if not control.holds(file.known, file.holder):
                return
            file.replace(control.release(file.known))
        except errors.ControlLost as error:
            logger.warning("the lease was not released: %s", error, extra={"action": "release"})


def decider_command(cluster: config.ClusterConfig, endpoint: str) -> list[str]:
    """Return the command of one decider process group: ``simpleflow decider.start``."""
    backend = ["--endpoint-url", endpoint] if endpoint else ["--backend", "swf"]
    return [
        *interpreter.command("simpleflow.cli.main", *backend, "decider.start"),
        *("--domain", cluster.swf_domain, "--task-list", cluster.decision_task_list),
        *("--nb-processes", str(cluster.deciders.processes)),
        *(("--modules", ",".join(cluster.code.modules)) if cluster.code.modules else ()),
        *cluster.deciders.workflows,
    ]


def holder_name() -> str:
    """Return the name of this manager in the lease: the id of its machine where it has one, and its process id."""
    return f"{os.environ.get('SIMPLEFLOW_NODE_ID') or os.uname().nodename}-{os.getpid()}"
