"""Ctrl-Z stops a process with its family, ``fg`` and SIGCONT let all of it go on.

Children run in sessions of their own, where the terminal's signals do not reach them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import weakref
from types import FrameType
from typing import Protocol


class Member(Protocol):
    """A child process that stops with this one."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Exit status when it has ended: its pid may be another's by then."""

    @property
    def knows_stop(self) -> bool:
        """Whether it handles SIGTSTP itself, as the programs do that call ``install``."""


_family: weakref.WeakSet[Member] = weakref.WeakSet()


def join(member: Member) -> None:
    """Have this child stop and go on with its parent, for as long as the object lives."""
    _family.add(member)


def install() -> None:
    """Handle SIGTSTP and SIGCONT. Main thread only."""
    if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:  # nohup and the like keep it ignored
        signal.signal(signal.SIGTSTP, _stop)
        signal.signal(signal.SIGCONT, _go_on)


def _stop(signum: int, frame: FrameType | None) -> None:
    for member in _living():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if member.knows_stop:
                os.kill(member.pid, signal.SIGTSTP)
            else:  # nobody stops by SIGTSTP in a session without a terminal
                os.killpg(member.pid, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)


def _go_on(signum: int, frame: FrameType | None) -> None:
    for member in _living():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(member.pid, signal.SIGCONT)


def _living() -> list[Member]:
    return [member for member in list(_family) if member.poll() is None]


os.register_at_fork(after_in_child=_family.clear)  # they are its parent's
