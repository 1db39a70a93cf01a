"""What the system knows of this process and a task can change, each with how it is read and put back.

``python_facets.py`` has what Python holds.
"""

from __future__ import annotations

import contextlib
import faulthandler
import locale
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from simpleflow import logging_context

_LIMITS = tuple(sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}))
_ENVIRON = os.environ
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
#: those that can have a handler, but for the ones that Python and C libraries use for themselves
_SIGNALS = tuple(sorted(int(each) for each in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))
#: the variables that name the task, as they are held
_OF_TASK: Final[tuple[Any, ...]] = tuple(
    os.environ.encodekey(name) if hasattr(os.environ, "_data") else name for name in logging_context.ENV_KEYS.values()
)
#: without the enumerations that signal.getsignal makes of what it finds: those cost a task 100 us
_handler: Callable[[int], Any] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)


class Facet(NamedTuple):
    """``write`` puts a value back; None: it cannot be put back, the runner goes."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # removed
        return None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _environment() -> dict[Any, Any] | None:
    """The variables as they are held: decoding each costs a task more than all the rest. Those that name the task are
    other ones for each task. None: another object stands in the place of ``os.environ``."""
    if os.environ is not _ENVIRON:
        return None
    found = dict(getattr(_ENVIRON, "_data", _ENVIRON))
    for name in _OF_TASK:
        found.pop(name, None)
    return found


def _set_environment(value: dict[Any, Any]) -> None:
    os.environ = _ENVIRON  # noqa: B003 - the very object that was there
    before = {os.fsdecode(name): os.fsdecode(text) for name, text in value.items()}
    for name in os.environ.keys() - before.keys() - set(logging_context.ENV_KEYS.values()):
        del os.environ[name]
    for name, text in before.items():
        if os.environ.get(name) != text:
            os.environ[name] = text
    time.tzset()


def _set_handlers(value: tuple[Any, ...]) -> None:
    for number, handler in zip(_SIGNALS, value, strict=True):
        if _handler(number) is not handler and handler is not None:
            signal.signal(number, handler)


def _set_limits(value: tuple[tuple[int, int], ...]) -> None:
    for number, limit in zip(_LIMITS, value, strict=True):
        if resource.getrlimit(number) != limit:
            resource.setrlimit(number, limit)


def _streams() -> tuple[Any, ...]:
    return tuple((stream, getattr(stream, "closed", True)) for stream in (sys.stdin, sys.stdout, sys.stderr))


def _set_streams(value: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr = (stream for stream, _ in value)


def _descriptors() -> tuple[tuple[int, int], ...]:
    """Return device and inode of each standard descriptor."""
    found = []
    for number in (0, 1, 2):
        try:
            about = os.fstat(number)
        except OSError:
            found.append((-1, -1))
        else:
            found.append((about.st_dev, about.st_ino))
    return tuple(found)


def _blocking() -> tuple[bool | None, ...]:
    """Whether reading and writing the standard descriptors waits; None: it is closed."""
    found: list[bool | None] = []
    for number in (0, 1, 2):
        try:
            found.append(os.get_blocking(number))
        except OSError:
            found.append(None)
    return tuple(found)


def _set_blocking(value: tuple[bool | None, ...]) -> None:
    for number, blocks in enumerate(value):
        if blocks is not None:
            with contextlib.suppress(OSError):
                os.set_blocking(number, blocks)


def _root() -> tuple[int, int]:
    about = os.stat("/")
    return about.st_dev, about.st_ino


FACETS: tuple[Facet, ...] = (
    Facet("its working directory", _folder, os.chdir),
    Facet("its umask", _umask, os.umask),
    Facet("its environment", _environment, _set_environment),
    Facet("signal handlers", lambda: tuple(map(_handler, _SIGNALS)), _set_handlers),
    Facet(
        "blocked signals",
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        lambda value: signal.pthread_sigmask(signal.SIG_SETMASK, value),
    ),
    Facet(
        "a timer",
        lambda: tuple(signal.getitimer(each)[0] > 0 for each in _TIMERS),
        lambda value: [signal.setitimer(each, 0) for each in _TIMERS],
    ),
    Facet("its locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
    Facet("resource limits", lambda: tuple(map(resource.getrlimit, _LIMITS)), _set_limits),
    Facet(
        "its priority",
        lambda: os.getpriority(os.PRIO_PROCESS, 0),
        lambda value: os.setpriority(os.PRIO_PROCESS, 0, value),
    ),
    Facet("its user or groups", lambda: (os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()), None),
    Facet("its root directory", _root, None),
    Facet("its process group or session", lambda: (os.getpgid(0), os.getsid(0)), None),
    Facet("standard streams", _streams, _set_streams),
    Facet("standard descriptors", _descriptors, None),
    Facet("whether standard descriptors block", _blocking, _set_blocking),
    Facet(
        "the fault handler",
        faulthandler.is_enabled,
        lambda value: faulthandler.enable() if value else faulthandler.disable(),
    ),
)
if hasattr(os, "sched_getaffinity"):
    FACETS += (
        Facet(
            "how it is scheduled",
            lambda: (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority),
            lambda value: os.sched_setscheduler(0, value[0], os.sched_param(value[1])),
        ),
        Facet("its processors", lambda: os.sched_getaffinity(0), lambda value: os.sched_setaffinity(0, value)),
    )
