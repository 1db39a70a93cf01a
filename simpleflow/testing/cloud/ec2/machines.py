"""What an instance is made of here: a hook decides how it boots. This module has the hook, and local processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What a booting machine is given: nothing that a real instance would not find by itself."""

    instance_id: str
    instance_type: str
    zone: str
    region: str
    #: base URL of this instance's own metadata service, with a trailing slash
    metadata_endpoint: str
    user_data: bytes
    #: environment that lets its programs reach the emulated account and nothing else
    environment: Mapping[str, str]
    #: 1 for the first instance of the account, and so on: lets a hook fail the third boot
    number: int


class Running(Protocol):
    """A machine that was booted. Thread safe."""

    def stop(self, *, hard: bool = False) -> None:
        """End it; returns at once. ``hard`` kills, otherwise it is asked first."""

    def log(self) -> str:
        """Its console so far."""


class Boot(Protocol):
    """Boots one machine; called when its instance is ``running``, must not block.

    ``exited`` is called once with the exit code when the machine ends by itself: 0 has powered off, anything else
    leaves the instance running with a dead agent.
    """

    def __call__(self, machine: Machine, exited: Callable[[int], None]) -> Running: ...


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A program that stands for a machine."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: str


class ProcessBoot:
    """Boots each instance as one local process, the leader of its own session.

    Args:
        command: what to run for a machine.
        logs: folder of the consoles, one file per instance.
        grace: seconds between TERM and KILL.
    """

    def __init__(self, command: Callable[[Machine], Command], logs: Path, *, grace: float = 5.0) -> None:
        self._command = command
        self._logs = logs
        self._grace = grace

    def __call__(self, machine: Machine, exited: Callable[[int], None]) -> ProcessMachine:
        command = self._command(machine)
        self._logs.mkdir(parents=True, exist_ok=True)
        return ProcessMachine(command, self._logs / f"{machine.instance_id}.log", exited, self._grace)


class ProcessMachine:
    """One instance as one process group."""

    def __init__(self, command: Command, log: Path, exited: Callable[[int], None], grace: float) -> None:
        self._log = log
        self._grace = grace
        self._exited = exited
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                list(command.argv),
                env=dict(command.environment),
                cwd=command.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watch = threading.Thread(target=self._wait, name=f"machine-{self.process.pid}", daemon=True)
        self._watch.start()

    def _wait(self) -> None:
        code = self.process.wait()
        # a machine that is off has no processes left
        self._signal(signal.SIGKILL)
        with self._log.open("a") as out:
            out.write("reboot: Power down\n" if code == 0 else f"agent ended with status {code}\n")
        self._exited(code)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def stop(self, *, hard: bool = False) -> None:
        """TERM the group and, after the grace, KILL it; ``hard`` kills at once and waits for the end."""
        if hard:
            self._signal(signal.SIGKILL)
            self._watch.join(10)
            return
        self._signal(signal.SIGTERM)
        timer = threading.Timer(self._grace, self._signal, (signal.SIGKILL,))
        timer.daemon = True
        timer.start()

    def log(self) -> str:
        """The process's output so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""
