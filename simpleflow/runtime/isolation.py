"""What a task changes in its process does not reach the next task: it is put back, or the runner is started anew.

Each ``_Facet`` is one thing that a process has. It is read before a runner's first task, again when a task imported
modules (what an import sets up stays), and after each task.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from . import left_over

_LIMITS = tuple(sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}))
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
#: those that can have a handler, but for the ones that Python and C libraries use for themselves
_SIGNALS = tuple(int(number) for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP))
#: without the enumerations that signal.getsignal makes of what it finds: those cost a task 100 us
_handler: Callable[[int], Any] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)


class _Facet(NamedTuple):
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


def _environment() -> dict[Any, Any]:
    """The variables as they are held: decoding each costs a task more than all the rest."""
    return dict(getattr(os.environ, "_data", os.environ))


def _set_environment(value: dict[Any, Any]) -> None:
    before = {os.fsdecode(name): os.fsdecode(text) for name, text in value.items()}
    for name in os.environ.keys() - before.keys():
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
    """What the standard descriptors lead to."""
    found = []
    for number in (0, 1, 2):
        try:
            about = os.fstat(number)
        except OSError:
            found.append((-1, -1))
        else:
            found.append((about.st_dev, about.st_ino))
    return tuple(found)


def _spare_descriptor() -> bool:
    """Whether this process may open one more file: a task that kept all would leave the next one none."""
    try:
        os.close(os.open("/", os.O_PATH | os.O_CLOEXEC if hasattr(os, "O_PATH") else os.O_RDONLY))
    except OSError:
        return False
    return True


def _root() -> tuple[int, int]:
    about = os.stat("/")
    return about.st_dev, about.st_ino


def _interpreter() -> tuple[Any, ...]:
    return (
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
        gc.isenabled(),
        gc.get_threshold(),
        sys.excepthook,
        threading.excepthook,
        sys.gettrace(),
        sys.getprofile(),
    )


def _set_interpreter(value: tuple[Any, ...]) -> None:
    depth, interval, collects, threshold, sys.excepthook, threading.excepthook, trace, profile = value
    sys.setrecursionlimit(depth)
    sys.setswitchinterval(interval)
    (gc.enable if collects else gc.disable)()
    gc.set_threshold(*threshold)
    sys.settrace(trace)
    sys.setprofile(profile)


def _set_filters(value: list[Any]) -> None:
    warnings.resetwarnings()  # tells the module that its list changes
    warnings.filters[:] = value  # type: ignore[index]  # typeshed shows a Sequence; it is the module's own list


def _logging() -> tuple[Any, ...]:
    return logging.root.level, tuple(logging.root.handlers), logging.root.manager.disable


def _set_logging(value: tuple[Any, ...]) -> None:
    level, handlers, logging.root.manager.disable = value
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers


def _attribute(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def _default_timeout() -> Any:
    return sys.modules["socket"].getdefaulttimeout() if "socket" in sys.modules else None


def _set_default_timeout(value: Any) -> None:
    sys.modules["socket"].setdefaulttimeout(value)


def _decimal() -> tuple[Any, ...]:
    module = sys.modules.get("decimal")
    if module is None:
        return ()
    context = module.getcontext()
    return context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp


def _set_decimal(_: tuple[Any, ...]) -> None:
    module = sys.modules["decimal"]
    module.setcontext(module.DefaultContext.copy())


_FACETS: tuple[_Facet, ...] = (
    _Facet("its working directory", _folder, os.chdir),
    _Facet("its umask", _umask, os.umask),
    _Facet("its environment", _environment, _set_environment),
    _Facet("signal handlers", lambda: tuple(map(_handler, _SIGNALS)), _set_handlers),
    _Facet(
        "blocked signals",
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        lambda value: signal.pthread_sigmask(signal.SIG_SETMASK, value),
    ),
    _Facet(
        "a timer",
        lambda: tuple(signal.getitimer(each)[0] > 0 for each in _TIMERS),
        lambda value: [signal.setitimer(each, 0) for each in _TIMERS],
    ),
    _Facet("its locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
    _Facet("resource limits", lambda: tuple(map(resource.getrlimit, _LIMITS)), _set_limits),
    _Facet(
        "its priority",
        lambda: os.getpriority(os.PRIO_PROCESS, 0),
        lambda value: os.setpriority(os.PRIO_PROCESS, 0, value),
    ),
    _Facet("its user or groups", lambda: (os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()), None),
    _Facet("its root directory", _root, None),
    _Facet("standard streams", _streams, _set_streams),
    _Facet("standard descriptors", _descriptors, None),
    _Facet("as many open files as it may have", _spare_descriptor, None),
    _Facet("sys.path", lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
    _Facet("sys.argv", lambda: list(sys.argv), lambda value: sys.argv.__setitem__(slice(None), value)),
    _Facet("the interpreter's settings", _interpreter, _set_interpreter),
    _Facet("warning filters", lambda: list(warnings.filters), _set_filters),
    _Facet("the root logger", _logging, _set_logging),
    _Facet("the default timeout of sockets", _default_timeout, _set_default_timeout),
    _Facet("the decimal context", _decimal, _set_decimal),
    _Facet(
        "the folder for temporary files",
        lambda: _attribute("tempfile", "tempdir"),
        lambda value: setattr(sys.modules["tempfile"], "tempdir", value),
    ),
)
if hasattr(os, "sched_getaffinity"):
    _FACETS += (
        _Facet("its processors", lambda: os.sched_getaffinity(0), lambda value: os.sched_setaffinity(0, value)),
    )


class Isolation:
    """Keeps tasks of one process apart. Main thread only."""

    def __init__(self) -> None:
        self._before: list[Any] = []
        self._left = left_over.LeftOver()
        self._modules = -1

    def begin(self) -> None:
        """Call it when the task's module is imported, before its code runs."""
        count = len(sys.modules)
        if count == self._modules:
            return
        self._before = [facet.read() for facet in _FACETS]
        self._left = left_over.LeftOver()
        self._modules = count

    def end(self) -> list[str]:
        """Put back what the task changed; return what cannot be put back."""
        if self._modules < 0:
            return []
        stuck = [
            facet.name for facet, before in zip(_FACETS, self._before, strict=True) if not _as_before(facet, before)
        ]
        stuck += self._left.found()
        random.seed(int.from_bytes(os.urandom(16), "little"))
        if _attribute("asyncio", "events") is not None:
            stuck += left_over.loops()
        self._modules = len(sys.modules)
        return stuck


def _as_before(facet: _Facet, before: Any) -> bool:
    """Whether it is as it was, or could be put back. What the task left may raise whatever it likes when it is read."""
    try:
        if facet.read() == before:
            return True
        if facet.write is None:
            return False
        facet.write(before)
        return bool(facet.read() == before)
    except Exception:
        return False
