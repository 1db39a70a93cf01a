"""Descriptors that a process keeps apart from those of the code that it runs for others."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource

#: the highest number that is asked for: the kernel's table of descriptors grows up to it
HIGH = 4096
#: numbers that are kept free for others above the highest one
_ROOM = 16


def keep_apart(number: int) -> int:
    """Move a descriptor to a high number that no child inherits; return the number.

    Code that closes what it did not open names small numbers, mostly all up to the soft limit. The new number lies
    above the soft limit where the hard one allows it: nobody gets that number again, so that nobody is mistaken for
    the other side after it was closed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    floor = HIGH if soft == endless else min(soft, HIGH)
    try:
        if floor == soft and (hard == endless or hard >= soft + _ROOM):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft + _ROOM, hard))
            try:
                moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, floor)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        else:
            moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, max(3, floor - _ROOM))
    except (OSError, ValueError):  # a system with limits of its own: at least no child inherits it
        os.set_inheritable(number, False)
        return number
    os.close(number)
    return moved


def of_process(pid: int) -> int | None:
    """Return a descriptor that becomes readable when a child of this process ends; None where there is none."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None
