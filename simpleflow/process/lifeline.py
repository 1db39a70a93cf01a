"""A child notices its parent's death: it holds the reading end of a pipe whose only writer is the parent.

Works for any death of the parent, SIGKILL included, on every POSIX system; nothing has to be sent or polled.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

#: descriptor that a child inherits, in decimal
VARIABLE = "SIMPLEFLOW_LIFELINE_FD"
_watched: list[int] = []


def hand_on() -> None:
    """Leave the lifeline to the program that replaces this one by exec."""
    for descriptor in _watched:
        os.set_inheritable(descriptor, True)
        os.environ[VARIABLE] = str(descriptor)


def watch(on_death: Callable[[], None]) -> bool:
    """Call ``on_death`` on a thread of its own once the parent is gone. False when there is no lifeline to watch."""
    text = os.environ.pop(VARIABLE, "")
    if not text.isdigit():
        return False
    descriptor = int(text)
    _watched.append(descriptor)
    with contextlib.suppress(OSError):
        os.set_inheritable(descriptor, False)

    def read() -> None:
        with contextlib.suppress(OSError):
            while os.read(descriptor, 1):
                pass
        on_death()

    threading.Thread(target=read, name="lifeline", daemon=True).start()
    return True
