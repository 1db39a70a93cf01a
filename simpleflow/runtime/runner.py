"""The child process that executes activities, one after another: ``python -m simpleflow.runtime.runner FD``.

The main thread runs the activities; a second one reads meanwhile what the worker sends (``inlet.py``).
"""

from __future__ import annotations

import contextlib
import contextvars
import faulthandler
import io
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any

import psutil

from simpleflow import activity, log, settings
from simpleflow.core import attempt, interceptors, text
from simpleflow.dispatch import dynamic_dispatcher
from simpleflow.process import descriptors, forks, titles, tree
from simpleflow.utils import mounting

from . import (
    code_versions,
    execute,
    forked,
    frames,
    inlet,
    isolation,
    left_open,
    paces,
    stores,
    unanswered,
    values,
)

logger = logging.getLogger(__name__)

#: least seconds between two looks at the memory that is held: one costs as much as a tenth of a small task
MEMORY_SECONDS = 1.0
#: seconds that the worker may take to say which version of a module runs: a thread that a task left behind asks when
#: nobody listens
SETTLING = 10.0
#: seconds that storing a result is repeated: the work is done, and its timeouts end it earlier
STORING = 3600.0
#: seconds, beside the grace, in which the runner of a worker that is gone ends itself
ENDING = 10.0
#: the signal that tells of the worker's end: it wakes a runner that is stopped, and means nothing to one whose worker
#: lives
_PARENT_ENDED = signal.SIGCONT


