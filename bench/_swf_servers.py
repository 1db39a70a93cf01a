"""The servers that ``service.py`` compares, each a process of its own on a loopback port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from simpleflow.process import tether

HERE = Path(__file__).resolve()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


class Server:
    """A server process that answers; ``stop`` ends it."""

    def __init__(self, command: Sequence[str], port: int, folder: Path) -> None:
        self.port = port
        self.where = ("127.0.0.1", port)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SWF_", "SIMPLEFLOW_"))}
        # A socket's path must be short, whatever the folder.
        self._run = tempfile.TemporaryDirectory(prefix="swf-")
        self._log = (folder / f"server-{port}.log").open("wb")
        began = time.perf_counter()
        self._process = subprocess.Popen(
            tether.command(*command),  # it ends with the benchmark, however that ends
            env={**kept, "SIMPLEFLOW_RUNTIME_DIR": self._run.name, "SIMPLEFLOW_DATA_DIR": str(folder)},
            stdout=self._log,
            stderr=self._log,
        )
        self._seen = psutil.Process(self._process.pid)
        limit = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(self.where).close()
                break
            except OSError:
                if self._process.poll() is not None or time.monotonic() > limit:
                    raise SystemExit(f"{' '.join(command)} did not start: {self._log.name} says why") from None
                time.sleep(0.01)
        #: seconds from its start until it listens
        self.start_seconds = time.perf_counter() - began

    def cpu(self) -> float:
        """CPU seconds so far."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> float:
        """Resident megabytes."""
        return float(self._seen.memory_info().rss) / 1e6

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._run.cleanup()


def ours(folder: Path, *, database: str, synchronous: str = "full") -> Server:
    """The embedded service; ``database`` is a file's name in the folder, or ``:memory:``."""
    port = free_port()
    place = database if database == ":memory:" else str(folder / database)
    command = [sys.executable, "-m", "simpleflow.cli.main", "server.start", "--port", str(port)]
    return Server([*command, "--db", place, "--synchronous", synchronous], port, folder)


def moto(folder: Path) -> Server:
    port = free_port()
    return Server([sys.executable, "-m", "moto.server", "-p", str(port)], port, folder)


def raw(folder: Path) -> Server:
    """uvicorn with an application that decodes and answers a minimal JSON POST."""
    port = free_port()
    return Server([sys.executable, str(HERE), str(port)], port, folder)


async def minimal(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
    """The least that an ASGI application can do with a JSON POST."""
    import msgspec

    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message.get("more_body"):
            break
    request = msgspec.json.decode(body)
    answer = msgspec.json.encode({"taskToken": "token", "startedEventId": len(request)})
    headers = [(b"content-type", b"application/x-amz-json-1.0"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        minimal,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
    )
