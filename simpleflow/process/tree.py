"""Find and end a process with everything that it started."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import time

import psutil

#: set to 1 in the environment of a process that outlives, with all it starts, the process that started it
RUNS_ON = "SIMPLEFLOW_RUNS_ON"
#: names the child of ours that a process descends from; inherited, whatever group or session a process is in
MARK = "SIMPLEFLOW_CHILD"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: how often processes are looked for that appear while others are killed
_ROUNDS = 5


def adopt_orphans() -> bool:
    """Become the parent of descendants whose own parent ends, instead of init; return whether the system can do that.

    A process that forked twice is then found among the descendants, whatever group or session it is in.
    """
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def signal_at_parents_end(number: int) -> bool:
    """Have the system send this process a signal when the thread that started it ends; return whether it can."""
    return _prctl(_PR_SET_PDEATHSIG, number)


def _prctl(option: int, argument: int) -> bool:
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError):  # Linux alone has it
        return False
    return bool(prctl(option, argument, 0, 0, 0) == 0)


def lives(process: psutil.Process | int) -> bool:
    """Return whether a process has not ended. One that has ended and waits for its parent does not live.

    A zombie with several threads does live: its main thread has ended, and another one still runs or is being ended.
    """
    try:
        process = psutil.Process(process) if isinstance(process, int) else process
        if not process.is_running():  # another process may have its pid
            return False
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> list[psutil.Process]:
    """Return the living descendants of a process, children before grandchildren; [] when it is gone.

    Those that run on, by their environment, are left out.
    """
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in found if not _runs_on(process)]


def memory(pid: int, *, shared_once: bool = False) -> int:
    """Return the bytes of memory that a process and its descendants hold; 0 when it is gone.

    ``shared_once``: pages that several of them share, as those of a forked child, count once. That takes longer.
    """
    held = 0
    with contextlib.suppress(psutil.Error, OSError):
        for process in (psutil.Process(pid), *descendants(pid)):
            with contextlib.suppress(psutil.Error):
                held += _proportional(process) if shared_once else process.memory_info().rss
    return held


def _proportional(process: psutil.Process) -> int:
    """Return the bytes that a process holds, of shared ones its part."""
    with contextlib.suppress(psutil.AccessDenied):
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    return int(process.memory_info().rss)


def _runs_on(process: psutil.Process) -> bool:
    try:
        return bool(process.environ().get(RUNS_ON) == "1")
    except (psutil.Error, OSError):  # gone, or another user's
        return False


def bear_mark() -> None:
    """Bear the mark of the environment in the memory as well: a process title takes the environment's place."""
    mark = os.environ.get(MARK)
    if not mark or not hasattr(os, "memfd_create"):
        return
    number = os.memfd_create(mark)
    try:
        os.truncate(number, mmap.PAGESIZE)
        _borne.append(mmap.mmap(number, mmap.PAGESIZE))
    finally:
        os.close(number)


#: mappings that the process and its forks keep, named after its mark
_borne: list[mmap.mmap] = []


def _bears(pid: int, mark: str) -> bool:
    name = f"{MARK}={mark}".encode()
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            found = file.read()
        if f"{MARK}=".encode() in found:
            return name in found.split(b"\0")
        with open(f"/proc/{pid}/maps", "rb") as file:
            return f"/memfd:{mark} ".encode() in file.read()
    except OSError:  # gone, another user's, or a system without these files
        return False


def relatives(group: int, mark: str = "") -> list[psutil.Process]:
    """Return the living members of a process group, and those that bear a mark.

    They are found also when those between have died.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.Error, OSError):
            if process.pid == os.getpid() or not lives(process):
                continue
            member = os.getpgid(process.pid) == group
            if (member or (mark and _bears(process.pid, mark))) and not _runs_on(process):
                found.append(process)
    return found


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process.send_signal(number)  # psutil compares start times: a reused pid is never hit


def end_tree(pid: int, *, wait: float, group: bool = False, mark: str = "") -> list[int]:
    """Send SIGTERM to a process and all its descendants, wait up to ``wait`` seconds, then SIGKILL what still lives.

    ``group`` also covers members of the process's own group, and bearers of its ``mark``, whose parents have died.
    Children that appear in between are found before the kill. Returns the pids that had to be killed.
    """

    def members() -> list[psutil.Process]:
        found = {p.pid: p for p in descendants(pid)}
        with contextlib.suppress(psutil.NoSuchProcess):
            found[pid] = psutil.Process(pid)
        if group:
            found.update({p.pid: p for p in relatives(pid, mark)})
        return list(found.values())

    known = members()
    for process in known:
        _send(process, signal.SIGTERM)
    deadline = time.monotonic() + wait
    _, alive = psutil.wait_procs(known, timeout=wait)
    while alive and time.monotonic() < deadline:
        _, alive = psutil.wait_procs(alive, timeout=deadline - time.monotonic())
    late = {p.pid: p for p in (*alive, *members()) if lives(p)}
    for process in late.values():
        _send(process, signal.SIGKILL)
    psutil.wait_procs(list(late.values()), timeout=1)
    return sorted(late)


def end_others(mark: str) -> None:
    """Kill all that this process, whose mark it is, started, and the other members of its group."""
    for _ in range(_ROUNDS):
        found = [p for p in {*descendants(os.getpid()), *relatives(os.getpgid(0), mark)} if lives(p)]
        if not found:
            return
        for process in found:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(found, timeout=1)


def end_own() -> None:
    """Kill this process with its group and all that it started, whatever group that is in. Does not return."""
    for process in descendants(os.getpid()):
        _send(process, signal.SIGKILL)
    os.killpg(os.getpgid(0), signal.SIGKILL)
