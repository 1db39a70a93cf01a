"""Callables that tests run in a Python of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

from simpleflow import activity, execute


@execute.python()
def add(a: int, b: int = 1) -> int:
    sys.stdout.write("not the result")
    return a + b


@execute.python()
class Joined:
    context: Any = None

    def __init__(self, *words: str) -> None:
        self.words = words

    def execute(self) -> str:
        return f"{'+'.join(self.words)} of {(self.context or {}).get('activity_id')}"


@activity.with_attributes()
@execute.python()
def size(text: str) -> int:
    return len(text)


@execute.python()
def ends_at_once() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@execute.python()
def refuses(name: str) -> None:
    raise LookupError(f"no {name}")


@execute.python(timeout=0.5)
def hangs() -> None:
    import threading

    threading.Event().wait()


@execute.python(kill_children=True)
def leaves_a_child() -> int:
    return subprocess.Popen(["sleep", "600"]).pid


@execute.program(path="sh")
def shell(*words: str, c: str = "") -> None: ...


@execute.program()
def echo(*words: str, **options: str) -> None: ...
