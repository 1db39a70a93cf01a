"""Activities that the worker tests run; runners import them by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn


def add(a: int, b: int) -> int:
    return a + b


def write(path: str) -> None:
    Path(path).write_text("")


def wait_for(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.01)
    return path


def fail(message: str) -> NoReturn:
    raise ValueError(message)


def leave() -> NoReturn:
    sys.exit(3)


def own_pid() -> int:
    return os.getpid()


def die(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(30)


def unserialisable() -> object:
    return object()


def long_text(size: int) -> str:
    return "x" * size


def sleep_with_child(folder: str) -> None:
    """Leave own pid and a child's, then sleep; the child ignores SIGTERM."""
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code])
    Path(folder, "pids.tmp").write_text(f"{os.getpid()} {child.pid}")
    Path(folder, "pids.tmp").rename(Path(folder, "pids"))
    try:
        time.sleep(60)
    finally:
        Path(folder, "cleaned").write_text("")


def stubborn(folder: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(folder, "pids").write_text(f"{os.getpid()}")
    time.sleep(60)


class Sum:
    """A class activity."""

    context: dict[str, Any]

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def execute(self) -> list[Any]:
        return [sum(self.numbers), self.context["activity_id"]]

    def post_execute(self) -> None:
        posted.append(self.numbers)


posted: list[Any] = []


def with_context(context: dict[str, Any]) -> str:
    return str(context["workflow_id"])


with_context.add_context_in_kwargs = True  # type: ignore[attr-defined]  # 0.36's way to ask for it


def reads_context() -> str:
    return str(reads_context.context["run_id"])  # type: ignore[attr-defined]  # set by the worker


seen: list[Any] = []


def pre(context: dict[str, Any]) -> None:
    seen.append(("pre", context["name"]))


def post(context: dict[str, Any], result: Any = None, exception: BaseException | None = None) -> None:
    seen.append(("post", result, type(exception).__name__))


def post_result_only(context: dict[str, Any], result: Any) -> None:
    seen.append(("post_result_only", result))
