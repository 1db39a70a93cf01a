"""Find and end a process with everything that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil


def descendants(pid: int) -> list[psutil.Process]:
    """Return the living descendants of a process, children before grandchildren; [] when it is gone."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def group_members(group: int) -> list[psutil.Process]:
    """Return the living members of a process group: they are found also when those between have died."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess, PermissionError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process.send_signal(number)  # psutil compares start times: a reused pid is never hit


def end_tree(pid: int, *, wait: float, group: bool = False) -> list[int]:
    """Send SIGTERM to a process and all its descendants, wait up to ``wait`` seconds, then SIGKILL what still lives.

    ``group`` also covers members of the process's own group whose parents have died. Children that appear in between
    are found before the kill. Returns the pids that had to be killed.
    """

    def members() -> list[psutil.Process]:
        found = {p.pid: p for p in descendants(pid)}
        with contextlib.suppress(psutil.NoSuchProcess):
            found[pid] = psutil.Process(pid)
        if group:
            found.update({p.pid: p for p in group_members(pid)})
        return list(found.values())

    known = members()
    for process in known:
        _send(process, signal.SIGTERM)
    deadline = time.monotonic() + wait
    _, alive = psutil.wait_procs(known, timeout=wait)
    while alive and time.monotonic() < deadline:
        _, alive = psutil.wait_procs(alive, timeout=deadline - time.monotonic())
    late = {p.pid: p for p in (*alive, *members()) if p.is_running() and _breathes(p)}
    for process in late.values():
        _send(process, signal.SIGKILL)
    psutil.wait_procs(list(late.values()), timeout=1)
    return sorted(late)


def _breathes(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
