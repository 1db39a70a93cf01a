"""The stage of a rehearsal: the emulated account, the service that plays SWF, machines, a person's commands."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import botocore.config
import botocore.exceptions
import psutil

from simpleflow.core import errors, interpreter
from simpleflow.nodes import config
from simpleflow.process import tether
from simpleflow.testing import cloud as emulated

#: seconds that the service may take to listen
_SERVER_START = 60.0
#: bytes of the longest temporary folder below which sockets fit
_LONGEST = 48


class RehearsalFailed(errors.SimpleflowError):
    """The rehearsal did not show what it was to show; the message says which part."""


class Stage:
    """Everything that a rehearsal starts, and its end. A context manager: leaving it leaves nothing.

    Args:
        source: the cluster file.
        fail_boot: number of the worker machine (from 1) whose boot fails; 0 for none.
    """

    def __init__(self, source: Path, *, fail_boot: int = 0) -> None:
        self._fail_boot = fail_boot
        self._workers = 0
        self._exits = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._children: list[subprocess.Popen[str]] = []
        self.folder = Path()
        self.loaded = config.load(source)
        #: instances whose boot was made to fail
        self.failed_boots: list[str] = []
        self._foreign: set[psutil.Process] = set()
        self._handlers: dict[signal.Signals, Any] = {}

    # --- life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._foreign = set(psutil.Process().children(recursive=True))
        self._on_signals(_interrupt)
        try:
            self.folder = _folder()
            self._exits.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._temporary = self.folder / "tmp"
            self._temporary.mkdir()
            self.port = _free_port()
            self.swf_url = f"http://127.0.0.1:{self.port}"
            self.cloud = self._exits.enter_context(
                emulated.Cloud(
                    region=self.loaded.config.region or "eu-west-1",
                    boot=emulated.ProcessBoot(self._machine, self.folder / "consoles", grace=3.0),
                    timing=emulated.Timing(boot=1.5, list_lag=0.5, shutdown=0.5),
                    swf_endpoint=self.swf_url,
                    swf_metric=self._swf_metric,
                    alarm_period=60.0 / config.REHEARSAL_FACTOR,
                    group_pause=1.5,
                    patience=20.0,
                )
            )
            self._exits.callback(self._end_children)
            self.environment = self.cloud.environment(self._base())
            self.swf = self._swf_client()
            self._start_server()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything that was started; a second Ctrl-C must not stop that."""
        self._on_signals(signal.SIG_IGN)
        try:
            started = self.processes()
            self._exits.close()
            # workers and runners have sessions of their own and end with their agents; none may outlive this
            _, living = psutil.wait_procs(started, timeout=5.0)
            for process in living:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(living, timeout=5.0)
        finally:
            while self._handlers:
                number, before = self._handlers.popitem()
                signal.signal(number, before)

    def _on_signals(self, handler: Any) -> None:
        """Handle what ends a command: a closed terminal, Ctrl-C, a kill. In the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, handler)
            self._handlers.setdefault(number, before)

    def _base(self) -> dict[str, str]:
        # setuptools builds inside the source unless told otherwise; a rehearsal leaves nothing in a checkout
        builds = self.folder / "builds.cfg"
        builds.write_text(f"[build]\nbuild_base = {self.folder}/build\n[egg_info]\negg_base = {self.folder}\n")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SIMPLEFLOW_", "SWF_"))}
        return {
            **kept,
            "SIMPLEFLOW_RUNTIME_DIR": str(self.folder / "run"),
            "SIMPLEFLOW_DATA_DIR": str(self.folder / "data"),
            # what a killed child leaves in its temporary folder goes with this one
            "TMPDIR": str(self._temporary),
            # wheels are built with what is installed: there is no network in a rehearsal
            "PIP_NO_BUILD_ISOLATION": "false",
            "PIP_NO_INDEX": "true",
            "DIST_EXTRA_CONFIG": str(builds),
            "PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH", "")])]),
        }

    def _start_server(self) -> None:
        server = self.start("server", "simpleflow.cli.main", "server", "start", "--port", str(self.port))
        deadline = time.monotonic() + _SERVER_START
        while time.monotonic() < deadline:
            if server.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            time.sleep(0.05)
        raise RehearsalFailed(f"the service that plays SWF did not start:\n{self.log('server')}")

    def _end_children(self) -> None:
        for process in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        for process in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.05, deadline - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    # --- machines -----------------------------------------------------------------------------------------------

    def _machine(self, machine: emulated.Machine) -> emulated.Command:
        root = self.folder / "machines" / machine.instance_id
        root.mkdir(parents=True)
        kept = {k: v for k, v in self._base().items() if k == "TMPDIR" or k.startswith("PYTHON")}
        environment = {**machine.environment, **kept}
        environment |= {
            "SIMPLEFLOW_RUNTIME_DIR": str(root / "run"),
            "SIMPLEFLOW_DATA_DIR": str(root / "data"),
        }
        argv = interpreter.command("simpleflow.testing.rehearsal.machine", str(root))
        if not self._is_decider(machine.instance_id):
            self._workers += 1
            if self._workers == self._fail_boot:
                self.failed_boots.append(machine.instance_id)
                argv = [sys.executable, "-c", _BROKEN]
        return emulated.Command(
            argv=tether.command(*argv, number=signal.SIGKILL), environment=environment, folder=os.getcwd()
        )

    def _is_decider(self, instance_id: str) -> bool:
        return bool(self.cloud.instances.get(instance_id).group)

    def workers(self) -> list[Any]:
        """Every instance so far that is not a decider."""
        return [one for one in self.cloud.instances.all() if not one.group]

    def deciders(self) -> list[Any]:
        """Every instance so far of the decider group."""
        return [one for one in self.cloud.instances.all() if one.group]

    def processes(self) -> list[psutil.Process]:
        """Every living process that this stage started, and theirs."""
        return [one for one in psutil.Process().children(recursive=True) if one not in self._foreign]

    # --- SWF ----------------------------------------------------------------------------------------------------

    def _swf_client(self) -> Any:
        session: Any = self.cloud.session()
        return session.client(
            "swf",
            endpoint_url=self.swf_url,
            config=botocore.config.Config(proxies={}, connect_timeout=2, read_timeout=70),
        )

    def _swf_metric(self, name: str, dimensions: Mapping[str, str]) -> float | None:
        if name != "PendingTasks" or "TaskListName" not in dimensions:
            return None
        try:
            counted = self.swf.count_pending_decision_tasks(
                domain=dimensions["Domain"], taskList={"name": dimensions["TaskListName"]}
            )
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
            return None
        return float(counted["count"])

    # --- commands -----------------------------------------------------------------------------------------------

    def start(self, name: str, module: str, *arguments: str) -> subprocess.Popen[str]:
        """Start one of our commands as a child with the scrubbed environment; its output goes to ``NAME.log``."""
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                tether.command(*interpreter.command(module, *arguments), number=signal.SIGKILL),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        with self._lock:
            self._children.append(process)
        return process

    def run(self, name: str, module: str, *arguments: str, timeout: float = 90.0) -> str:
        """Run one of our commands to its end; returns what it printed. RehearsalFailed when it fails."""
        process = self.start(name, module, *arguments)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise RehearsalFailed(f"{name} took more than {timeout:g} s:\n{self.log(name)}") from error
        if code:
            raise RehearsalFailed(f"{name} ended with status {code}:\n{self.log(name)}")
        return self.log(name)

    def log(self, name: str, lines: int = 40) -> str:
        """The end of a child's output."""
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def until(self, what: str, look: Callable[[], bool], timeout: float) -> float:
        """Wait until something is so; returns the seconds it took, raises RehearsalFailed after ``timeout``."""
        begun = time.monotonic()
        while not look():
            if time.monotonic() - begun > timeout:
                raise RehearsalFailed(f"{what}: not within {timeout:g} s\n{self.consoles()}")
            time.sleep(0.1)
        return time.monotonic() - begun

    def consoles(self, lines: int = 15) -> str:
        """The end of every machine's console, for a failure's message."""
        parts = []
        for one in self.cloud.instances.all():
            tail = "\n".join(self.cloud.instances.console(one).splitlines()[-lines:])
            parts.append(f"--- {one.id} ({one.group or one.type})\n{tail}")
        return "\n".join(parts)


_BROKEN = "print('cloud-init: No space left on device while unpacking'); raise SystemExit(1)"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _folder() -> Path:
    """A new temporary folder. Machines make unix sockets below it, whose paths may have 107 bytes."""
    own = tempfile.gettempdir()
    place = "/tmp" if len(own) > _LONGEST and os.path.isdir("/tmp") else own  # noqa: S108  (mkdtemp makes it safe)
    return Path(tempfile.mkdtemp(prefix="simpleflow-rehearsal-", dir=place))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
