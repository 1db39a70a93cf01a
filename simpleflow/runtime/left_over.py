"""Threads, processes, event loops, locks and listening sockets that are still there when their task is over."""

from __future__ import annotations

import _thread
import contextlib
import os
import socket
import sys
import threading
import time
from typing import Any

import psutil

from simpleflow.process import tree

#: seconds that a thread which is about to end may take
ENDING = 0.05
#: a runner in which tasks left this number of files open is not used again
MOST_OPEN = 512


class LeftOver:
    """Compares the threads and processes after a task with those before."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._count = _thread._count()
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
        if not names and self._more_threads():
            names.append("a thread without a name")
        if _children():
            names += self._processes()
        return names

    def _more_threads(self) -> bool:
        """Whether there are more threads than before, those that ``threading`` does not know included."""
        if _thread._count() <= self._count:
            return False
        deadline = time.monotonic() + ENDING
        while _thread._count() > self._count and time.monotonic() < deadline:
            time.sleep(0.001)
        return _thread._count() > self._count

    def _processes(self) -> list[str]:
        names = []
        helper = _resource_tracker()
        for process in psutil.Process().children(recursive=True):
            if process.pid in self._children or process.pid == helper:
                continue
            with contextlib.suppress(psutil.Error):
                if tree.lives(process):
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


class Files:
    """Open files, as far as they reach others: locks, and sockets that listen.

    The system gives the lowest number that is free: when that has not risen, the last task left nothing open.
    """

    def __init__(self) -> None:
        self._free = _lowest_free() or 0

    def found(self) -> list[str]:
        """Return the names of what the last task left open and others wait for, or have no room beside."""
        before, free = self._free, _lowest_free()
        if free is None or free >= MOST_OPEN:
            return ["open files"]
        self._free = free
        names = []
        for number in range(before, free):
            if _locks(number):
                names.append(f"descriptor {number}, which locks a file")
            elif _listens(number):
                names.append(f"descriptor {number}, a socket that listens")
        return names


def _lowest_free() -> int | None:
    """Return the number that the next open file gets; None: there is none."""
    try:
        number = os.open("/", os.O_PATH | os.O_CLOEXEC if hasattr(os, "O_PATH") else os.O_RDONLY)
    except OSError:
        return None
    os.close(number)
    return number


def _locks(number: int) -> bool:
    try:
        with open(f"/proc/self/fdinfo/{number}") as about:
            return "\nlock:" in about.read()
    except OSError:  # closed, or another system
        return False


def _listens(number: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(number)) as copy:
            return bool(copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:  # no socket
        return False


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
