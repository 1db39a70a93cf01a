"""Threads, processes and event loops that still run when their task is over."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Any

import psutil

#: seconds that a thread which is about to end may take
ENDING = 0.05


class LeftOver:
    """Compares the threads and processes after a task with those before."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._children = (
            {process.pid for process in psutil.Process().children(recursive=True)} if _children() else set()
        )

    def found(self) -> list[str]:
        """Return the names of what is there now and was not before; child processes that have ended are reaped."""
        names = []
        if threading.active_count() > len(self._threads):
            for thread in set(threading.enumerate()) - self._threads:
                thread.join(ENDING)
                if thread.is_alive():
                    names.append(f"thread {thread.name}")
        if _children():
            names += self._processes()
        return names

    def _processes(self) -> list[str]:
        names = []
        helper = _resource_tracker()
        for process in psutil.Process().children(recursive=True):
            if process.pid in self._children or process.pid == helper:
                continue
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    names.append(f"process {process.pid} ({process.name()})")
                    continue
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)
        return names


def _children() -> bool:
    """Whether this process has child processes, dead ones included: one system call."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _resource_tracker() -> int | None:
    """The helper of multiprocessing that removes what processes forget; it changes nothing for anybody."""
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    pid: int | None = getattr(tracker, "_pid", None)
    return pid


def loops() -> list[str]:
    """Return whether an event loop was left as this thread's current one, which the next task would get."""
    events: Any = sys.modules["asyncio.events"]
    policy = getattr(events, "_event_loop_policy", None)
    loop = getattr(getattr(policy, "_local", None), "_loop", None)
    running = events._get_running_loop()
    return ["an event loop"] if loop is not None or running is not None else []
