"""Activities that make processes of their own, or break what their runner needs; runners import them by name."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from simpleflow.core import attempt


def _reap(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def child_returns() -> Any:
    pid = os.fork()
    return ["parent", _reap(pid)] if pid else "child"


def child_exits() -> Any:
    pid = os.fork()
    if not pid:
        sys.exit(7)
    return ["parent", _reap(pid)]


def child_raises() -> Any:
    pid = os.fork()
    if not pid:
        raise ValueError("in the child")
    return ["parent", _reap(pid)]


def child_is_interrupted() -> Any:
    pid = os.fork()
    if not pid:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    return ["parent", _reap(pid)]


def grandchild_returns() -> Any:
    pid = os.fork()
    if pid:
        return ["parent", _reap(pid)]
    if pid := os.fork():
        os._exit(_reap(pid))
    os.setsid()
    return "grandchild"


def child_of_c_returns() -> Any:
    """C code forks without a word to Python: the child inherits all descriptors."""
    pid = ctypes.CDLL(None).fork()
    return ["parent", _reap(pid)] if pid else "child"


def child_of_a_thread_returns() -> Any:
    found: list[Any] = []

    def fork() -> None:
        pid = os.fork()
        if pid:
            found.append(_reap(pid))

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    return ["parent", *found]


def children_of_multiprocessing() -> Any:
    statuses = []
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=attempt.heartbeat, args=("from a child",))
        child.start()
        child.join()
        statuses.append(child.exitcode)
    return ["parent", *statuses]


def descriptors_of_programs() -> Any:
    """What a program sees that is started without close_fds, as os.posix_spawn, os.system and os.exec do."""
    code = "import os, stat\nfor n in os.listdir('/proc/self/fd'):\n"
    code += "  try: found = stat.S_ISSOCK(os.stat('/proc/self/fd/' + n).st_mode)\n  except OSError: continue\n"
    code += "  if found: os._exit(9)\n"
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    ways = [_reap(pid), os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code])]
    ways.append(subprocess.run([sys.executable, "-c", code], close_fds=False, check=False).returncode)
    names = [name for name in os.environ if name in ("SIMPLEFLOW_LIFELINE_FD", "SIMPLEFLOW_STATUS_SOCKET")]
    return [*ways, *names]


def closes_low_descriptors() -> str:
    os.closerange(3, 256)
    return "closed"


def closes_all_descriptors() -> str:
    os.closerange(3, 1 << 20)
    return "closed"


def writes_to_the_runners_descriptor() -> None:
    for name in os.listdir("/proc/self/fd"):
        if Path(f"/proc/self/fd/{name}").is_socket():
            os.write(int(name), b"GET / HTTP/1.1\r\n\r\n")
    time.sleep(60)


def replaces_itself() -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)"])


def daemonises(folder: str) -> str:
    """As a classic daemon does: the parent ends, the child goes on in a session of its own."""
    if os.fork():
        os._exit(0)
    os.setsid()
    Path(folder, "pids").write_text(f"{os.getpid()}")
    if Path(folder, "returns").exists():
        return "child"
    time.sleep(60)
    return "late"


def dies_and_leaves_a_holder(folder: str, number: int) -> None:
    """Its child, made by C code, holds every descriptor of the runner; the runner is killed."""
    if not ctypes.CDLL(None).fork():
        os.setsid()
        time.sleep(60)
        os._exit(0)
    Path(folder, "died").write_text("")
    os.kill(os.getpid(), number)
    time.sleep(60)


def leaves_a_detached_process(folder: str) -> None:
    """Forks twice into a session of its own, which ignores SIGTERM; then waits."""
    if pid := os.fork():
        _reap(pid)
        while not Path(folder, "pids").exists():
            time.sleep(0.01)
        time.sleep(60)
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(folder, "pids.tmp").write_text(f"{os.getpid()}")
    Path(folder, "pids.tmp").rename(Path(folder, "pids"))
    time.sleep(60)
    os._exit(0)
