"""A cluster file of its own, in folders of its own, with the real commands around it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from simpleflow.core import documents
from simpleflow.nodes import stores
from simpleflow.nodes.cluster import cluster

ROOT = Path(__file__).resolve().parents[3]
#: seconds that a wait may last; only a failing test reaches it
WIDE = 180.0

_COMMON = """\
cluster: trial
preset: local
task_lists:
  light: {profile: small, slots: 2, max: 2}
  heavy: {profile: large, slots: 1, max: 1}
times: {loop: 0.5, metadata: 0.3}
"""
FLOORS = (
    _COMMON
    + """\
profiles:
  small: {billing: {period: 2, minimum: 2, price: 0.05}, min: 1}
  large: {billing: {period: 2, minimum: 2, price: 0.40}, min: 1}
deciders: {min: 1}
"""
)
#: leases and paid periods of seconds; machines end without a manager only when a commitment is over
BRIEF = FLOORS.replace("metadata: 0.3}", "metadata: 0.3, lease: 2, lease_renew: 0.5, commit: 15, look: 0.3}").replace(
    "{period: 2, minimum: 2,", "{period: 1, minimum: 1,"
)
FROM_ZERO = (
    _COMMON
    + """\
profiles:
  small: {billing: {period: 2, minimum: 2, price: 0.05}, idle: 2}
  large: {billing: {period: 2, minimum: 2, price: 0.40}, idle: 2}
deciders: {task_list: report-decisions, workflows: [examples.stdlib_report.workflow.StdlibReport]}
"""
)


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal: it has come as far as setting it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def stopped(pid: int) -> bool:
    """Whether every thread of a process has stopped, or ended."""
    try:
        states = [each.read_text().rpartition(")")[2].split()[0] for each in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return False  # a thread has just ended
    return all(state in "TtZX" for state in states)


class Gate:
    """Tasks that are given its path are held until it is open (``jobs.Held``)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        self.path.touch()


class Rig:
    """One cluster, nothing up yet."""

    def __init__(self, folder: Path, text: str) -> None:
        self.file = folder / "cluster.yaml"
        self.file.write_text(text)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SWF_", "SIMPLEFLOW_"))}
        self.environment = {
            **clean,
            "SIMPLEFLOW_RUNTIME_DIR": str(folder / "run"),
            "SIMPLEFLOW_DATA_DIR": str(folder / "data"),
            "PYTHONPATH": str(ROOT),
        }
        self.cluster = cluster.load(self.file, self.environment)

    def close(self) -> None:
        """End everything at once; fail when a process is left."""
        self.cluster.take_down(hurry=True, timeout=WIDE)
        left = self.cluster.processes()
        for each in left:
            each.kill()
        assert not left, left

    def command(self, *arguments: str, module: str = "simpleflow.cli.main") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=WIDE,
        )

    def sfnodes(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.command(*arguments, module="simpleflow.cli.sfnodes")

    def working(self) -> int:
        return sum(node.state == "working" for node in self.cluster.status().nodes)

    def ended(self, name: str) -> bool:
        return any(node.node == name and node.ended for node in self.cluster.status().nodes)

    def until(self, what: str, condition: Callable[[], object], seconds: float = WIDE) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > limit:
                pytest.fail(f"not within {seconds} s: {what}\n{self.cluster.status()}\n{self.cluster.logs()}")
            time.sleep(0.1)

    @contextlib.contextmanager
    def paused(self, pid: int) -> Iterator[None]:
        """Stop a process, but not while it holds the lock of the documents: every other process would wait for it."""
        lock = self.cluster.paths.folder / "store" / ".blobs" / "lock"
        while True:
            os.kill(pid, signal.SIGSTOP)
            while not stopped(pid):
                time.sleep(0.001)  # the signal is under way: until then it may take the lock
            with lock.open("ab") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    os.kill(pid, signal.SIGCONT)
                    time.sleep(0.01)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def control(self) -> documents.Control:
        """Return control.json as it is now."""
        got = stores.open_store(self.cluster.paths.store).get(documents.CONTROL_KEY)
        assert got is not None
        return msgspec.json.decode(got[0], type=documents.Control)

    def lease(self) -> documents.Lease:
        lease = self.control().lease
        assert lease is not None
        return lease

    def committed(self, seconds: float) -> None:
        """Wait until every machine is committed for so long: until then it ends only if somebody tells it to."""

        def far() -> bool:
            rows = self.control().rows
            return bool(rows) and min(row.until for row in rows) > time.time() + seconds

        self.until(f"every machine is committed for {seconds} s", far)

    def works(self) -> None:
        """Wait until every machine of the floor works."""
        self.until("both nodes work", lambda: self.working() == 2)
