"""The agent's loop: one thread, one selector; every step of it can be called by a test."""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from simpleflow.core import clock as clocks
from simpleflow.core import documents, interpreter
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import boot, config, drain, tags
from simpleflow.nodes import control as controls
from simpleflow.nodes.manager import logs
from simpleflow.process import kept, scratch

from . import channel as channels
from . import metadata_client as metadata_module
from . import orphan, report

logger = logging.getLogger(__name__)

#: longest wait of one turn of the loop, seconds
_TURN = 0.2
#: a living worker that says nothing for so many seconds hangs: it speaks at least every 5 s
_SILENT = 20.0
#: after so many times as long its tasks are not shown as running any more
_GIVEN_UP = 3
#: seconds that workers get to end after the acknowledgement
_GRACE = 5.0
#: seconds between two tries to store the document and read control.json, before the first poll
_RETRY = 1.0
_STDERR = 2
#: of lines in this machine's log that no worker wrote
_OWN_WORDS = (" simpleflow.process.kept ", " simpleflow.nodes.agent")
_LONGEST_WORDS = 500


class _Worker:
    """One (profile, task list) pair: the worker process and its channel."""

    def __init__(self, task_list: str, slots: int, child: kept.Tethered, channel: channels.Channel) -> None:
        self.task_list = task_list
        self.slots = slots
        self.child = child
        self.channel = channel
        #: deaths that were counted when the last words were read, and these
        self._told = (0, "")

    def view(self) -> drain.WorkerView:
        status = self.channel.status
        return drain.WorkerView(alive=self.child.alive(), acknowledged=status is not None and status.acknowledged)

    def list_status(self) -> documents.ListStatus:
        """Return what the worker does now. A dead worker, or one that polls another list, does nothing here."""
        status = self.channel.status
        if status is None or not self.child.alive():
            return documents.ListStatus(task_list=self.task_list, slots=self.slots)
        silent = self.channel.silent()
        return documents.ListStatus(
            task_list=self.task_list,
            slots=self.slots,
            polling=status.polling and status.task_list == self.task_list and silent < _SILENT,
            # It sends no heartbeats either: its tasks time out at the service, and it cannot answer them.
            running=status.running if silent < _GIVEN_UP * _SILENT else (),
            finished=status.finished,
        )

    def fault(self) -> str:
        """Return the worker's fault in words; '' without one."""
        if self.child.refusal:
            return self.child.refusal
        status, name = self.channel.status, self.child.name
        if self.child.alive() and status is not None:
            if status.task_list != self.task_list:
                return f"{name} polls '{status.task_list}' instead"
            if self.channel.silent() >= _SILENT:
                return f"{name} lives and has not said anything for {_SILENT:.0f} s and more"
        if not self.child.deaths:
            return ""
        often = "" if self.child.deaths == 1 else f"ended {self.child.deaths} times; the last one "
        return f"{name} {often}{self.child.outcome()}{self._words()}"

    def _words(self) -> str:
        """Return the last line of a worker that ended by itself, where this machine's log is a file (process, ssh)."""
        if self.child.deaths != self._told[0]:
            words = ""
            if (self.child.last_code or 0) > 0 and stat.S_ISREG(os.fstat(_STDERR).st_mode):
                words = logs.last_line(Path(f"/proc/self/fd/{_STDERR}"), _OWN_WORDS)[:_LONGEST_WORDS]
            self._told = (self.child.deaths, f", its last words: {words}" if words else "")
        return self._told[1]


