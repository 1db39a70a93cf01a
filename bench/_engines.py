"""The durable engines that ``tasks.py`` compares: each starts its processes and works what it is told."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import _flows
import _swf_servers
import peers
import psutil

from simpleflow import client as clients
from simpleflow.core import events
from simpleflow.process import tether

HERE = Path(__file__).resolve().parent
#: seconds that anything may take before the benchmark gives up
LIMIT = 120.0
#: clients at a time that start small workflows
CLIENTS = 8


class Stops(Protocol):
    """What is measured, as processes of its own."""

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each kind of process so far."""

    def stop(self) -> None: ...


E = TypeVar("E", bound=Stops)


class Engine(Stops, Protocol):
    """One durable engine with its worker."""

    def fan(self, count: int) -> float:
        """Run a fan-out of no-ops; return its seconds."""

    def chain(self, count: int) -> float:
        """Run no-ops one after another; return their seconds."""

    def many(self, count: int) -> float:
        """Run workflows of three steps, several at a time; return their seconds."""

    def first(self) -> float:
        """Start a workflow of one task; return the seconds until the task began."""


def spawn(folder: Path, name: str, command: Sequence[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that ends with the benchmark; its output goes to a file of that name."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SWF_", "SIMPLEFLOW_"))}
    with (folder / f"{name}.log").open("ab") as log:
        # SIGKILL: a peer's worker that is told to end waits for connections that nobody closes any more.
        tethered = tether.command(*command, number=signal.SIGKILL)
        return subprocess.Popen(tethered, env={**kept, **env}, stdout=log, stderr=log, cwd=folder)


def await_(what: str, ready: Callable[[], object]) -> None:
    limit = time.monotonic() + LIMIT
    while not ready():
        if time.monotonic() > limit:
            raise SystemExit(f"{what} is not ready after {LIMIT:.0f} s")
        time.sleep(0.02)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False


