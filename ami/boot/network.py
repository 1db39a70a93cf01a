"""A network namespace for one machine: loopback only, with the metadata server and the relays inside."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simpleflow.ami import errors, tools

from . import metadata

#: the folder that holds the package, for the interpreter that runs the metadata server
_ROOT = Path(metadata.__file__).resolve().parents[2]


class Network:
    """The namespace of one machine. A context manager; leaving it ends the server and removes the namespace."""

    def __init__(self, state: Path, settings: Mapping[str, Any]) -> None:
        self.name = f"sf-{os.getpid()}-{secrets.token_hex(3)}"
        self.state = state
        self._write(settings)
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Network:
        self._ip("netns", "add", self.name)
        try:
            self._ip("-n", self.name, "link", "set", "lo", "up")
            for address in (metadata.ADDRESS, metadata.HOST):
                self._ip("-n", self.name, "address", "add", f"{address}/32", "dev", "lo")
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            if self._server.stdin is not None:
                self._server.stdin.close()
            self._server = None
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True, env=tools.environment())

    def inside(self, argv: list[str]) -> list[str]:
        """Return the command that runs ``argv`` in the namespace."""
        return ["ip", "netns", "exec", self.name, *argv]

    def tag(self, key: str, value: str = "") -> None:
        """Add a tag to the machine; its metadata shows it at the next look."""
        found = json.loads((self.state / metadata.SETTINGS).read_text(encoding="utf-8"))
        found["tags"][key] = value
        self._write(found)

    def requests(self) -> list[dict[str, Any]]:
        """Return the metadata requests so far, oldest first."""
        path = self.state / metadata.REQUESTS
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def report(self) -> dict[str, Any] | None:
        """Return what the machine posted, None before."""
        path = self.state / metadata.REPORT
        found: dict[str, Any] | None = json.loads(path.read_bytes()) if path.exists() else None
        return found

    def _write(self, settings: Mapping[str, Any]) -> None:
        partial = self.state / f".{metadata.SETTINGS}"
        partial.write_text(json.dumps(settings), encoding="utf-8")
        partial.rename(self.state / metadata.SETTINGS)

    def _ip(self, *arguments: str) -> None:
        done = subprocess.run(["ip", *arguments], check=False, capture_output=True, env=tools.environment())
        if done.returncode:
            raise errors.BootFailed(f"ip {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")

    def _start(self) -> None:
        argv = self.inside([sys.executable, "-m", "simpleflow.ami.boot.metadata", str(self.state)])
        env = {**tools.environment(), "PYTHONPATH": str(_package_parent())}
        with (self.state / "metadata.log").open("wb") as log:
            self._server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env)
        last = time.monotonic() + 30
        while not (self.state / metadata.READY).exists():
            if self._server.poll() is not None or time.monotonic() > last:
                log_text = (self.state / "metadata.log").read_text(encoding="utf-8", errors="replace")
                raise errors.BootFailed(f"the metadata server did not start:\n{log_text[-2000:]}")
            time.sleep(0.05)


def _package_parent() -> Path:
    """Return the folder from which ``simpleflow.ami`` can be imported (a checkout's ami/ lies beside simpleflow/)."""
    return _ROOT if (_ROOT / "simpleflow").is_dir() else _ROOT.parent