class Agent:
    """Runs a node until it is drained. Make and run it in the main thread."""

    def __init__(
        self,
        setup: documents.NodeSetup,
        metadata: metadata_module.Metadata,
        store: blobs.BlobStore,
        environment: Mapping[str, str],
        clock: clocks.Clock,
        command: Callable[[documents.NodeSetup, str, int], Sequence[str]] | None = None,
    ) -> None:
        """``command`` gives the argument vector of a worker (default: ``worker_command``)."""
        self._setup = setup
        self._command = command or worker_command
        self._metadata = metadata
        self._store = store
        self._clock = clock
        self._times = config.from_mapping(setup.times)
        self.node = metadata.instance_id()
        attempt = metadata.tag(tags.ATTEMPT) or ""
        self.state = drain.DrainState.WORKING
        self.boot = boot.BootState.STARTING
        #: why no worker is started yet; when (monotonic) it tries again, and gives up
        self._waits = ""
        self._next_try = 0.0
        self._late = clock.monotonic() + self._times.never_polled_max
        self._generation = 0
        #: when the machine is taken away: by this machine's clock for its document and workers, and monotonic
        self._deadline: float | None = None
        self._taken_away = 0.0
        self._reason = ""
        self._health = ""
        self._next_metadata = 0.0
        self._next_look = 0.0
        self._asked_to_end = False
        self._attempt = attempt
        self._orphan = orphan.OrphanWatch(self.node, attempt, self._times)
        now = clock.now()
        self._reporter = report.Reporter(
            store,
            documents.NodeDocument(
                node=self.node,
                profile=setup.profile,
                attempt=attempt,
                state="booting",
                booted=now,
                written=now,
                version=setup.version,
            ),
            self._times,
            clock,
        )
        self._selector = selectors.DefaultSelector()
        self._sockets = scratch.Scratch()
        self._workers = [
            self._worker(task_list, slots, number, environment)
            for number, (task_list, slots) in enumerate(setup.task_lists)
        ]

    def _worker(self, task_list: str, slots: int, number: int, environment: Mapping[str, str]) -> _Worker:
        path = self._sockets.path / f"{number}.sock"
        channel = channels.Channel(path, self._selector)
        child = kept.Tethered(
            f"worker of '{task_list}'",
            self._command(self._setup, task_list, slots),
            {**environment, **self._setup.environment, **worker_environment(self.node, path)},
            self._clock.monotonic,
            directory=self._setup.directory,
        )
        return _Worker(task_list, slots, child, channel)

    def end_soon(self, *_: object) -> None:
        """Signal handler: the machine goes down; drain as after a notice."""
        self._asked_to_end = True

    def run(self) -> int:
        """Work until drained; return the exit code (0: powered off)."""
        try:
            while not self.over:
                self.turn()
                self.listen(_TURN)
            self._finish()
        finally:
            self.close()
        return 0

    @property
    def over(self) -> bool:
        """Drained; or it gave up before it began, when there is nothing to drain and nobody to be told."""
        gave_up = self.boot is boot.BootState.REFUSED and self.state is drain.DrainState.WORKING
        return gave_up or self.state is drain.DrainState.ENDED

    def listen(self, seconds: float) -> None:
        """Take in what the workers say, for at most so long."""
        for key, _ in self._selector.select(seconds):
            key.data()

    def turn(self) -> None:
        """One turn: keep the workers, look at what is due, act on it, report."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if self.state is drain.DrainState.WORKING and self.boot is not boot.BootState.ADMITTED:
            self._begin(now, monotonic)
        if self.state is drain.DrainState.WORKING and self.boot is boot.BootState.ADMITTED:
            for worker in self._workers:
                if worker.child.keep():
                    worker.channel.reset()
        if self._asked_to_end and self._deadline is None:
            self._notice(self._times.notice, "the machine goes down")
        if monotonic >= self._next_metadata:
            self._next_metadata = monotonic + self._times.metadata
            self._read_metadata()
        if self.boot is boot.BootState.ADMITTED and monotonic >= self._next_look:
            self._next_look = monotonic + self._times.look
            self._look(monotonic)
        self._observe(now)
        if self._deadline is not None and monotonic >= self._taken_away - self._times.margin:
            self._event(drain.DrainEvent.DEADLINE)
        if drain.settled(tuple(worker.view() for worker in self._workers)):
            self._event(drain.DrainEvent.SETTLED)
        if self.boot is boot.BootState.STARTING:
            return
        if self.state is not drain.DrainState.DRAINED:
            self._reporter.write_if_due(now)
        elif self._reporter.write(now):
            self._event(drain.DrainEvent.STORED)

    def _begin(self, now: float, monotonic: float) -> None:
        """Go as far towards the first poll as the store allows (boot.py)."""
        if monotonic < self._next_try:
            return
        self._next_try = monotonic + _RETRY
        if self.boot is boot.BootState.STARTING:
            self._waits = "its document cannot be stored: no worker is started"
            self._observe(now)
            if self._reporter.write(now):
                self._boot_event(boot.BootEvent.STORED)
        if self.boot is boot.BootState.ANNOUNCED:
            self._waits = "control.json cannot be read: no worker is started"
            # Not what was read before the document was stored: only a younger one can be without the mark.
            if (control := self._control()) is not None:
                self._waits = ""
                self._next_look = monotonic + self._times.look
                self._boot_event(boot.seen(control, self.node, self._attempt))
                self._judge(control, monotonic)
        if self._waits and monotonic >= self._late:
            self._reason = f"{self._waits}, for {self._times.never_polled_max:.0f} s: this machine ends itself"
            logger.error("%s", self._reason, extra={"action": "boot"})
            self._reporter.change(reason=self._reason)
            self._boot_event(boot.BootEvent.LATE)

    def _boot_event(self, event: boot.BootEvent) -> None:
        """Take one step of the boot's table."""
        following = boot.step(self.boot, event)
        logger.info("%s on %s: %s", self.boot, event, following, extra={"action": "boot"})
        self.boot = following

    def _observe(self, now: float) -> None:
        lists = tuple(worker.list_status() for worker in self._workers)
        sick = [worker.fault() for worker in self._workers if worker.fault()]
        health = "; ".join(each for each in (self._waits, self._health, *sick) if each) or "ok"
        self._reporter.update(lists, now, health=health)
        if self._reporter.document.state == "booting" and self._reporter.document.first_polled is not None:
            self._reporter.change(state="working")

    def _read_metadata(self) -> None:
        try:
            generation = self._metadata.drain_generation()
            notice = self._metadata.notice(self._times.notice)
        except core_errors.SimpleflowError as error:
            self._health = str(error)
            return
        self._health = ""
        if notice is not None and self._deadline is None:
            self._notice(notice, "the provider takes the machine away")
        self._marked(generation)

    def _marked(self, generation: int) -> None:
        if generation > self._generation:
            self._generation = generation
            self._reason = self._reason or "drain mark"
            self._event(drain.DrainEvent.MARK)

    def _notice(self, left: float, reason: str) -> None:
        """``left``: seconds until the machine is taken away."""
        self._deadline = self._clock.now() + left
        self._taken_away = self._clock.monotonic() + left
        self._reason = reason
        self._event(drain.DrainEvent.NOTICE)

    def _look(self, monotonic: float) -> None:
        """Read control.json: a drain whose mark the provider refuses; an idle machine that nobody owns ends itself."""
        if (control := self._control()) is not None:
            self._judge(control, monotonic)

    def _control(self) -> documents.Control | None:
        """control.json as it is now; None when it cannot be read."""
        try:
            got = self._store.get(documents.CONTROL_KEY)
            return documents.Control(cluster="") if got is None else controls.decoded(got[0], self._store.url)
        except core_errors.SimpleflowError as error:
            logger.warning("control.json cannot be read: %s", error, extra={"action": "look"})
            return None

    def _judge(self, control: documents.Control, monotonic: float) -> None:
        row = next((each for each in control.rows if each.instance == self.node), None)
        if row is not None and row.drain is not None:
            self._marked(row.drain)
        if any(worker.list_status().running for worker in self._workers):
            return
        verdict = self._orphan.look(control, monotonic)
        if verdict == "look_again":
            self._next_look = monotonic + self._times.lease
        elif verdict == "orphaned":
            self._reason = (
                "no manager owns this machine: no row and no open intent, or its time is up and no manager leads"
            )
            self._event(drain.DrainEvent.ORPHANED)

    def _event(self, event: drain.DrainEvent) -> None:
        """Take one step of the drain's table and do what it says."""
        following = drain.step(self.state, event)
        if following.state is self.state and not following.actions:
            return
        logger.info("%s on %s: %s", self.state, event, following.state, extra={"action": "drain"})
        self.state = following.state
        for action in following.actions:
            self._act(action)

    def _act(self, action: drain.DrainAction) -> None:
        match action:
            case drain.DrainAction.STOP_POLLING | drain.DrainAction.STOP_BY_DEADLINE:
                for worker in self._workers:
                    worker.channel.stop_polling(None if self._deadline is None else self._deadline - self._times.margin)
                self._reporter.change(
                    state="draining", generation=self._generation, deadline=self._deadline, reason=self._reason
                )
                self._reporter.write(self._clock.now())
            case drain.DrainAction.INTERRUPT:
                for worker in self._workers:
                    worker.channel.stop_polling(self._clock.now())
            case drain.DrainAction.ACKNOWLEDGE:
                self._reporter.change(state="acknowledged")
            case drain.DrainAction.POWER_OFF:
                logger.info("drained: powering off (%s)", self._reason, extra={"action": "power_off"})

    def _finish(self) -> None:
        """End the workers, all at once, and say so."""
        for worker in self._workers:
            worker.child.ask(signal.SIGTERM)
        limit = self._clock.monotonic() + _GRACE
        for worker in self._workers:
            worker.child.end(max(limit - self._clock.monotonic(), 0.1))
        self._observe(self._clock.now())
        self._reporter.change(state="ended")
        self._reporter.write(self._clock.now())

    def close(self) -> None:
        """End what still runs and remove the sockets."""
        for worker in self._workers:
            worker.child.end(0.5)
            worker.channel.close()
        self._workers = []
        self._selector.close()
        self._sockets.close()


def worker_command(setup: documents.NodeSetup, task_list: str, slots: int) -> list[str]:
    """The command of one worker: ``simpleflow worker.start`` for one task list with as many runners as slots."""
    backend = ["--endpoint-url", setup.endpoint] if setup.endpoint else ["--backend", "swf"]
    modules = ["--modules", ",".join(setup.modules)] if setup.modules else []
    return [
        *interpreter.command("simpleflow.cli.main", *backend, "worker.start"),
        *("--domain", setup.domain, "--task-list", task_list, "--nb-processes", str(slots), *modules),
    ]


def worker_environment(node: str, socket_path: Path) -> dict[str, str]:
    """Return the environment of a worker: the status channel, and the node that its identity names."""
    return {
        "SIMPLEFLOW_STATUS_SOCKET": str(socket_path),
        "SIMPLEFLOW_NODE_ID": node,
        "SIMPLEFLOW_IDENTITY": json.dumps({"node": node}),
        "PYTHONUNBUFFERED": "1",
    }
