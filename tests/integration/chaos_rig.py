"""Processes, a network and disks that fail, and what must hold all the same."""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import signal
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chaos_flows
import odd_proxy
import psutil
from place_rig import Place, eventually

from simpleflow.client import Client, executions

_RESET = struct.pack("ii", 1, 0)
#: seconds of one jump of a clock
_JUMP = 600


class Cuts:
    """A TCP proxy whose network fails as ``mode`` says: drop, delay, reset, garbage; '' lets everything pass.

    ``drop`` holds what is sent until the mode changes, then resets the connections that it held, as a NAT does that
    forgot them.
    """

    def __init__(self, port: int) -> None:
        self.mode = ""
        self._port = port
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._pass, args=(client,), daemon=True)
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
            thread.start()

    def _pass(self, client: socket.socket) -> None:
        held = False
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port)) as service,
            selectors.DefaultSelector() as ready,
        ):
            for each in (client, service):
                ready.register(each, selectors.EVENT_READ)
            while not self._closed:
                found = [key.fileobj for key, _ in ready.select(0.05)]
                if self.mode == "drop":
                    held = held or bool(found)
                    time.sleep(0.05)
                    continue
                if held or self.mode == "reset":
                    for each in (client, service):
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    return
                if not all(self._moved(source, client, service) for source in found):
                    return

    def _moved(self, source: Any, client: socket.socket, service: socket.socket) -> bool:
        """Pass on what one side sent; False at the end of the connection."""
        data = source.recv(1 << 16)
        if not data:
            return False
        if self.mode == "delay":
            time.sleep(0.1)
        if self.mode == "garbage" and source is service:
            client.sendall(os.urandom(len(data)))
            return False
        (service if source is client else client).sendall(data)
        return True


