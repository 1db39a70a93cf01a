"""The child process that executes activities, one after another: ``python -m simpleflow.runtime.runner FD``.

The main thread runs the activities; a second one reads from the worker, so that a cancellation or the worker's death
reaches an activity that does not ask for it.
"""

from __future__ import annotations

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
from simpleflow.dispatch import dynamic_dispatcher
from simpleflow.process import titles

from . import current, execute, frames, stores, values

logger = logging.getLogger(__name__)

#: least seconds between two looks at the memory that is held: one costs as much as a tenth of a small task
MEMORY_SECONDS = 1.0


class Runner:
    """Executes what the worker at the other end of the pipe sends."""

    def __init__(self, pipe: frames.Pipe) -> None:
        self._pipe = pipe
        self._tasks: queue.SimpleQueue[values.Task] = queue.SimpleQueue()
        self._busy = False
        self._cancelled = False
        self._sending = False
        self._interrupted = False
        self._grace = 3.0
        #: the task's activity
        self._name = ""
        #: activities whose timeouts the worker was told
        self._told: set[str] = set()
        #: the worker is gone
        self.orphaned = False

    def run(self) -> None:
        """Serve until the worker closes the pipe or sends SIGTERM."""
        setup = self._pipe.receive()
        assert isinstance(setup, frames.Setup)
        self._grace = setup.grace
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's business
        signal.signal(signal.SIGTERM, self._interrupt)
        executor = execute.Executor(
            dispatcher=dynamic_dispatcher.Dispatcher(setup.modules),
            payloads=stores.payloads(),
            store=stores.open_store(setup.jumbo),
            middleware=execute.Middleware(setup.pre, setup.post),
        )
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        process = psutil.Process()
        memory, looked = 0, float("-inf")
        self._pipe.send(frames.Ready())
        while True:
            task = self._tasks.get()
            answer = self._execute(executor, task)
            now = time.monotonic()
            if now - looked >= MEMORY_SECONDS:
                memory, looked = process.memory_info().rss, now
            self._pipe.send(frames.Done(answer=answer, memory=memory))

    def _execute(self, executor: execute.Executor, task: values.Task) -> values.Answer:
        self._cancelled = False
        self._name = task.name
        titles.set_title(f"simpleflow TaskRunner(task_list={task.task_list})[{task.name}]")
        try:
            self._busy = True
            with current.running(self._beat, lambda: self._cancelled):
                answer = executor.handle(task, started=self._started)
            self._busy = False
            return answer
        except execute.Interrupted:
            if not self._cancelled:
                raise
            return values.Canceled()
        finally:
            self._busy = False
            titles.set_title(f"simpleflow TaskRunner(task_list={task.task_list})[idle]")

    def _started(self, found: activity.Activity[..., Any]) -> None:
        if self._name in self._told:
            return
        self._told.add(self._name)
        self._send(
            frames.Started(
                name=self._name,
                heartbeat=execute.seconds(found.task_heartbeat_timeout),
                start_to_close=execute.seconds(found.task_start_to_close_timeout),
            )
        )

    def _beat(self, details: str | None) -> None:
        self._send(frames.Beat(details=details))

    def _send(self, frame: frames.Frame) -> None:
        """Send a whole frame: an interruption in its middle would leave the pipe unreadable, so it waits."""
        self._sending = True
        try:
            self._pipe.send(frame)
        finally:
            self._sending = False
        if self._interrupted:
            self._interrupted = False
            raise execute.Interrupted

    def _listen(self) -> None:
        try:
            while True:
                frame = self._pipe.receive()
                if isinstance(frame, frames.Run):
                    self._tasks.put(frame.task)
                elif isinstance(frame, frames.Cancel):
                    self._cancelled = True
                    os.kill(os.getpid(), signal.SIGTERM)
        except frames.Closed:
            # The worker is gone: nobody can answer for the task. It and all that it started end here; main() sees to
            # it when the task obeys, this thread when it does not.
            self.orphaned = True
            if self._busy:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(self._grace)
            os.killpg(os.getpgid(0), signal.SIGKILL)

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        if self._sending:
            self._interrupted = True
            return
        if self._busy:
            raise execute.Interrupted
        if not self._cancelled:
            raise SystemExit(0)


def main() -> None:
    titles.enabled = not settings.SIMPLEFLOW_DISABLE_SETPROCTITLE
    log.configure()
    runner = Runner(frames.Pipe(socket.socket(fileno=int(sys.argv[1]))))
    try:
        runner.run()
    except frames.Closed:
        runner.orphaned = True
    except execute.Interrupted:
        if not runner.orphaned:  # die of the signal that came, so that the worker can name it
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        if runner.orphaned:
            os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main()
