"""Changes that a task makes to its process do not reach the next task: they are undone, or the runner is replaced.

Each ``_Facet`` is one thing that a process has. It is read before a runner's first task, again when a task imported
modules (what an import sets up stays), and after each task.
"""

from __future__ import annotations

import builtins
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
from typing import Any, Final, NamedTuple

from simpleflow import logging_context

from . import left_over

#: a runner in which tasks left this number of files open is not used again
MOST_OPEN = 512
_LIMITS = tuple(sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}))
_ENVIRON = os.environ
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
#: those that can have a handler, but for the ones that Python and C libraries use for themselves
_SIGNALS = tuple(int(number) for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP))
#: the variables that name the task, as they are held
_OF_TASK: Final[tuple[Any, ...]] = tuple(
    os.environ.encodekey(name) if hasattr(os.environ, "_data") else name for name in logging_context.ENV_KEYS.values()
)
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


def _spare_descriptor() -> bool:
    """Whether this process may open more files: tasks that keep theirs open would leave the next one none.

    The system gives the lowest number that is free.
    """
    try:
        number = os.open("/", os.O_PATH | os.O_CLOEXEC if hasattr(os, "O_PATH") else os.O_RDONLY)
    except OSError:
        return False
    os.close(number)
    return number < MOST_OPEN


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
        gc.get_debug(),
        tuple(gc.callbacks),
        sys.displayhook,
        sys.unraisablehook,
        sys.breakpointhook,
        sys.get_int_max_str_digits(),
        sys.dont_write_bytecode,
        getattr(sys, "tracebacklimit", None),
        threading.stack_size(),
        threading.gettrace(),
        threading.getprofile(),
    )


def _set_interpreter(value: tuple[Any, ...]) -> None:
    depth, interval, collects, threshold, sys.excepthook, threading.excepthook, trace, profile, *more = value
    sys.setrecursionlimit(depth)
    sys.setswitchinterval(interval)
    (gc.enable if collects else gc.disable)()
    gc.set_threshold(*threshold)
    debug, callbacks, sys.displayhook, sys.unraisablehook, sys.breakpointhook, digits, *more = more
    sys.dont_write_bytecode, lines, stack, threads_trace, threads_profile = more
    gc.set_debug(debug)
    gc.callbacks[:] = callbacks
    sys.set_int_max_str_digits(digits)
    if lines is not None:
        sys.tracebacklimit = lines
    elif hasattr(sys, "tracebacklimit"):
        del sys.tracebacklimit
    threading.stack_size(stack)
    threading.settrace(threads_trace)
    threading.setprofile(threads_profile)
    sys.settrace(trace)
    sys.setprofile(profile)


def _builtins() -> dict[str, Any]:
    """Each name and what stands for it; ``_`` is what an interactive session showed last."""
    held = vars(builtins).copy()
    if "_" in held:
        del held["_"]
    return held


def _set_builtins(value: dict[str, Any]) -> None:
    held = vars(builtins)
    for name in held.keys() - value.keys():
        del held[name]
    held.update(value)


def _importing() -> tuple[Any, ...]:
    return tuple(sys.meta_path), tuple(sys.path_hooks)


def _set_importing(value: tuple[Any, ...]) -> None:
    sys.meta_path[:], sys.path_hooks[:] = value


def _set_filters(value: list[Any]) -> None:
    warnings.resetwarnings()  # tells the module that its list changes
    warnings.filters[:] = value  # type: ignore[index]  # typeshed shows a Sequence; it is the module's own list


#: whose settings are put back: those of other loggers are the business of the code that has them
_LOGGERS = (logging.root, logging.getLogger("simpleflow"))


def _logging() -> tuple[Any, ...]:
    kept = tuple((each.level, tuple(each.handlers), tuple(each.filters), each.propagate) for each in _LOGGERS)
    return (
        kept,
        logging.root.manager.disable,
        logging.getLoggerClass(),
        logging.getLogRecordFactory(),
        logging.raiseExceptions,
        _silenced(),
    )


def _silenced() -> tuple[str, ...]:
    """Loggers that ``logging.config`` switched off because its dictionary does not name them."""
    if "logging.config" not in sys.modules:
        return ()
    known = logging.root.manager.loggerDict.items()
    return tuple([name for name, each in known if getattr(each, "disabled", False)])


def _set_logging(value: tuple[Any, ...]) -> None:
    kept, logging.root.manager.disable, made, factory, logging.raiseExceptions, silenced = value
    logging.setLoggerClass(made)
    logging.setLogRecordFactory(factory)
    for each, (level, handlers, filters, propagates) in zip(_LOGGERS, kept, strict=True):
        each.propagate = propagates
        each.setLevel(level)
        each.handlers[:] = handlers
        each.filters[:] = filters
    for name in _silenced():
        if name not in silenced:
            logging.getLogger(name).disabled = False


def _wakeup() -> int:
    """The descriptor that signals are written to; an event loop that was left sets one. Looking removes it."""
    return signal.set_wakeup_fd(-1)