class Rig:
    """An embedded service behind a bad network, a decider and workers, and runs of every shape."""

    def __init__(self, place: Place, *, workers: int, slots: int, env: dict[str, str] | None = None) -> None:
        self.place = place
        self.random = random.Random(7)
        self._env = env or {}
        self._slots = slots
        #: seconds that the service's clock has jumped
        self._ahead = 0
        place.env["SIMPLEFLOW_JUMBO_FIELDS_BUCKET"] = f"file://{place.folder}/values"
        place.ok("server.start", "--detach")
        self.service = f"{place.folder}/run/swf.sock"
        self.odd = odd_proxy.OddProxy(self.service, share=0.002)
        self.cuts = Cuts(int(self.odd.url.rpartition(":")[2]))
        self.decider = self._start("decider.start", "-t", "decisions")
        self.workers = [self._worker() for _ in range(workers)]
        self.runs: list[tuple[type[chaos_flows.Shape], int, executions.Run]] = []
        self.started = 0
        self.done: Counter[str] = Counter()
        (place.folder / "effects").touch()

    def _start(self, *argv: str) -> subprocess.Popen[bytes]:
        before = dict(self.place.env)
        self.place.env.update(self._env)
        try:
            return self.place.spawn(*argv, "--endpoint-url", self.cuts.url)
        finally:
            self.place.env = before

    def _worker(self) -> subprocess.Popen[bytes]:
        return self._start("worker.start", "-t", "work", "-N", str(self._slots))

    def close(self) -> None:
        for process in (self.decider, *self.workers):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        self.cuts.mode = ""
        for process in (self.decider, *self.workers):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        self.cuts.close()
        self.odd.close()

    @contextlib.contextmanager
    def near(self) -> Iterator[Client]:
        """A client whose network is good."""
        with Client(endpoint_url=f"unix://{self.service}") as client:
            yield client

    # -- work

    def start(self, client: Client, count: int) -> None:
        """Start so many runs, shape after shape."""
        for _ in range(count):
            number, self.started = self.started, self.started + 1
            shape = chaos_flows.SHAPES[number % len(chaos_flows.SHAPES)]
            run = client.start(shape, number, str(self.place.folder))
            self.runs.append((shape, number, run))
            if shape is chaos_flows.Signalled:
                client.signal(run, "go", number)

    def goes_on(self) -> None:
        """Wait until another activity has run."""
        effects = self.place.folder / "effects"
        before = effects.stat().st_size
        eventually(lambda: effects.stat().st_size > before)

    def check(self, client: Client, *, timeout: float) -> None:
        """Every run ends with its result; every effect is there."""
        deadline = time.monotonic() + timeout
        wrong = []
        for shape, number, run in self.runs:
            result = client.result(run, timeout=max(1.0, deadline - time.monotonic()))
            if result != shape.expected(number):
                wrong.append((shape.name, number, result))
        assert not wrong, wrong[:5]
        ran = Counter((self.place.folder / "effects").read_text().split())
        wanted = {key for shape, number, _ in self.runs for key in shape.keys(number)}
        assert wanted <= set(ran), sorted(wanted - set(ran))[:5]

    # -- what goes wrong

    def deciders(self) -> list[psutil.Process]:
        """The supervised decider processes."""
        return _children(self.decider.pid)

    def runners(self) -> list[psutil.Process]:
        return [runner for worker in self.workers if worker.poll() is None for runner in _children(worker.pid)]

    def kill_runner(self) -> None:
        _kill(self._any(self.runners))

    def kill_decider(self) -> None:
        _kill(self._any(self.deciders))

    def kill_worker(self) -> None:
        """A whole worker; who runs it starts another one."""
        place = self.random.randrange(len(self.workers))
        self.workers[place].kill()
        self.workers[place].wait(30)
        self.workers[place] = self._worker()

    def services(self) -> list[psutil.Process]:
        found = []
        for process in self.place.processes():
            with contextlib.suppress(psutil.Error):
                if "server.start" in process.cmdline():
                    found.append(process)
        return found

    def kill_service(self, *faults: str) -> None:
        """It starts again; ``faults`` happen to it then."""
        for found in self.services():
            with contextlib.suppress(psutil.Error):
                found.kill()
                found.wait(30)
        # Its clock stays ahead: one that goes back holds up timers for as long.
        wanted = [*faults, f"clock-jump:{self._ahead}"]
        options = [word for fault in wanted for word in ("--fault", fault)]
        eventually(lambda: self.place.run("server.start", "--detach", *options).returncode == 0)

    def fill_disk(self) -> None:
        """The service finds its disk full for a while."""
        self.kill_service("full-disk:5")

    def jump(self) -> None:
        """The service's clock jumps by more than any task has."""
        self.kill_service(f"clock-jump:{_JUMP}:0.5")
        self._ahead += _JUMP

    def service_answers(self) -> bool:
        return self.place.run("workflow.list").returncode == 0

    def stop_somebody(self, seconds: float = 0.4) -> None:
        """SIGSTOP, as a machine that swaps or sleeps."""
        workers = {worker.pid for worker in self.workers}
        found = self._any(
            lambda: [
                *self.deciders(),
                *self.runners(),
                *self.services(),
                *(process for process in psutil.process_iter() if process.pid in workers),
            ]
        )
        with contextlib.suppress(psutil.Error):
            found.suspend()
            time.sleep(seconds)
            found.resume()

    def cut(self, mode: str, seconds: float = 0.4) -> None:
        self.cuts.mode = mode
        time.sleep(seconds)
        self.cuts.mode = ""

    def storm(self, seconds: float = 0.4) -> None:
        """Nearly every call is answered by a fault, throttling among them."""
        before, self.odd.share = self.odd.share, 0.06
        time.sleep(seconds)
        self.odd.share = before

    def _any(self, found: Callable[[], list[psutil.Process]]) -> psutil.Process:
        """One of those that live, once there are some."""
        return self.random.choice(eventually(found))

    def trouble(self, name: str) -> None:
        """One of: drop, delay, reset, garbage, storm, stop, disk, clock, and what is killed."""
        self.done[name] += 1
        if name in ("drop", "delay", "reset", "garbage"):
            self.cut(name)
        elif name == "storm":
            self.storm()
        elif name == "stop":
            self.stop_somebody()
        elif name == "disk":
            self.fill_disk()
        elif name == "clock":
            self.jump()
        else:
            getattr(self, f"kill_{name}")()

    # -- what must not grow

    def held(self) -> dict[str, tuple[int, int]]:
        """Open files and MiB of the decider, the workers and the service."""
        found = {"decider": self.deciders()[0].pid, **{f"worker {n}": w.pid for n, w in enumerate(self.workers)}}
        for process in self.services():
            found["service"] = process.pid
        shown = {}
        for name, pid in found.items():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                shown[name] = (process.num_fds(), process.memory_info().rss >> 20)
        return shown


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def fill(folder: Path, seconds: float) -> None:
    """Leave no space on the disk of a folder for a while."""
    full = folder / "filling"
    with contextlib.suppress(OSError), open(full, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 10, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) and file.tell() < 1 << 30:
                    pass
    time.sleep(seconds)
    full.unlink()
