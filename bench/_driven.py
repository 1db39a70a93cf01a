"""Peers that ``tasks.py`` asks through a client of theirs: Temporal for local activities, celery and huey as queues.

A client is a script in ``peers/`` that runs under the peer's Python. It answers each line with seconds.
"""

from __future__ import annotations

import functools
import os
import select
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _engines
import _swf_servers
import peers

from simpleflow.process import tether


class Missing(FileNotFoundError):
    """The peer cannot be had here; the message says why."""


class _Asked:
    """A peer's client, and the processes that it needs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._others: list[subprocess.Popen[bytes]] = []
        self._client: subprocess.Popen[str]

    def _spawn(self, name: str, command: Sequence[str], env: dict[str, str]) -> None:
        self._others.append(_engines.spawn(self._folder, name, command, env))

    def _ask_with(self, command: Sequence[str], env: dict[str, str]) -> None:
        with (self._folder / "client.log").open("ab") as log:
            self._client = subprocess.Popen(
                tether.command(*command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **env},
            )
        self._said()

    def _ask(self, words: str) -> float:
        assert self._client.stdin is not None
        print(words, file=self._client.stdin, flush=True)
        return float(self._said())

    def _said(self) -> str:
        assert self._client.stdout is not None
        ready, _, _ = select.select([self._client.stdout], [], [], _engines.LIMIT)
        said = self._client.stdout.readline() if ready else ""
        if not said:
            shown = "\n".join(log.read_text()[-1000:] for log in self._folder.glob("*.log"))
            raise SystemExit(f"{type(self).__name__} gave no answer within {_engines.LIMIT:.0f} s, or ended: {shown}")
        return said

    def cpu(self) -> dict[str, float]:
        """CPU seconds of all its processes so far."""
        pids = [self._client.pid, *(process.pid for process in self._others)]
        return {"all": _engines.seconds_of([each for pid in pids for each in (pid, *_engines.below(pid))])}

    def stop(self) -> None:
        processes: list[subprocess.Popen[Any]] = [self._client, *self._others]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


def _python(peer: str) -> Path:
    found = peers.python_of(peer)
    if found is None:
        raise Missing(f"{peer} cannot be installed here")
    return found


class Temporal(_Asked):
    """Temporal's dev server on a database of its own, and a worker with their Python SDK."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        python, server = _python("temporal"), _python("temporal-server").with_name("temporal")
        port = _swf_servers.free_port()
        command = [str(server), "server", "start-dev", "--headless", "--port", str(port), "--log-level", "error"]
        database = ["--db-filename", str(folder / "temporal.db"), "--sqlite-pragma", "journal_mode=WAL"]
        self._spawn("temporal-server", [*command, *database], {})
        _engines.await_("Temporal", functools.partial(_answers, port))
        self._ask_with([str(python), str(peers.HERE / "temporal_flows.py"), str(port)], {})

    def local(self, count: int) -> float:
        """Seconds of a chain of local activities."""
        return self._ask(str(count))


class Celery(_Asked):
    """celery with redis, which does not sync each task to the disk."""

    def __init__(self, folder: Path, slots: int) -> None:
        super().__init__(folder)
        python, redis = _python("celery"), shutil.which("redis-server")
        if redis is None:
            raise Missing("celery needs redis-server, which is not on PATH: apt-get install redis-server")
        port = _swf_servers.free_port()
        env = {"REDIS_PORT": str(port), "PYTHONPATH": str(peers.HERE)}
        self._spawn("redis", [redis, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], {})
        _engines.await_("redis", functools.partial(_answers, port))
        worker = [str(python), "-m", "celery", "-A", "celery_flows", "worker", "-c", str(slots), "-l", "error"]
        self._spawn("celery", worker, env)
        self._ask_with([str(python), str(peers.HERE / "celery_flows.py")], env)

    def fan(self, count: int) -> float:
        return self._ask(f"fan {count}")

    def first(self) -> float:
        return self._ask("first 1")


class Huey(_Asked):
    """huey on SQLite, synced for each write."""

    def __init__(self, folder: Path, slots: int) -> None:
        super().__init__(folder)
        python = _python("huey")
        env = {"HUEY_FILE": str(folder / "huey.db"), "PYTHONPATH": str(peers.HERE)}
        consumer = [str(python), str(python.with_name("huey_consumer.py")), "huey_flows.queue", "-k", "process"]
        self._spawn("huey", [*consumer, "-w", str(slots), "-q"], env)
        self._ask_with([str(python), "-c", "import huey_flows; huey_flows.main()"], env)

    def fan(self, count: int) -> float:
        self._ask("10")  # an idle consumer sleeps for up to 10 s
        return self._ask(str(count))


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
