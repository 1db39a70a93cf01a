"""What Python holds and a task can change, each with how it is read and put back."""

from __future__ import annotations

import builtins
import gc
import logging
import signal
import sys
import threading
import warnings
from typing import Any

from .process_facets import Facet


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


def _tracing() -> tuple[Any, ...]:
    module = sys.modules.get("_tracemalloc")
    return (
        sys.getdlopenflags(),
        *sys.get_asyncgen_hooks(),
        sys.get_coroutine_origin_tracking_depth(),
        sys.pycache_prefix,
        module is not None and module.is_tracing(),
    )


def _set_tracing(value: tuple[Any, ...]) -> None:
    flags, first, final, depth, sys.pycache_prefix, traces = value
    sys.setdlopenflags(flags)
    sys.set_asyncgen_hooks(first, final)
    sys.set_coroutine_origin_tracking_depth(depth)
    module: Any = sys.modules.get("_tracemalloc")
    if module is not None and module.is_tracing() != traces:
        (module.start if traces else module.stop)()


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


#: the loggers of this room; those of others are ``Loggers``' business
_LOGGERS = (logging.root, logging.getLogger("simpleflow"))


def _logging() -> tuple[Any, ...]:
    kept = tuple((each.level, tuple(each.handlers), tuple(each.filters), each.propagate) for each in _LOGGERS)
    return (
        kept,
        logging.root.manager.disable,
        logging.getLoggerClass(),
        logging.getLogRecordFactory(),
        logging.raiseExceptions,
        logging.lastResort,
    )


def _set_logging(value: tuple[Any, ...]) -> None:
    kept, logging.root.manager.disable, made, factory, logging.raiseExceptions, logging.lastResort = value
    logging.setLoggerClass(made)
    logging.setLogRecordFactory(factory)
    for each, (level, handlers, filters, propagates) in zip(_LOGGERS, kept, strict=True):
        each.propagate = propagates
        each.setLevel(level)
        each.handlers[:] = handlers
        each.filters[:] = filters


class Loggers:
    """The settings of all loggers but the root one: a task that adds a handler would have every later line doubled."""

    _FRESH: tuple[Any, ...] = (logging.NOTSET, True, False, (), ())

    def __init__(self) -> None:
        self._before = self._read()

    @staticmethod
    def _read() -> list[tuple[Any, ...]]:
        return [
            (each, each.level, each.propagate, each.disabled, (*each.handlers,), (*each.filters,))
            for each in logging.root.manager.loggerDict.values()
            if isinstance(each, logging.Logger)
        ]

    def put_back(self, *, imported: bool) -> None:
        """Call it after a task. What the loggers that it made are told stays if it ``imported`` modules: theirs."""
        now = self._read()
        if now == self._before:
            return
        before = {id(each): settings for each, *settings in self._before}
        for each, *settings in now:
            was = before.get(id(each), settings if imported else self._FRESH)
            level, each.propagate, each.disabled, handlers, filters = was
            if each.level != level:
                each.setLevel(level)
            each.handlers[:] = handlers
            each.filters[:] = filters
        self._before = self._read()


class Modules:
    """The modules that are loaded: a task may put another one in the place of one, or take it away."""

    def __init__(self) -> None:
        self._look()

    def _look(self) -> None:
        self._named = dict(sys.modules)
        self._found = list(self._named.values())

    def put_back(self) -> None:
        """Call it after a task. What it imported stays."""
        if list(sys.modules.values()) == self._found:
            return
        for name, module in self._named.items():
            if sys.modules.get(name) is not module:
                sys.modules[name] = module
        self._look()


def _wakeup() -> int:
    """The descriptor that signals are written to; an event loop that was left sets one. Looking removes it."""
    return signal.set_wakeup_fd(-1)


def _policy() -> Any:
    """The asyncio policy; one that Python made by itself counts as none."""
    policy = attribute("asyncio.events", "_event_loop_policy")
    return None if policy is None or type(policy) is type(_default_policy()) else policy


