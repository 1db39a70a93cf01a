"""A server process of this checkout on a free loopback port, for tests that look at it from outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[4]
_ANSWERS = 30.0


class ServerProcess:
    """One ``simpleflow server.start``; made, it answers. ``kill`` is SIGKILL, ``stop`` lets it end in order."""

    def __init__(self, *options: str, database: str = ":memory:", port: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="swf-"))
        environment = {
            **os.environ,
            "SIMPLEFLOW_RUNTIME_DIR": str(self.folder),
            "SIMPLEFLOW_DATA_DIR": str(self.folder),
            "PYTHONPATH": str(_ROOT),
        }
        self._log = open(self.folder / "log", "ab")  # noqa: SIM115  closed in _end
        arguments = ["server.start", "--port", str(port), "--db", database, *options]
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "simpleflow.cli.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            cwd=self.folder,
        )
        self.pid = self._process.pid
        self.url = self._read_url()

    def _read_url(self) -> str:
        assert self._process.stdout is not None
        limit = time.monotonic() + _ANSWERS
        while time.monotonic() < limit:
            line = self._process.stdout.readline().decode()
            if line.startswith("export AWS_ENDPOINT_URL_SWF="):
                return line.strip().partition("=")[2]
            if not line:
                break
        self.kill()
        raise AssertionError(f"the server did not start: {self.log()}")

    def log(self) -> str:
        """What the server wrote to stderr."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it by SIGKILL, as a power cut of this process would."""
        self._process.kill()
        self._end()

    def stop(self) -> int:
        """End it in order; return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        return self._end()

    def _end(self) -> int:
        code = self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code


@contextlib.contextmanager
def running(*options: str, database: str = ":memory:") -> Iterator[ServerProcess]:
    """Lend a server process; it is stopped afterwards."""
    made = ServerProcess(*options, database=database)
    try:
        yield made
    finally:
        made.stop()
