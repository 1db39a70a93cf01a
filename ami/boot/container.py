"""Boots a root tar as a container (systemd-nspawn): systemd as PID 1, cloud-init, units; no kernel, no disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

from simpleflow.ami import errors, tools

from .network import Network


def unpack(tar: Path, folder: Path) -> Path:
    """Unpack a root tar into ``folder``, which must not exist; needs root. Returns the folder."""
    partial = folder.with_name(f".{os.getpid()}.{folder.name}")
    partial.mkdir(parents=True)
    try:
        with tarfile.open(tar) as archive:
            archive.extraction_filter = tarfile.fully_trusted_filter
            archive.extractall(partial, numeric_owner=True)  # noqa: S202 (our own root file system)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


class Container:
    """One booted container. A context manager; leaving it ends the container, whatever it does."""

    def __init__(self, root: Path, network: Network, console: Path) -> None:
        """``root`` is not changed: writes go to memory and are gone with the container."""
        tools.need(tools.CONTAINER, "booting a container")
        self.root, self.network, self.console = root, network, console
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Container:
        argv = [
            "systemd-nspawn",
            "--quiet",
            f"--directory={self.root}",
            f"--machine={self.network.name}",
            "--boot",
            "--volatile=overlay",
            # PID 1 of this machine need not be systemd.
            "--keep-unit",
            "--register=no",
            f"--network-namespace-path=/run/netns/{self.network.name}",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=read-only",
            "--kill-signal=SIGRTMIN+3",
        ]
        with self.console.open("wb") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=tools.environment(), start_new_session=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        tools.end(process)

    @property
    def running(self) -> bool:
        """Whether the container still runs."""
        return self._process is not None and self._process.poll() is None

    def tail(self) -> str:
        """Return the last 50 lines of its console."""
        text = self.console.read_text(encoding="utf-8", errors="replace") if self.console.exists() else ""
        return "\n".join(text.splitlines()[-50:])

    def wait_off(self, seconds: float) -> None:
        """Wait until it powered itself off; raises BootFailed with the console's end when it does not."""
        assert self._process is not None
        last = time.monotonic() + seconds
        while self._process.poll() is None:
            if time.monotonic() > last:
                raise errors.BootFailed(f"the container did not power off in {seconds:.0f} s:\n{self.tail()}")
            time.sleep(0.1)
        if self._process.returncode:
            raise errors.BootFailed(f"the container ended with {self._process.returncode}:\n{self.tail()}")
