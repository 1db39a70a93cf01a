"""One worker: as many slots as tasks may run at a time, one of which polls the task list while it is free."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time as real_time
import uuid
from collections.abc import Callable, Sequence

from simpleflow.core import clock, documents, interceptors, retries
from simpleflow.process import NamedMixin, Stop, tell_status
from simpleflow.swf import errors
from simpleflow.swf.transport import base

from . import code_versions, employer, frames, paces, pollers, rates, retrying, slots, spare

logger = logging.getLogger(__name__)

#: a task that comes within so many seconds after the answer before it had waited: tasks come with answers from then on
NEAR = 0.0005
#: activity types of which the status channel tells how many tasks were completed
_MOST_TYPES = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a worker."""

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
    #: recycle a runner after this number of tasks, or when it holds this number of MiB after a task
    max_tasks: int = 10_000
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
        self._name = uuid.uuid4().hex
        self._slots = [slots.Slot(self, number) for number in range(options.processes)]
        request = {
            "domain": options.domain,
            "taskList": {"name": options.task_list},
            "identity": options.identity,
        }
        self._poll_json = json.dumps(request)
        #: names of the polls that are open
        self._open: set[str] = set()
        #: what polls, and what goes with the answer of a slot that works alone
        self._poller, self._second = (
            pollers.Poller(transport, "PollForActivityTask", request, retrying.PollNames(self._name), names=self._open)
            for _ in range(2)
        )
        self._versions = code_versions.Versions()
        self._rate = None if options.rate is None else rates.Rate(options.rate, now=self._time.monotonic)
        self._paces = paces.Paces()
        self._spare: spare.Spare[employer.Taker, employer.Given] = spare.Spare()
        #: it drained because code changed on disk
        self.outdated = False
        self._no_polls = threading.Event()
        #: held by the slot that polls: what the poll brings needs no other thread to be woken
        self._turn = threading.Lock()
        #: held by the slot whose answer carries a poll
        self._beside = threading.Lock()
        #: the last answer that asked for the next task got none: its poll costs less when it goes with the answer
        self.alone = False
        #: a poll is open, or may be opened, or brought a task that does not show yet: by turns, and with an answer
        self._taking = self._carried = False
        self._taken = threading.Event()
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
    def spare(self) -> spare.Spare[employer.Taker, employer.Given]:
        return self._spare

    @property
    def stop(self) -> Stop:
        return self._stop

    @property
    def name(self) -> str:
        return self._name

    def following(self, claim: str) -> base.Following | None:
        if not self._wants:
            return None
        quick = self._paces.quick
        return base.Following(self._poll_json, claim, most=paces.MOST if quick else 1, quick=quick)

    @property
    def _wants(self) -> bool:
        """Whether an answer may bring the next task."""
        held = self._options.one_task or self._rate is not None
        return not (held or self._no_polls.is_set() or self._stop.draining)

    def joined(self, slot: employer.Taker) -> pollers.Poller | None:
        """Return the poller that a slot may send its answer with; ``collect`` comes then. None while there is none."""
        if not (self.alone and self._second.joins and self._beside.acquire(blocking=False)):
            return None
        self._second.series = slot.names
        self._carried = True
        if self._wants:  # Asked last: whoever ends the polls looks for one that is carried after that.
            return self._second
        self._carried = False
        self._beside.release()
        self._taken.set()
        return None

    def collect(self, slot: employer.Taker) -> employer.Given | None:
        """Wait for the poll that went with a slot's answer; return its task, None without one."""
        poller, given = self._second, None
        try:
            answer, acknowledged = None, poller.since
            while answer is None and (poller.open or (poller.doubtful and not self._no_polls.is_set())):
                opened = self._time.monotonic()
                answer = self._poll(poller, slot)
            if answer is not None:
                self.alone = real_time.monotonic() - acknowledged > NEAR
                given = slot.show(answer, opened)
        finally:
            self._carried = False
            self._beside.release()
            self._taken.set()
        self._look_for_end()
        return given

    def take(self, slot: employer.Taker) -> employer.Given | None:
        """Return the next task of the list once it is this slot's turn; None when no poll is opened any more."""
        with self._turn:
            if self._no_polls.is_set():
                return None
            self._taking = True
            self._poller.series = slot.names
            try:
                answer = None
                while answer is None and not self._no_polls.is_set():
                    if self._rate is not None and (rest := self._rate.wait()):
                        self._no_polls.wait(rest)
                        continue
                    opened = self._time.monotonic()
                    answer = self._poll(self._poller, slot)
                if answer is not None and self._rate is not None:
                    self._rate.take()
                given = None if answer is None else slot.show(answer, opened)
                if given is not None and self._options.one_task:
                    self._no_polls.set()
            finally:
                self._taking = False
                self._taken.set()
        self._look_for_end()
        return given

    def _look_for_end(self) -> None:
        self.changed.set()
        if self._no_polls.is_set():
            self._stop.wake()

    # -- what the agent needs

    @property
    def acknowledged(self) -> bool:
        """True once no poll is open, none will be opened, and no task runs. Thread safe."""
        return self._no_polls.is_set() and not (self._taking or self._carried) and not self.running

    @property
    def polling(self) -> bool:
        """True while a poll is open. Thread safe."""
        return bool(self._open)

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
        self._stop.wake()
        try:
            threading.Thread(target=self._revoke, name="revoke", daemon=True).start()
        except RuntimeError as error:  # no thread to be had
            logger.warning("The open poll is not ended at once (%s): it ends by itself.", error)
        self.changed.set()

    def _revoke(self) -> None:
        # The request may reach the service before the poll does, or its answer be lost: repeat it.
        while self._taking or self._carried:
            self._taken.clear()
            for taken, poller in ((self._taking, self._poller), (self._carried, self._second)):
                try:
                    if taken:
                        self._transport.revoke(poller.name)
                except errors.SwfError as error:
                    logger.debug("Revoking the open poll failed: %s", error)
            if self._taking or self._carried:
                self._taken.wait(0.2)
        self.changed.set()

    def interrupt(self) -> None:
        """End the running tasks, as failed because of the machine. Thread safe."""
        for slot in self._slots:
            slot.interrupt()

    def status_text(self) -> str:
        """Say in one line what this worker does. Thread safe."""
        now = self._time.now()
        tasks = [f"{shown.id} for {max(0.0, now - shown.started):.0f} s" for shown in self.running]
        what = "draining" if self._stop.draining else "polling" if self.polling else "not polling"
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
        try:
            while not self._stop.draining and (linger or self._taking or self._carried or not self._no_polls.is_set()):
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
        while self._taking or self._carried or any(slot.shown is not None for slot in self._slots):
            if limit is not None and not self._stop.hurried and real_time.monotonic() - begun > limit:
                logger.warning("Tasks run %g s after the drain began: they are ended (--drain-timeout).", limit)
                self._stop.request(Stop.HURRY)
            if self._stop.hurried and not hurried:
                hurried = True
                self.interrupt()
            self._stop.wait(0.05)

    def work(self, answer: object) -> None:
        """Run the task of one answer of PollForActivityTask that another process got, then return."""
        slot = self._slots[0]
        self._no_polls.set()
        slot.give(answer, float("-inf"))
        slot.start()
        while slot.shown is not None:
            if self._stop.wait(0.05) == Stop.HURRY:
                slot.interrupt()
        slot.close()

    def _poll(self, poller: pollers.Poller, slot: employer.Taker) -> object | None:
        pace = poller.pace
        self.state = "polling"
        self.changed.set()
        pace.opened()
        try:
            answer = poller.poll(ahead=slot.prepare)
        except Exception as error:  # whatever it is, a poller that ends would leave the worker alive and idle
            self._no_polls.wait(pace.failed(error))
            return None
        rest = pace.answered(empty=not answer.task_token)
        if rest:
            self._no_polls.wait(rest)
        return answer if answer.task_token else None
