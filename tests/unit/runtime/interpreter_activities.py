"""What a task can change in Python itself, and what the next one sees of it."""

from __future__ import annotations

import asyncio
import builtins
import datetime
import decimal
import faulthandler
import gc
import gettext
import json.tool
import logging
import logging.config
import os
import signal
import socket
import ssl
import sys
import threading
import time
import tracemalloc
import urllib.request
import uuid
import warnings
from typing import Any


def changes_the_interpreter() -> None:
    """What a task can change in Python itself."""
    os.environ = {"LEFT": "x"}  # type: ignore[assignment]  # noqa: B003 - what no program should do
    sys.meta_path.insert(0, "left")  # type: ignore[arg-type]
    sys.path_hooks.append("left")  # type: ignore[arg-type]
    sys.displayhook = sys.unraisablehook = sys.breakpointhook = print
    sys.set_int_max_str_digits(1000)
    sys.dont_write_bytecode = not sys.dont_write_bytecode
    sys.tracebacklimit = 1
    gc.disable()
    gc.set_debug(gc.DEBUG_UNCOLLECTABLE)
    gc.callbacks.append(lambda phase, info: None)
    threading.stack_size(1 << 20)
    threading.settrace(lambda *seen: None)
    woken = socket.socketpair()[0]
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.detach(), warn_on_full_buffer=False)
    asyncio.set_event_loop_policy(Policy())
    warnings.showwarning = print
    decimal.DefaultContext.prec = 5
    decimal.getcontext().traps[decimal.Inexact] = True
    logging.config.dictConfig({"version": 1})  # switches off the loggers that it does not name
    logging.setLoggerClass(OwnLogger)
    logging.setLogRecordFactory(OwnRecord)
    logging.getLogger("simpleflow").setLevel("CRITICAL")
    logging.getLogger("simpleflow").handlers.clear()
    ssl._create_default_https_context = ssl._create_unverified_context
    urllib.request.install_opener(urllib.request.build_opener())
    socket.getaddrinfo = time.sleep = time.time = print  # type: ignore[assignment]
    builtins.LEFT = builtins.sorted = "x"  # type: ignore[attr-defined,assignment]
    gettext.install("left")
    faulthandler.enable()
    faulthandler.dump_traceback_later(3600, exit=True)
    tracemalloc.start()
    os.set_blocking(1, False)
    sys.modules["json.tool"] = sys.modules.pop("gettext")
    sys.pycache_prefix = "/left"
    sys.setdlopenflags(os.RTLD_GLOBAL | os.RTLD_NOW)
    sys.set_asyncgen_hooks(firstiter=print)  # type: ignore[arg-type]
    decimal.DefaultContext.rounding = decimal.ROUND_UP
    signal.signal(signal.SIGRTMIN + 3, signal.SIG_IGN)
    for name in ("left", "left.known"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).setLevel("DEBUG")
        logging.getLogger(name).propagate = False
    logging.captureWarnings(True)
    datetime.datetime = uuid.uuid4 = None  # type: ignore[assignment,misc]


class Policy(asyncio.DefaultEventLoopPolicy):
    """Of a library."""


class OwnLogger(logging.Logger):
    """Of a library."""


class OwnRecord(logging.LogRecord):
    """Of a library."""


def shows_the_interpreter() -> list[Any]:
    known = json.tool.__name__
    own = logging.getLogger("simpleflow")
    return [
        os.getpid(),
        "LEFT" in os.environ or len(os.environ) < 3,
        hasattr(builtins, "LEFT"),
        builtins.sorted([2, 1]),
        "left" in sys.meta_path or "left" in sys.path_hooks,
        sys.displayhook is print or sys.unraisablehook is print or sys.breakpointhook is print,
        sys.get_int_max_str_digits(),
        sys.dont_write_bytecode,
        hasattr(sys, "tracebacklimit"),
        gc.isenabled(),
        gc.get_debug(),
        len(gc.callbacks),
        threading.stack_size(),
        threading.gettrace() is None,
        isinstance(asyncio.get_event_loop_policy(), Policy),
        warnings.showwarning is print,
        decimal.Context().prec,
        decimal.getcontext().traps[decimal.Inexact],
        logging.getLoggerClass().__name__,
        logging.getLogRecordFactory().__name__,
        own.level,
        len(own.handlers),
        own.disabled,
        ssl._create_default_https_context is ssl._create_unverified_context,
        urllib.request._opener is None,  # type: ignore[attr-defined]  # what install_opener sets
        print in (socket.getaddrinfo, time.sleep, time.time),  # type: ignore[comparison-overlap]
        hasattr(builtins, "_"),
        faulthandler.is_enabled(),
        len(os.listdir("/proc/self/task")),
        tracemalloc.is_tracing(),
        os.get_blocking(1),
        "gettext" in sys.modules,
        known == sys.modules["json.tool"].__name__,
        sys.pycache_prefix,
        sys.getdlopenflags(),
        sys.get_asyncgen_hooks().firstiter is None,
        decimal.Context().rounding,
        str(signal.getsignal(signal.SIGRTMIN + 3)),
        [(each.level, each.propagate, len(each.handlers)) for each in map(logging.getLogger, ("left", "left.known"))],
        logging._warnings_showwarning is None,  # type: ignore[attr-defined]  # what captureWarnings sets
        datetime.datetime is None or uuid.uuid4 is None,  # type: ignore[comparison-overlap]
    ]