def _default_policy() -> Any:
    module: Any = sys.modules["asyncio"]
    return module.DefaultEventLoopPolicy()


def _set_policy(value: Any) -> None:
    events: Any = sys.modules["asyncio.events"]
    events._event_loop_policy = value


def attribute(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def _default_timeout() -> Any:
    return sys.modules["socket"].getdefaulttimeout() if "socket" in sys.modules else None


def _set_default_timeout(value: Any) -> None:
    sys.modules["socket"].setdefaulttimeout(value)


#: of a module that was not loaded when the task began
ABSENT: Any = object()
_CONTEXT = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _decimal() -> tuple[Any, ...]:
    module = sys.modules.get("decimal")
    if module is None:
        return ABSENT  # type: ignore[no-any-return]  # it stands for any value
    return tuple([_of_context(each) for each in (module.getcontext(), module.DefaultContext)])


def _of_context(context: Any) -> tuple[Any, ...]:
    return tuple([getattr(context, name) for name in _CONTEXT]), dict(context.traps)


def _set_decimal(value: tuple[Any, ...]) -> None:
    module = sys.modules["decimal"]
    if value is ABSENT:
        module.setcontext(module.Context())
        return
    for context, (numbers, traps) in zip((module.getcontext(), module.DefaultContext), value, strict=True):
        for name, number in zip(_CONTEXT, numbers, strict=True):
            setattr(context, name, number)
        context.traps.update(traps)


class _Found(list[Any]):
    """The present objects of ``_REPLACED``. The object of a module that is not loaded equals every other."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and all(
            a is b or a is ABSENT or b is ABSENT for a, b in zip(self, other, strict=True)
        )

    __hash__ = None


def _replaced() -> _Found:
    loaded = sys.modules
    return _Found([getattr(loaded[module], name, ABSENT) if module in loaded else ABSENT for module, name in _REPLACED])


def _put_back(value: _Found) -> None:
    for (module, name), each in zip(_REPLACED, value, strict=True):
        if each is not ABSENT:
            setattr(sys.modules[module], name, each)


#: what programs are told to replace in modules of Python's own, where these are loaded
_REPLACED = (
    ("ssl", "_create_default_https_context"),
    ("urllib.request", "_opener"),
    ("socket", "socket"),
    ("socket", "getaddrinfo"),
    ("socket", "create_connection"),
    ("subprocess", "Popen"),
    ("datetime", "datetime"),
    ("datetime", "date"),
    ("uuid", "uuid4"),
    ("random", "random"),
    ("os", "getcwd"),
    ("os", "urandom"),
    ("logging", "_warnings_showwarning"),
    ("time", "sleep"),
    ("time", "time"),
    ("time", "monotonic"),
    ("time", "perf_counter"),
    ("json", "_default_encoder"),
)
FACETS: tuple[Facet, ...] = (
    Facet("sys.path", lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
    Facet("sys.argv", lambda: list(sys.argv), lambda value: sys.argv.__setitem__(slice(None), value)),
    Facet("the interpreter's settings", _interpreter, _set_interpreter),
    Facet("how Python loads and traces", _tracing, _set_tracing),
    Facet("builtins", lambda: vars(builtins).copy(), _set_builtins),
    Facet("how modules are found", _importing, _set_importing),
    Facet("the descriptor that signals are written to", _wakeup, lambda value: None),
    Facet("warning filters", lambda: list(warnings.filters), _set_filters),
    Facet(
        "how warnings are shown", lambda: warnings.showwarning, lambda value: setattr(warnings, "showwarning", value)
    ),
    Facet("the root logger", _logging, _set_logging),
    Facet("the policy of asyncio", _policy, _set_policy),
    Facet("the default timeout of sockets", _default_timeout, _set_default_timeout),
    Facet("the decimal context", _decimal, _set_decimal),
    Facet(
        "the folder for temporary files",
        lambda: attribute("tempfile", "tempdir"),
        lambda value: setattr(sys.modules["tempfile"], "tempdir", value),
    ),
    Facet("functions of Python's own modules", _replaced, _put_back),
)
