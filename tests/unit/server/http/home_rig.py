"""A user's folders, and the real ``simpleflow server`` in them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import skin_rig

from simpleflow.server.process import places


class Home:
    """One user's folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SWF_", "SIMPLEFLOW_"))}
        self.environment = {
            **kept,
            "SIMPLEFLOW_RUNTIME_DIR": str(folder / "run"),
            "SIMPLEFLOW_DATA_DIR": str(folder / "data"),
        }
        self.places = places.Places(self.environment)
        self.running: list[subprocess.Popen[str]] = []

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(words), env=self.environment, capture_output=True, text=True, timeout=60)

    def command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "simpleflow.cli.main", "server", *words]

    def foreground(self, *words: str) -> subprocess.Popen[str]:
        """Start a server in the foreground; returns when it has printed that it answers."""
        command = self.command(("start", *words))
        made = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.running.append(made)
        assert made.stdout is not None
        line = made.stdout.readline()
        assert line.startswith("# The embedded service answers at unix://"), line
        return made

    def call(self, action: str, **request: object) -> bytes:
        """Call one action over the unix socket."""
        body = msgspec.json.encode(request)
        with socket.socket(socket.AF_UNIX) as made:
            made.connect(str(self.places.socket))
            made.sendall(skin_rig.head(f"SimpleWorkflowService.{action}", len(body), "Connection: close\r\n") + body)
            status, _, answer = skin_rig.parse(skin_rig.receive(made))
        assert status == 200, answer
        return answer

    def close(self) -> None:
        for each in self.running:
            if each.poll() is None:
                each.kill()
            each.communicate()
        for each in psutil.process_iter():
            try:
                mine = each.environ().get("SIMPLEFLOW_DATA_DIR") == str(self.folder / "data")
            except psutil.Error:
                continue
            if mine:
                each.kill()
