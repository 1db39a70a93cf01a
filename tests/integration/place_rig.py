"""An embedded service of its own for each test, and every process that the test starts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from simpleflow.process import tree

ROOT = Path(__file__).resolve().parents[2]


def eventually(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait until a condition holds and return what it returned; fails the test when it does not in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)
    return found


class Place:
    """``simpleflow`` as a stranger runs it: nothing configured but where this test keeps its socket and database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SWF_", "SIMPLEFLOW_"))}
        self.env = {
            **kept,
            "SIMPLEFLOW_RUNTIME_DIR": str(folder / "run"),
            "SIMPLEFLOW_DATA_DIR": str(folder / "data"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def run(self, *argv: str | bytes, timeout: float = 300.0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "simpleflow", *argv],
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            env={**self.env, **env},
            cwd=self.folder,
        )

    def ok(self, *argv: str, timeout: float = 300.0) -> str:
        """Run one command that must succeed; return its output without the last newline."""
        ended = self.run(*argv, timeout=timeout)
        assert ended.returncode == 0, (
            f"{argv} exited with {ended.returncode}\n{ended.stdout}\n{ended.stderr}\n{self.logs()}"
        )
        return ended.stdout.rstrip("\n")

    def sfnodes(self, *argv: str) -> None:
        """Run one command of ``sfnodes`` that must succeed."""
        command = [sys.executable, "-m", "simpleflow.cli.sfnodes", *argv]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env=self.env, cwd=self.folder)
        assert ended.returncode == 0, f"{argv}: {ended.stdout}\n{ended.stderr}\n{self.logs()}"

    def spawn(self, *argv: str) -> subprocess.Popen[bytes]:
        """Start a command and leave it running until the test ends; its output goes to a file."""
        name = self.folder / f"log-{len(self._started)}-{argv[0]}"
        with open(name, "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "simpleflow", *argv], stdout=log, stderr=log, env=self.env, cwd=self.folder
            )
        self._started.append(process)
        return process

    def logs(self) -> str:
        """What the running commands said, the last lines of each."""
        files = [*self.folder.glob("log-*"), *self.folder.glob("run/*.log"), *self.folder.glob("data/*.log")]
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(files))

    def processes(self) -> list[psutil.Process]:
        """Every living process that works with this place's socket."""
        return [found for found in psutil.process_iter() if self._mine(found)]

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._started:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(60)
        self._stop_server()
        left = self.processes()
        for found in left:
            found.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not left, f"processes were left behind: {left}"

    def _stop_server(self) -> None:
        """Do as server.stop does, without a process of its own."""
        for server in self._servers():
            with contextlib.suppress(psutil.Error):
                server.terminate()
        eventually(lambda: not self._servers())

    def _servers(self) -> list[psutil.Process]:
        found = []
        for each in self.processes():
            with contextlib.suppress(psutil.Error):
                if "server.start" in each.cmdline():
                    found.append(each)
        return found

    def _mine(self, process: psutil.Process) -> bool:
        try:
            mine = process.environ().get("SIMPLEFLOW_RUNTIME_DIR") == self.env["SIMPLEFLOW_RUNTIME_DIR"]
            return mine and tree.lives(process)
        except psutil.Error:
            return False
