"""Activities that the worker tests run; runners import them by name."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import contextvars
import decimal
import fcntl
import io
import locale
import logging
import logging.config
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

from simpleflow import activity


def add(a: int, b: int) -> int:
    return a + b


def write(path: str) -> None:
    Path(path).write_text("")


def count_run(path: str) -> None:
    """Count in a file how often it ran."""
    file = Path(path)
    file.write_text(str(int(file.read_text() if file.exists() else "0") + 1))


def wait_for(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.01)
    return path


@activity.with_attributes(start_to_close_timeout=1)
def limited(folder: str) -> str:
    sleep_with_child(folder)
    return "late"


@activity.with_attributes(start_to_close_timeout=1)
def limited_wait(path: str) -> str:
    return wait_for(path)


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
    try:
        Path(folder, "pids.tmp").rename(Path(folder, "pids"))
        time.sleep(60)
    finally:
        Path(folder, "cleaned").write_text("")


def reports_and(how: str) -> Any:
    """Report progress, also from a thread, then end in some way."""
    before = activity.last_heartbeat()
    reporter = threading.Thread(target=activity.heartbeat, args=({"line": 7},))
    reporter.start()
    reporter.join()
    if how == "fail":
        raise ValueError(how)
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return [before, reports_and.context.last_heartbeat]  # type: ignore[attr-defined]  # set by the worker


def left_open(path: str) -> NoReturn:
    Path(path).write_text(activity.task_token())
    activity.complete_later()


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


def changes_everything(folder: str) -> None:
    """What a process can change and a runner can put back."""
    os.chdir(folder)
    os.rmdir(folder)
    os.umask(0o777)
    os.environ["LEFT"] = "x"
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    del os.environ["KEPT"]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    signal.setitimer(signal.ITIMER_REAL, 3600)
    locale.setlocale(locale.LC_ALL, "C.UTF-8")
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    socket.setdefaulttimeout(1.5)
    decimal.getcontext().prec = 3
    sys.path.insert(0, "/left")
    sys.argv.append("left")
    sys.stdout = io.StringIO()
    sys.setrecursionlimit(5000)
    warnings.simplefilter("error")
    logging.root.setLevel(logging.DEBUG)
    logging.disable(logging.ERROR)
    tempfile.tempdir = "/left"
    random.seed(1)
    variable.set("left")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def shows_everything() -> list[Any]:
    mask = os.umask(0)
    os.umask(mask)
    return [
        os.getpid(),
        os.getcwd(),
        mask,
        sorted(name for name in os.environ if name in ("LEFT", "KEPT", "TZ")),
        list(time.tzname),
        [str(signal.getsignal(number)).split(" at ")[0] for number in (signal.SIGTERM, signal.SIGUSR2)],
        sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        signal.getitimer(signal.ITIMER_REAL)[0],
        locale.setlocale(locale.LC_ALL),
        resource.getrlimit(resource.RLIMIT_STACK),
        socket.getdefaulttimeout(),
        decimal.getcontext().prec,
        "/left" in sys.path,
        "left" in sys.argv,
        sys.stdout.name,
        sys.getrecursionlimit(),
        ["error", None] in [list(each[:2]) for each in warnings.filters],
        logging.root.level,
        logging.root.manager.disable,
        tempfile.tempdir,
        variable.get(),
        sorted(os.sched_getaffinity(0)),
    ]


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")


def draws() -> list[float]:
    random.seed(1)
    return [random.random()]


def draws_again() -> list[float]:
    return [random.random()]


def _reports() -> None:
    while True:
        activity.heartbeat("still here")
        time.sleep(0.001)


def leaves(what: str) -> int:
    """What a runner cannot put back: the next task must get another process."""
    if what == "thread":
        threading.Thread(target=time.sleep, args=(60,), name="left", daemon=True).start()
    elif what == "reporting thread":
        threading.Thread(target=_reports, name="reports", daemon=True).start()
    elif what == "process":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    elif what == "detached process":
        detached = "import os, time; os.setsid() if not os.fork() else os._exit(0); time.sleep(60)"
        subprocess.run([sys.executable, "-c", detached], check=True)
    elif what == "loop":
        asyncio.set_event_loop(asyncio.new_event_loop())
    elif what == "descriptor":
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    elif what == "many files":
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(600))
    elif what == "bare thread":
        running = threading.Event()
        _thread.start_new_thread(lambda: running.set() or time.sleep(60), ())
        running.wait(60)
    elif what in ("flock", "lockf"):
        opened.append(os.open("locked", os.O_CREAT | os.O_RDWR))
        getattr(fcntl, what)(opened[-1], fcntl.LOCK_EX)
    elif what == "listening socket":
        listening.append(socket.create_server(("127.0.0.1", 0)))
    elif what == "one file":
        opened.append(os.open(os.devnull, os.O_RDONLY))
    elif what == "user":
        os.setgroups([*os.getgroups(), 54321])
    return os.getpid()


class DeafStream:
    """Something in the place of a standard stream."""

    def write(self, said: str) -> None: ...

    def flush(self) -> None:
        raise RuntimeError("deaf")


opened: list[int] = []
listening: list[socket.socket] = []


def leaves_unreadable(what: str) -> int:
    """What cannot even be looked at when the task is over."""
    if what == "open files":
        with contextlib.suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
    elif what == "argv":
        sys.argv = None  # type: ignore[assignment]
    elif what == "stream":
        sys.stdout = DeafStream()  # type: ignore[assignment]
    elif what == "filters":
        warnings.filters = None  # type: ignore[assignment]
    elif what == "seed":
        random.seed = None  # type: ignore[assignment]
    return os.getpid()


def leaves_a_zombie() -> int:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return os.getpid()


def speaks(number: int) -> None:
    print(f"printed {number}")
    print(f"complained {number}", file=sys.stderr)
    subprocess.run([sys.executable, "-c", f"print('program {number}'); print('\\x1b[31mred')"], check=True)
    os.write(1, b"written without an end")


def speaks_and_dies() -> None:
    print("last words")
    os.write(2, b"cut o")
    os.kill(os.getpid(), signal.SIGKILL)


def speaks_much() -> int:
    for number in range(20_000):
        print(f"line {number} of many")
    return os.getpid()


def fills_memory(mib: int) -> int:
    """In a program of its own: the runner itself stays small."""
    code = f"import time; held = bytearray({mib} << 20); time.sleep(60)"
    return subprocess.run([sys.executable, "-c", code], check=True).returncode


def tidy(folder: str, *_: Any) -> None:
    Path(folder, "tidied").write_text(f"{os.getpid()}")


@activity.with_attributes(cleanup=tidy)
def dies_untidily(folder: str, number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


@activity.with_attributes(cleanup=tidy)
def hangs_untidily(folder: str) -> None:
    stubborn(folder)


@activity.with_attributes(cleanup=tidy)
def returns_tidily(folder: str) -> str:
    return "done"


def fail_to_tidy(folder: str) -> None:
    raise ValueError("cannot tidy")


@activity.with_attributes(cleanup=fail_to_tidy)
def hangs_and_stays_untidy(folder: str) -> None:
    stubborn(folder)


@activity.with_attributes(survives_close=True)
def runs_on(folder: str) -> str:
    Path(folder, "pids").write_text("")
    wait_for(str(Path(folder, "go")))
    Path(folder, "ended").write_text("")
    return "unheard"


def my_tool(word: str) -> str:
    return subprocess.check_output(["my-tool", word], text=True)