class Runner:
    """Executes what the worker at the other end of the pipe sends."""

    def __init__(self, pipe: frames.Pipe, log_descriptor: int) -> None:
        self._pipe = pipe
        self._log = log_descriptor
        self._pid = os.getpid()
        self._parent = os.getppid()
        self._inlet = inlet.Inlet(pipe, take=self._take, lost=self._lost, idle=self._rest)
        #: the worker's answers to ``_settle``, which one thread asks at a time
        self._settled: queue.SimpleQueue[code_versions.Module] = queue.SimpleQueue()
        self._settling = threading.Lock()
        self._busy = False
        #: the task that runs or ran last, the one whose cancellation is requested, the one that a signal is sent for
        self._number = 0
        self._cancelled = 0
        self._signalled = 0
        #: the worker says when its activity is called; when it began
        self._held = False
        self._begun = paces.Spent.now()
        self._sending = False
        self._interrupted = False
        self._grace = 3.0
        #: the task's activity, and the title that shows it or that there is none
        self._name = ""
        self._title = ""
        self._task_list = ""
        #: activities whose timeouts the worker was told
        self._told: set[str] = set()
        self._isolation = isolation.Isolation()
        self._process = psutil.Process()
        #: bytes, and when they were counted
        self._memory = 0
        self._looked = float("-inf")
        #: the worker is gone; it has let this process go, and answers itself
        self.orphaned = self._let_go = False
        self._unanswered: unanswered.Unanswered | None = None
        #: held by the thread that ends the process; and once the task is interrupted because the worker is gone
        self._leaving, self._orphan = threading.Lock(), threading.Lock()
        self._mounted: tuple[interceptors.Interceptor, ...] = ()

    def run(self) -> None:
        """Serve until the worker closes the pipe or sends SIGTERM."""
        setup = self._pipe.receive()
        assert isinstance(setup, frames.Setup)
        self._grace = setup.grace
        noted = self._unanswered = unanswered.Unanswered(setup)
        self._importer = code_versions.Importer(setup.code, self._settle)
        self._importer.install()
        self._inlet.start()
        tree.adopt_orphans()
        tree.bear_mark()
        signal.signal(signal.SIGINT, _ignore)  # not SIG_IGN: the programs that a task starts would inherit it
        signal.signal(signal.SIGTERM, self._interrupt)
        signal.signal(_PARENT_ENDED, self._end_orphan)
        tree.signal_at_parents_end(_PARENT_ENDED)
        self._mounted = mounting.mounted()
        store = stores.open_store(setup.jumbo, patience=STORING)
        executor = execute.Executor(
            dispatcher=dynamic_dispatcher.Dispatcher(setup.modules),
            payloads=stores.payloads(),
            store=store,
            middleware=execute.Middleware(setup.pre, setup.post),
            left=lambda task: left_open.keep(store, task),
            mounted=self._mounted,
            lingers=True,  # the next task changes what is different
        )
        self._pipe.send(frames.Ready())
        while True:
            given = self._inlet.next()
            if isinstance(given, frames.Go):  # its task failed while it was prepared
                continue
            self._number = given.number
            self._importer.include(given.task.name)
            if isinstance(given, frames.Clean):
                self._pipe.send(frames.Cleaned(number=given.number, error=executor.clean_up(given.task)))
                continue
            noted.begin(given.task, given.batch, held=given.held)
            self._held = given.held
            self._begun = paces.Spent.now()
            try:
                answer = contextvars.copy_context().run(self._execute, executor, given.task)
            except execute.Withdrawn as error:
                raise frames.Closed(str(error)) from None
            seconds = self._begun.seconds(paces.Spent.now())
            noted.end(answer)
            forked.flush()
            rested = None if given.early else self._rested(given.number)
            self._pipe.send(frames.Done(number=given.number, answer=answer, seconds=seconds, rested=rested))
            if rested is None:
                self._pipe.send(self._rested(given.number))

    def _rested(self, number: int) -> frames.Rested:
        left = tuple(self._left())
        return frames.Rested(number=number, memory=self._memory, left=left)

    def _left(self) -> list[str]:
        """Return what the task leaves behind. An error here does not change the answer of the task, which is over."""
        try:
            left = self._isolation.end()
            now = time.monotonic()
            if now - self._looked >= MEMORY_SECONDS:
                self._memory, self._looked = self._process.memory_info().rss, now
            return left
        except Exception as error:
            return [f"a process that cannot be examined: {text.of_error(error)}"]

    def forked(self) -> None:
        """Called in a child that a task forked: signals do there what they do in any program."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if signal.getsignal(signal.SIGTERM) == self._interrupt:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(_PARENT_ENDED, signal.SIG_DFL)

    def _execute(self, executor: execute.Executor, task: values.Task) -> values.Answer:
        self._name = task.name
        self._task_list = task.task_list
        self._show(task.name)
        try:
            self._busy = True
            if self._cancelled == self._number:
                return values.Canceled()
            running = attempt.Attempt(self._beat, lambda: self._cancelled == self._number, token=task.token)
            with attempt.running(running, alone=True):
                answer = executor.handle(task, started=self._started, prepared=self._wait_for_go)
            self._busy = False
            return answer
        except forked.Interrupted:
            if self._cancelled != self._number:
                raise
            return values.Canceled()
        finally:
            self._busy = False

    def _show(self, what: str) -> None:
        title = f"simpleflow TaskRunner(task_list={self._task_list})[{what}]"
        if title != self._title:
            self._title = title
            titles.set_title(title)

    def _rest(self) -> None:
        if self._title:  # it has worked a task
            self._show("idle")

    def _started(self, found: activity.Activity[..., Any]) -> None:
        self._isolation.begin()
        if self._unanswered is not None:
            self._unanswered.cleanup = found.cleanup is not None
        if self._name in self._told:
            return
        self._told.add(self._name)
        self._send(
            frames.Started(
                number=self._number,
                name=self._name,
                heartbeat=execute.seconds(found.task_heartbeat_timeout),
                start_to_close=execute.seconds(found.task_start_to_close_timeout),
                schedule_to_close=execute.seconds(found.task_schedule_to_close_timeout),
                cleanup=found.cleanup is not None,
                survives_close=found.survives_close,
            )
        )

    def _wait_for_go(self) -> None:
        """Wait until the worker says that the task is its own. Raises ``execute.Withdrawn`` when it goes away."""
        if not self._held:
            return
        try:
            given = self._inlet.next()
        except frames.Closed as error:
            raise execute.Withdrawn(str(error)) from None
        assert isinstance(given, frames.Go)
        if self._unanswered is not None:
            self._unanswered.go(given.batch)
        self._held = False
        self._begun = paces.Spent.now()

    def _beat(self, details: str | None) -> None:
        if os.getpid() == self._pid:  # a forked child's progress is not its parent's
            if self._unanswered is not None:
                self._unanswered.progress(details)
            self._send(frames.Beat(number=self._number, details=details))

    def _settle(self, module: code_versions.Module) -> code_versions.Module:
        """Ask the worker which version of a module to run. Without an answer the module runs as it was found."""
        if os.getpid() != self._pid:
            return module
        deadline = time.monotonic() + SETTLING
        with self._settling:
            self._send(frames.Imports(module=module))
            self._inlet.hurry()
            while True:
                try:
                    told = self._settled.get(timeout=max(0.0, deadline - time.monotonic()))
                except queue.Empty:
                    return module
                if told.name == module.name:  # else the answer to a question that was interrupted
                    return told

    def _send(self, frame: frames.Frame) -> None:
        """Send a whole frame: an interruption in its middle would leave the pipe unreadable, so it waits."""
        sent = contextlib.suppress(frames.Closed)  # the task does not see that; it ends soon
        if threading.current_thread() is not threading.main_thread():  # signals interrupt the main thread alone
            with sent:
                self._pipe.send(frame)
            return
        self._sending = True
        try:
            with sent:
                self._pipe.send(frame)
        finally:
            self._sending = False
        if self._interrupted:
            self._interrupted = False
            raise forked.Interrupted

    def _take(self, frame: frames.Frame | None) -> inlet.Given | None:
        """Handle a frame, on the thread that read it; return the frame if the main thread must work it."""
        match frame:
            case frames.Run(code=code):
                self._importer.keep(code)
                return frame
            case frames.Go() | frames.Clean():
                return frame
            case frames.Import(module=module):
                self._settled.put(module)
            case frames.Forget(token=token) if self._unanswered is not None:
                self._unanswered.forget(token)
            case frames.Leave():
                self._let_go = True
            case frames.Cancel(number=number) if threading.current_thread() is not threading.main_thread():
                self._cancelled = self._signalled = number
                self._interrupt_task()
        return None

    def _interrupt_task(self) -> None:
        """Signal the main thread: what another thread gets does not wake it from a system call."""
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _lost(self, error: frames.Closed) -> None:
        if isinstance(error, frames.Disconnected):
            # The task closed the descriptor. Its answer will find that out; the worker's death shows otherwise.
            while os.getppid() == self._parent:
                time.sleep(1.0)
        # The worker is gone. The task and all that it started end here: main() sees to it when the task obeys, this
        # thread when it does not.
        self.orphaned = True
        self._end_in_time()
        if self._busy:
            if self._orphan.acquire(blocking=False):
                self._interrupt_task()
            time.sleep(self._grace)
        else:
            self.tell_end()
        self.leave()

    def leave(self) -> None:
        """End all that the tasks started, tell the service what the worker cannot tell any more, and end."""
        if not self._leaving.acquire(blocking=False):
            threading.Event().wait()  # for the end, which another thread brings
        try:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, _ignore)
            if self._unanswered is not None and not self._let_go:
                self._unanswered.tell(self._log)
        finally:
            tree.end_own()

    def tell_end(self) -> None:
        """Let interceptors write out what they hold."""
        for interceptor in reversed(self._mounted):
            with contextlib.suppress(Exception):
                interceptor.stopping()

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        if self._signalled:
            number, self._signalled = self._signalled, 0
            if number != self._number or not self._busy:
                return  # the task that was to be cancelled is over
        if self._sending:
            self._interrupted = True
            return
        if self._busy:
            raise forked.Interrupted
        raise SystemExit(0)

    def _end_orphan(self, signum: int, frame: FrameType | None) -> None:
        """The worker may be gone. The second thread sees that, unless the task keeps Python from changing threads."""
        if os.getppid() == self._parent or not self._busy:
            return
        self._end_in_time()
        if self._sending or time.perf_counter() - self._begun.wall < inlet.TICK:  # it may be about to end
            signal.signal(signal.SIGALRM, self._end_orphan)
            signal.setitimer(signal.ITIMER_REAL, inlet.TICK)
        elif self._orphan.acquire(blocking=False):
            self.orphaned = True
            raise forked.Interrupted

    def _end_in_time(self) -> None:
        """End the process also when its task keeps the other threads from running: this needs no Python."""
        with contextlib.suppress(Exception):  # Without memory no thread starts.
            faulthandler.dump_traceback_later(self._grace + ENDING, exit=True, file=self._log)


def _ignore(signum: int, frame: FrameType | None) -> None:
    """Do nothing: the worker handles Ctrl-C."""


def _part_streams() -> int:
    """Send the log to stderr as it was inherited, and all that tasks write to the pipe on stdout.

    Return the log's descriptor.
    """
    shown, number = sys.stderr, 1
    if shown is not None:
        number = descriptors.keep_apart(os.dup(shown.fileno()))
        sys.stderr = open(number, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115 - open to the end
    log.configure()
    os.dup2(1, 2)
    sys.stderr = shown if shown is not None else open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    return number


def main() -> None:
    titles.enabled = not settings.SIMPLEFLOW_DISABLE_SETPROCTITLE
    log_descriptor = _part_streams()
    connection = socket.socket(fileno=descriptors.keep_apart(int(sys.argv[1])))
    runner = Runner(frames.Pipe(connection), log_descriptor)
    forks.drop_in_child(runner)
    os.register_at_fork(before=forked.flush)
    try:
        runner.run()
    except frames.Disconnected:
        os._exit(frames.EXIT_DISCONNECTED)
    except frames.Closed:
        runner.orphaned = True
        runner.tell_end()
    except forked.Interrupted:
        if not runner.orphaned:  # die of the signal that came, so that the worker can name it
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        if runner.orphaned:
            runner.leave()


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    main()
