"""Processes of this machine: child processes that are restarted, whole trees that are ended, titles, signals.

child.py       one child process that notices the death of its parent, and is ended with all that it started
lifeline.py    the child's side of that
kept.py        one process that is kept alive: restarts with back-off, starts that the system refuses
tether.py      a command that ends when the process that began it dies
lock_lifeline.py  a file lock whose holder's death ends the processes that wait for it
descriptors.py  those that a process keeps apart from the code that it runs
forks.py       what a forked child must not share with its parent
supervisor.py  keep a number of child processes alive: staggered starts, drain and hurry
pausing.py     Ctrl-Z stops a process with its family
tree.py        find and end a process with everything that it started
signals.py     SIGTERM drains, a second one hurries; what an exit status says
titles.py      what ps shows
"""

from __future__ import annotations

from .child import Child
from .signals import LOOK, Stop, describe_exit, reset_signal_handlers, tell_status
from .supervisor import Supervisor
from .titles import NamedMixin, with_state

__all__ = [
    "LOOK",
    "Child",
    "NamedMixin",
    "Stop",
    "Supervisor",
    "describe_exit",
    "reset_signal_handlers",
    "tell_status",
    "with_state",
]
