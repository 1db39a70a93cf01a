"""One worker: a poller for one task list, and as many slots as tasks may run at a time."""

from __future__ import annotations

import dataclasses
import json
import logging
import queue
import threading
import time as real_time
import uuid
from collections.abc import Callable, Sequence

from simpleflow.core import clock, documents, interceptors, retries
from simpleflow.process import NamedMixin, Stop, tell_status
from simpleflow.swf import errors
from simpleflow.swf.transport import base

from . import code_versions, frames, paces, rates, retrying, slots

logger = logging.getLogger(__name__)

#: activity types of which the status channel tells how many tasks were completed
_MOST_TYPES = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a worker is told at its start."""

    domain: str
    task_list: str
    identity: str
    #: tasks at a time: task runners
    processes: int = 1
    #: longest seconds between two heartbeats of a task
    heartbeat: float = 60.0
    #: end after one task
    one_task: bool = False
    #: drain as soon as code that runs here changed on disk
    reload: bool = False
    #: recycle a runner after so many tasks, or when it holds so many MiB after one
    max_tasks: int = 1000
    max_mib: int = 1024
    #: end a task whose processes hold more MiB together; None: no limit
    task_mib: int | None = None
    #: seconds between the starts of two runners
    stagger: float = 0.05
    #: seconds that a drain waits for tasks that run, before it ends them; None: until they end
    drain: float | None = None
    #: tasks per second that this worker begins at most; None: as many as it can
    rate: float | None = None
    setup: frames.Setup = dataclasses.field(default_factory=frames.Setup)


class Worker(NamedMixin):
    """Polls one task list while a runner is free, and answers for each task that it got.

    ``run`` blocks until ``stop`` says so and the tasks are answered. A network error or a restarted service never
    ends it. Thread safe where it says so.
    """

    named_mixin_title = "ActivityPoller"
    named_mixin_properties = ("task_list",)

    def __init__(
        self,
        transport: base.Transport,
        options: Options,
        *,
        stop: Stop | None = None,
        time: clock.Clock | None = None,
        mounted: Sequence[interceptors.SlotInterceptor] = (),
    ) -> None:
        self._mounted = tuple(mounted)
        self.task_list = options.task_list
        self._transport = transport
        self._options = options
        self._stop = stop or Stop()
        self._time = time or clock.SleepClock()
        self._free: queue.SimpleQueue[slots.Slot | None] = queue.SimpleQueue()
        self._slots = [slots.Slot(self, number) for number in range(options.processes)]
        self._poll_id = f"{uuid.uuid4().hex}-worker"
        self._request = {
            "domain": options.domain,
            "taskList": {"name": options.task_list},
            "identity": options.identity,
        }
        self._poll_json = json.dumps(self._request)
        self._versions = code_versions.Versions()
        self._rate = None if options.rate is None else rates.Rate(options.rate, now=self._time.monotonic)
        self._paces = paces.Paces()
        #: it drained because code changed on disk
        self.outdated = False
        self._polling = False
        self._no_polls = threading.Event()
        self._poller = threading.Thread(target=self._poll_loop, name="poller", daemon=True)
        #: called on every change of what ``status`` says
        self.changed = threading.Event()

    # -- what slots need

    @property
    def transport(self) -> base.Transport:
        return self._transport

    @property
    def options(self) -> Options:
        return self._options

    @property
    def mounted(self) -> tuple[interceptors.SlotInterceptor, ...]:
        return self._mounted

    @property
    def time(self) -> clock.Clock:
        return self._time

    @property
    def versions(self) -> code_versions.Versions:
        return self._versions

    @property
    def paces(self) -> paces.Paces:
        return self._paces

    @property
    def stop(self) -> Stop:
        return self._stop

    @property
    def following(self) -> base.Following | None:
        if self._options.one_task or self._rate is not None or self._no_polls.is_set() or self._stop.draining:
            return None
        quick = self._paces.quick
        return base.Following(self._poll_json, uuid.uuid4().hex, most=paces.MOST if quick else 1, quick=quick)

    def offer(self, slot: slots.Slot) -> None:
        """A slot has a runner that waits for a task. Thread safe."""
        self._free.put(slot)

    # -- what the agent needs

    @property
    def acknowledged(self) -> bool:
        """True once no poll is open, none will be opened, and no task runs. Thread safe."""
        return self._no_polls.is_set() and not self._poller.is_alive() and not self.running

    @property
    def polling(self) -> bool:
        """True while a poll is open. Thread safe."""
        return self._polling

    @property
    def running(self) -> tuple[documents.RunningTask, ...]:
        """The tasks that run now. Thread safe."""
        return tuple(shown for slot in self._slots if (shown := slot.shown) is not None)

    @property
    def finished(self) -> tuple[documents.Finished, ...]:
        """Tasks completed so far, by type: those types of which there were most. Thread safe."""
        found: dict[str, documents.Finished] = {}
        for slot in self._slots:
            for name, each in slot.finished.items():
                known = found.get(name)
                found[name] = (
                    each
                    if known is None
                    else documents.Finished(
                        activity=name,
                        count=known.count + each.count,
                        seconds=known.seconds + each.seconds,
                        longest=max(known.longest, each.longest),
                    )
                )
        return tuple(sorted(found.values(), key=lambda each: (-each.count, each.activity))[:_MOST_TYPES])

    def stop_polling(self) -> None:
        """Open no further poll, and end the open one: with the task that it may bring. Thread safe."""
        if self._no_polls.is_set():
            return
        self._no_polls.set()
        self._free.put(None)
        try:
            threading.Thread(target=self._revoke, name="revoke", daemon=True).start()
        except RuntimeError as error:  # no thread to be had
            logger.warning("The open poll is not ended at once (%s): it ends by itself.", error)
        self.changed.set()

    def _revoke(self) -> None:
        # The request may reach the service before the poll does, or its answer be lost: repeat it.
        while self._poller.is_alive():
            try:
                self._transport.revoke(self._poll_id)
            except errors.SwfError as error:
                logger.debug("Revoking the open poll failed: %s", error)
            self._poller.join(0.2)
        self.changed.set()

    def interrupt(self) -> None:
        """End the running tasks, as failed because of the machine. Thread safe."""
        for slot in self._slots:
            slot.interrupt()

    def status_text(self) -> str:
        """Say in one line what this worker does. Thread safe."""
        now = self._time.now()
        tasks = [f"{shown.id} for {max(0.0, now - shown.started):.0f} s" for shown in self.running]
        what = "draining" if self._stop.draining else "polling" if self._polling else "not polling"
        return f"worker of {self.task_list}, {what}, {len(tasks)} of {len(self._slots)} slots busy" + "".join(
            f"; {task}" for task in tasks
        )

    # -- running

    def run(self, *, linger: bool = False) -> None:
        """Work until stopped. ``linger``: stay idle after polling was stopped, until SIGTERM (an agent decides)."""
        self.set_process_name()
        tell_status(self.status_text)
        for number, slot in enumerate(self._slots):
            if number and self._stop.level == Stop.RUN and not self._no_polls.is_set():
                real_time.sleep(self._options.stagger)
            self._insist_on(slot.start)
        self._insist_on(self._poller.start)
        try:
            while not self._stop.draining and (linger or self._poller.is_alive()):
                self._stop.wait(None if linger and not self._options.reload else 1.0)
                if self._options.reload and (files := self._versions.changed()):
                    logger.warning("%s changed: the worker drains and starts anew.", ", ".join(files))
                    self.outdated = True
                    self._stop.request(Stop.DRAIN)
            self._finish()
        finally:
            for slot in self._slots:
                slot.close()

    def _insist_on(self, start: Callable[[], None]) -> None:
        """Start a thread; while the system has none to give the worker waits, and what runs goes on."""
        backoff = retries.Backoff()
        while True:
            try:
                return start()
            except RuntimeError as error:
                if self._stop.draining:
                    return None
                delay = backoff.next()
                logger.error("A thread does not start (%s); next attempt after %.1f s.", error, delay)
                real_time.sleep(delay)

    def _finish(self) -> None:
        self.stop_polling()
        hurried, limit, begun = False, self._options.drain, real_time.monotonic()
        while self._poller.is_alive() or any(slot.shown is not None for slot in self._slots):
            if limit is not None and not self._stop.hurried and real_time.monotonic() - begun > limit:
                logger.warning("Tasks run %g s after the drain began: they are ended (--drain-timeout).", limit)
                self._stop.request(Stop.HURRY)
            if self._stop.hurried and not hurried:
                hurried = True
                self.interrupt()
            self._stop.wait(0.05)

    def work(self, answer: object) -> None:
        """Work one answer of PollForActivityTask that somebody else got, then return."""
        slot = self._slots[0]
        self._no_polls.set()
        slot.start()
        waiting = self._free.get()
        assert waiting is slot
        slot.give(answer, float("-inf"))
        while slot.shown is not None:
            if self._stop.wait(0.05) == Stop.HURRY:
                slot.interrupt()
        slot.close()

    def _poll_loop(self) -> None:
        pace = retrying.PollPace(self._options.task_list)
        while not self._no_polls.is_set():
            slot = self._free.get()
            if slot is None:
                break
            answer = None
            while answer is None and not self._no_polls.is_set():
                if self._rate is not None and (rest := self._rate.wait()):
                    self._no_polls.wait(rest)
                    continue
                opened = self._time.monotonic()
                answer = self._poll(pace)
            if answer is None:
                break
            if self._rate is not None:
                self._rate.take()
            slot.give(answer, opened)
            self.changed.set()
            if self._options.one_task:
                self._no_polls.set()
                self._stop.wake()
        self._polling = False
        self._stop.wake()

    def _poll(self, pace: retrying.PollPace) -> object | None:
        self._polling = True
        self.state = "polling"
        self.changed.set()
        pace.opened()
        try:
            answer = self._transport.call("PollForActivityTask", self._request, poll_id=self._poll_id)
        except Exception as error:  # whatever it is, a poller that ends would leave the worker alive and idle
            self._no_polls.wait(pace.failed(error))
            return None
        finally:
            self._polling = False
        rest = pace.answered(empty=not answer.task_token)
        if rest:
            self._no_polls.wait(rest)
        return answer if answer.task_token else None