def seconds_of(pids: Sequence[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def seconds_of_children(pid: int) -> float:
    """CPU seconds of the processes below one, those that have ended (recycled runners) included."""
    times = psutil.Process(pid).cpu_times()
    return times.children_user + times.children_system + seconds_of(below(pid))


def below(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def many_at_once(count: int, work: Callable[[int], object]) -> float:
    """Call ``work`` for each number, several at a time; return the seconds that this took."""
    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(count)))
    return time.perf_counter() - begun


class Ours:
    """simpleflow: embedded service with FULL durability, one decider, one worker."""

    def __init__(self, folder: Path, slots: int) -> None:
        self._folder = folder
        # A socket's path must be short, whatever the folder.
        self._run = tempfile.TemporaryDirectory(prefix="swf-")
        self._env = {
            "SIMPLEFLOW_RUNTIME_DIR": self._run.name,
            "SIMPLEFLOW_DATA_DIR": str(folder),
            "PYTHONPATH": str(HERE),
            "SWF_DOMAIN": "bench",
            "LOG_LEVEL": "WARNING",
        }
        self._socket = Path(self._run.name) / "swf.sock"
        self.server = self._serve()
        self.client = clients.Client(domain="bench", endpoint_url=f"unix://{self._socket}")
        names = [f"_flows.{each}" for each in ("Fan", "Chain", "Local", "First", "Noted")]
        where = ["--backend", "embedded"]
        self._decider = self._spawn("decider", "decider.start", "-t", "bench", *where, *names)
        self.worker = self._spawn("worker", "worker.start", "-t", "bench", "-N", str(slots), *where)

    def _spawn(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        return spawn(self._folder, name, [sys.executable, "-m", "simpleflow", *command], self._env)

    def _serve(self) -> subprocess.Popen[bytes]:
        process = self._spawn("server", "server.start", "--db", str(self._folder / "swf.db"), "--synchronous", "full")
        await_("the embedded service", functools.partial(_listens, self._socket))
        return process

    def kill_server(self) -> None:
        """kill -9, and start it again."""
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()
        self.server = self._serve()

    def _work(self, workflow: Any, *args: Any) -> tuple[float, Any]:
        begun = time.time()
        run = self.client.start(workflow, *args)
        result = self.client.result(run, LIMIT)
        info = self.client.describe(run).execution_info
        return info.close_timestamp - begun, result

    def fan(self, count: int) -> float:
        took, result = self._work(_flows.Fan, count)
        assert result == count
        return took

    def chain(self, count: int) -> float:
        took, result = self._work(_flows.Chain, count)
        assert result == count
        return took

    def local(self, count: int) -> float:
        """Seconds of a chain of local activities."""
        took, result = self._work(_flows.Local, count)
        assert result == count
        return took

    def many(self, count: int) -> float:
        begun = time.time()
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            runs = list(pool.map(lambda each: self.client.start(_flows.Chain, 3), range(count)))
        ends = []
        for run in runs:
            assert self.client.result(run, LIMIT) == 3
            ends.append(self.client.describe(run).execution_info.close_timestamp)
        return float(max(ends)) - begun

    def first(self) -> float:
        begun = time.time()
        return float(self.client.result(self.client.start(_flows.First, 1), LIMIT)) - begun

    def begin_noted(self, count: int, path: Path) -> Any:
        """Start a fan-out whose tasks note in a file that they ran."""
        return self.client.start(_flows.Noted, count, str(path))

    def completed(self, run: Any) -> int:
        return sum(isinstance(event, events.ActivityTaskCompleted) for event in self.client.history(run))

    def cpu(self) -> dict[str, float]:
        return {
            "service": seconds_of([self.server.pid]),
            "decider": seconds_of([self._decider.pid, *below(self._decider.pid)]),
            "worker": seconds_of([self.worker.pid]),
            "runners": seconds_of_children(self.worker.pid),
        }

    def worker_memory(self) -> float:
        """Megabytes of the worker and its runners, each page counted once."""
        pids = [self.worker.pid, *below(self.worker.pid)]
        return sum(psutil.Process(pid).memory_full_info().pss for pid in pids) / 1e6

    def stop(self) -> None:
        for process in (self.worker, self._decider, self.server):
            process.terminate()
        for process in (self.worker, self._decider, self.server):
            process.wait(60)
        self.client.close()
        self._run.cleanup()


class Restate:
    """Restate's server, which its makers publish on npm, and one Python worker with their SDK."""

    def __init__(self, folder: Path) -> None:
        python, server = peers.python_of("restate"), peers.restate_server()
        if python is None or server is None:
            raise FileNotFoundError("restate")
        self._folder = folder
        self._ingress, admin, node, worker = (_swf_servers.free_port() for _ in range(4))
        env = {
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{self._ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
            "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_LISTEN_MODE": "tcp",
            "RUST_LOG": "warn",
        }
        self._worker = spawn(
            folder, "restate-worker", [str(python), str(peers.HERE / "restate_flows.py"), str(worker)], {}
        )
        self._server = spawn(
            folder, "restate-server", [str(server), "--no-logo", "--base-dir", str(folder / "restate")], env
        )

        def registered() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                _post(admin, "/deployments", {"uri": f"http://127.0.0.1:{worker}"})
                return True
            return False

        await_("Restate", registered)

        def answers() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return bool(self._call("chain", 1) == 1)
            return False

        await_("Restate's worker", answers)

    def _call(self, handler: str, number: int) -> Any:
        return _post(self._ingress, f"/flows/{handler}", number)

    def _timed(self, handler: str, count: int) -> float:
        begun = time.perf_counter()
        assert self._call(handler, count) == count
        return time.perf_counter() - begun

    def fan(self, count: int) -> float:
        return self._timed("fan", count)

    def chain(self, count: int) -> float:
        return self._timed("chain", count)

    def many(self, count: int) -> float:
        return many_at_once(count, lambda each: self._call("chain", 3))

    def first(self) -> float:
        begun = time.time()
        return float(self._call("first", 1)) - begun

    def cpu(self) -> dict[str, float]:
        return {"service": seconds_of([self._server.pid]), "worker": seconds_of([self._worker.pid])}

    def stop(self) -> None:
        for process in (self._server, self._worker):
            process.kill()  # what it stores is thrown away
            process.wait(60)


def _post(port: int, path: str, body: Any) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise http.client.HTTPException(f"{path}: {answer.status} {said[:200]!r}")
        return json.loads(said)


@contextlib.contextmanager
def opened(make: Callable[[], E]) -> Iterator[E | None]:
    """Give an engine and stop it in the end; None, with the reason said, when it cannot be had here."""
    try:
        engine = make()
    except FileNotFoundError as error:
        if str(error):
            print(error, file=sys.stderr)
        yield None
        return
    try:
        yield engine
    finally:
        engine.stop()


def makers(folder: Path, slots: int) -> dict[str, Callable[[], Engine]]:
    return {"simpleflow": functools.partial(Ours, folder, slots), "Restate": functools.partial(Restate, folder)}
