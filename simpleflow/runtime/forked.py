"""A child that user code forked ends when it returns from that code: only its parent answers the task."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn, TypeVar

from simpleflow.core import interrupts

T = TypeVar("T")


class Interrupted(interrupts.Interruption):
    """Raised inside an activity whose process shall end: ``finally`` blocks get their chance, ``except Exception``
    does not swallow it."""


def in_parent(function: Callable[[], T]) -> T:
    """Return what user code returns or raise what it raises, in the process that called it. A forked child ends."""
    pid = os.getpid()
    try:
        result = function()
    except BaseException as error:
        if os.getpid() != pid:
            end(error)
        raise
    if os.getpid() != pid:
        end(None)
    return result


def end(error: BaseException | None) -> NoReturn:
    """End this process as a program of its own would end that did the same, but leave its parent's things alone.

    ``sys.exit`` keeps its status, an exception is 1 with its traceback on stderr. What the parent registered to run
    at its end does not run.
    """
    status = 1
    try:
        status = _status(error)
        flush()
        if isinstance(error, Interrupted):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os._exit(status)


def _status(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, Interrupted):
        return 1
    if not isinstance(error, SystemExit):
        traceback.print_exception(error)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def flush() -> None:
    """Flush Python's output buffers: a forked child would write their copy once more."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # replaced, full or closed by user code
            stream.flush()