def _policy() -> Any:
    """The asyncio policy; one that Python made by itself counts as none."""
    policy = _attribute("asyncio.events", "_event_loop_policy")
    return None if policy is None or type(policy) is type(_default_policy()) else policy


def _default_policy() -> Any:
    module: Any = sys.modules["asyncio"]
    return module.DefaultEventLoopPolicy()


def _set_policy(value: Any) -> None:
    events: Any = sys.modules["asyncio.events"]
    events._event_loop_policy = value


def _attribute(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def _default_timeout() -> Any:
    return sys.modules["socket"].getdefaulttimeout() if "socket" in sys.modules else None


def _set_default_timeout(value: Any) -> None:
    sys.modules["socket"].setdefaulttimeout(value)


#: of a module that was not loaded when the task began
_ABSENT: Any = object()
_CONTEXT = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _decimal() -> tuple[Any, ...]:
    module = sys.modules.get("decimal")
    if module is None:
        return _ABSENT  # type: ignore[no-any-return]  # it stands for any value
    here, default = module.getcontext(), module.DefaultContext
    return tuple([getattr(here, name) for name in _CONTEXT]), dict(here.traps), default.prec


def _set_decimal(value: tuple[Any, ...]) -> None:
    module = sys.modules["decimal"]
    if value is _ABSENT:
        module.setcontext(module.Context())
        return
    numbers, traps, module.DefaultContext.prec = value
    here = module.getcontext()
    for name, number in zip(_CONTEXT, numbers, strict=True):
        setattr(here, name, number)
    here.traps.update(traps)


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
    _Facet("its process group or session", lambda: (os.getpgid(0), os.getsid(0)), None),
    _Facet("standard streams", _streams, _set_streams),
    _Facet("standard descriptors", _descriptors, None),
    _Facet("as many open files as it may have", _spare_descriptor, None),
    _Facet("sys.path", lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
    _Facet("sys.argv", lambda: list(sys.argv), lambda value: sys.argv.__setitem__(slice(None), value)),
    _Facet("the interpreter's settings", _interpreter, _set_interpreter),
    _Facet("builtins", _builtins, _set_builtins),
    _Facet("how modules are found", _importing, _set_importing),
    _Facet("the descriptor that signals are written to", _wakeup, lambda value: None),
    _Facet("warning filters", lambda: list(warnings.filters), _set_filters),
    _Facet(
        "how warnings are shown", lambda: warnings.showwarning, lambda value: setattr(warnings, "showwarning", value)
    ),
    _Facet("the root logger", _logging, _set_logging),
    _Facet("the policy of asyncio", _policy, _set_policy),
    _Facet("the default timeout of sockets", _default_timeout, _set_default_timeout),
    _Facet("the decimal context", _decimal, _set_decimal),
    _Facet(
        "the folder for temporary files",
        lambda: _attribute("tempfile", "tempdir"),
        lambda value: setattr(sys.modules["tempfile"], "tempdir", value),
    ),
)


class _Found(list[Any]):
    """The present objects of ``_REPLACED``. The object of a module that is not loaded equals every other."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and all(
            a is b or a is _ABSENT or b is _ABSENT for a, b in zip(self, other, strict=True)
        )

    __hash__ = None


def _replaced() -> _Found:
    loaded = sys.modules
    return _Found(
        [getattr(loaded[module], name, _ABSENT) if module in loaded else _ABSENT for module, name in _REPLACED]
    )


def _put_back(value: _Found) -> None:
    for (module, name), each in zip(_REPLACED, value, strict=True):
        if each is not _ABSENT:
            setattr(sys.modules[module], name, each)


#: what programs are told to replace in modules of Python's own, where these are loaded
_REPLACED = (
    ("ssl", "_create_default_https_context"),
    ("urllib.request", "_opener"),
    ("socket", "socket"),
    ("socket", "getaddrinfo"),
    ("time", "sleep"),
    ("time", "time"),
    ("json", "_default_encoder"),
)
_FACETS += (_Facet("functions of Python's own modules", _replaced, _put_back),)
if hasattr(os, "sched_getaffinity"):
    _FACETS += (
        _Facet(
            "how it is scheduled",
            lambda: (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority),
            lambda value: os.sched_setscheduler(0, value[0], os.sched_param(value[1])),
        ),
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
        logging_context.mend()
        random.seed(int.from_bytes(os.urandom(16), "little"))
        if _attribute("asyncio", "events") is not None:
            stuck += left_over.loops()
        self._modules = len(sys.modules)
        return stuck


def _as_before(facet: _Facet, before: Any) -> bool:
    """Whether it is as it was, or could be put back. What the task left may raise whatever it likes when it is read."""
    try:
        now = facet.read()
        if now is before or now == before:
            return True
        if facet.write is None:
            return False
        facet.write(before)
        return before is _ABSENT or bool(facet.read() == before)
    except Exception:
        return False
